"""The recipes by name. To add one, write its task and its configuration and list it here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy import int64
from numpy.typing import NDArray

from training.config import MaskedViewsConfig, RecipeConfig, TransferPlusConfig
from training.errors import UsageError
from training.evaluation.tasks import cold_start_task, vector_task
from training.stage import Stage
from training.tasks.base import Task
from training.tasks.masked_views import MaskedViews
from training.tasks.transfer_plus import TransferPlus
from training.teacher import audience_of, id_matrix

HeldOut = NDArray[int64] | None


@dataclass(frozen=True)
class Recipe:
    """How a method is trained.

    Attributes:
        config: its configuration class.
        build: stage, configuration and rows to watch (None = nothing is held out) -> task.
        metric: what its task's `validate` measures.
    """

    config: type[RecipeConfig]
    build: Callable[[Stage, Any, HeldOut], Task]
    metric: str

    @property
    def metric_name(self) -> str:
        """The name that the checkpoint's metrics have for it."""
        return f"validation_{self.metric}"


def _transfer_plus(stage: Stage, config: TransferPlusConfig, held_out: HeldOut) -> Task:
    if held_out is None:
        return TransferPlus(stage, config, None)
    audience = audience_of(stage.dataset, stage.known)
    if audience is not None:
        return TransferPlus(stage, config, cold_start_task(audience, held_out, stage.known))
    vectors, present = id_matrix(stage.dataset)
    queries, gallery = held_out[present[held_out]], stage.known[present[stage.known]]
    return TransferPlus(stage, config, vector_task(vectors, queries, gallery))


RECIPES = {
    "masked-views": Recipe(MaskedViewsConfig, MaskedViews, "MRR"),
    "transfer-plus": Recipe(TransferPlusConfig, _transfer_plus, "NDCG@20"),
}


def find_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        UsageError: there is none; the names are listed.
    """
    if name not in RECIPES:
        raise UsageError(f"--recipe {name}: unknown; the recipes are {', '.join(RECIPES)}")
    return RECIPES[name]
