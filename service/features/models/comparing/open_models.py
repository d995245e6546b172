"""The models that are open in this process, as a comparison asks them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model_export.contract.evidence import Side
from service.engine.evidence.engine import Compared, Evidence
from service.engine.evidence.stored_sides import StoredSides
from service.engine.replica.follower import Follower
from service.engine.work.lanes import Lane, Lanes
from service.errors import NotReady
from service.features.jobs.runner import persist
from service.features.similar.service import Similar
from service.features.watchlists.seeds import SeedReader
from service.index.base import VectorIndex

_RETRY_S = 5


@dataclass(frozen=True, eq=False)
class OpenModel:
    """A model with its index.

    Attributes:
        model_version: of the model.
        evidence: of the model.
        sides: of stored streamers, by its vectors.
        follower: of its index.
        seeds: of watchlists, by its encoder.
        similar: answers questions by its index.
    """

    model_version: str
    evidence: Evidence
    sides: StoredSides
    follower: Follower
    seeds: SeedReader
    similar: Similar

    def check_index(self) -> None:
        """Check that its index is complete.

        Raises:
            NotReady: it lacks something.
        """
        behind = self.follower.behind_because
        if behind is not None:
            raise NotReady(f"the index of model {self.model_version!r}: {behind}", _RETRY_S)

    async def index(self) -> VectorIndex:
        """Its index, once it is complete.

        Raises:
            Unavailable: it still is not after about 40 s.
        """

        async def complete() -> VectorIndex:
            self.check_index()
            return self.follower.index

        return await persist(complete)

    @property
    def joins_from(self) -> float:
        """Probability from which on two streamers are the same."""
        matcher = self.evidence.matcher
        weights = np.array([matcher.parameters.threshold])
        return float(matcher.probability(weights)[0])


@dataclass(frozen=True, eq=False)
class Both:
    """The active model and the next one."""

    active: OpenModel
    target: OpenModel


def found_in(models: Sequence[OpenModel], active: str, target: str) -> Both:
    """Two of the models that are open here; of those that are opened anew the newer one.

    Raises:
        NotReady: one is not open here, or its index is not complete.
    """
    known = {each.model_version: each for each in models}
    missing = [name for name in (active, target) if name not in known]
    if missing:
        raise NotReady(f"model {missing[0]!r} is not open on this replica yet", _RETRY_S)
    both = Both(known[active], known[target])
    for each in (both.active, both.target):
        each.check_index()
    return both


async def compared(
    model: OpenModel, sides: Sequence[Side], pairs: Sequence[tuple[int, int]], lanes: Lanes
) -> Compared:
    """Pairs of places of sides, compared by a model."""
    one = np.array([a for a, _ in pairs], np.int64)  # (P,)
    other = np.array([b for _, b in pairs], np.int64)
    return await lanes.run_in_slices(model.evidence.compare(sides, one, other), Lane.BULK)
