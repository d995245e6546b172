"""Settings of the life cycle of models."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from service.settings.groups import Group


class Models(Group):
    """Changing the model of a running service."""

    folder: Path | None = None
    """Folder below which bundles lie that may be registered, the same on all replicas; by default
    none may."""
    switch_timeout_s: Annotated[float, Field(gt=0, le=600)] = 60
    """How long a backfill waits until every replica has loaded the next model."""
    gate_fewest: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    """Judgements, verdicts or decided alerts below which the gate on what people decided measures
    nothing of them. Of fewer confirmed, or fewer rejected ones, a loss stops a model only where
    chance does not explain it."""
    gate_fewest_questions: Annotated[int, Field(ge=1, le=1_000_000)] = 5
    """Rated questions below which it measures nothing of ratings."""
    gate_agreement_loss: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Largest share of the decisions of a kind, of the confirmed ones and of the rejected ones,
    that fewer may agree with the next model than with the active one."""
    gate_ndcg_loss: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Largest loss of NDCG, of rated streamers among others, that the next model may have."""
    gate_max_age_s: Annotated[float, Field(gt=0, le=31_622_400)] = 86_400
    """A comparison that is older has to be made again before a promotion."""
    compare_decisions: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Decisions of each kind that a comparison replays, at most."""
    compare_sample: Annotated[int, Field(ge=1, le=10_000)] = 200
    """Streamers whose neighbours a comparison looks at, unless it is asked for others."""
