"""The use-case of similar streamers, with its explanations."""

from service.engine.evidence.audience import SharedAudience
from service.engine.evidence.shared_content import SharedContent
from service.engine.scoring.precision import Precision
from service.engine.serving import Serving
from service.engine.work.lanes import Lanes
from service.engine.work.turns import Turns
from service.features.similar.explain import Explainer
from service.features.similar.pages import Pages
from service.features.similar.seeds import Seeds
from service.features.similar.service import Similar
from service.settings import Settings


def similar_of(
    serving: Serving,
    lanes: Lanes,
    content: SharedContent,
    audience: SharedAudience,
    turns: Turns,
    settings: Settings,
    pages: Pages,
) -> Similar:
    """Similar streamers of one model.

    Args:
        serving: the model and its index.
        lanes: where the work is done.
        content: finds what two profiles both show.
        audience: finds what audiences have in common.
        turns: of answers that are explained at a time.
        settings: limits of answers.
        pages: keeps answers, of other models too.
    """
    calibration = serving.manifest.calibration
    return Similar(
        serving.follower,
        Seeds(serving.pipeline, serving.manifest.dim),
        Explainer(serving.pipeline, serving.stored, content, audience, lanes, turns),
        Precision(calibration and calibration.embedding, "min_score"),
        pages,
        serving.model_version,
        settings.limits.visible_timeout_ms,
    )
