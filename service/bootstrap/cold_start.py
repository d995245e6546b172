"""Wires cold start: what fits on generations, and what answers by them and by the bundle."""

from model_export.contract.established import Established
from service.engine.prediction.fitting import GenerationFitter
from service.engine.serving import Serving
from service.engine.spaces.active import ActiveSpaces
from service.engine.work.lanes import Lanes
from service.engine.work.search_pool import SearchPool
from service.features.cold_start.in_space import InSpace
from service.features.cold_start.neighbours import Recommender
from service.features.cold_start.placing import Placing
from service.features.cold_start.service import ColdStart
from service.settings import Settings
from service.store.base import StreamerStore


def fitter_of(
    serving: Serving, store: StreamerStore, established: Established | None, lanes: Lanes
) -> GenerationFitter:
    """What fits on a generation before it serves."""
    id_space = serving.manifest.id_space
    return GenerationFitter(
        serving.follower,
        store,
        established,
        None if id_space is None else id_space.dim,
        lanes.give_way,
    )


def cold_start_of(
    serving: Serving,
    searches: SearchPool,
    recommender: Recommender | None,
    active: ActiveSpaces,
    settings: Settings,
) -> ColdStart:
    """The use-case of cold start."""
    calibration = serving.manifest.calibration
    least_coverage = 0.0 if calibration is None else calibration.embedding.least_coverage
    placing = Placing(serving.pipeline, serving.stored)
    return ColdStart(
        serving.follower,
        searches,
        placing,
        serving.model_version,
        serving.manifest.id_space,
        recommender,
        settings.limits.visible_timeout_ms,
        least_coverage,
        active,
        InSpace(
            serving.follower,
            searches,
            placing,
            settings.spaces.min_interactions,
            least_coverage,
        ),
    )
