"""Registry of recipes; a new recipe is a task and a configuration, listed here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy import int64
from numpy.typing import NDArray

from training.config import (
    KdFeatureConfig,
    KdPseudoLabelConfig,
    KdRkdConfig,
    KdSoftConfig,
    MaskedViewsConfig,
    MlmConfig,
    PtumConfig,
    RecipeConfig,
    SimcseConfig,
    TransferConfig,
    TransferPlusConfig,
)
from training.errors import UsageError
from training.evaluation.setting import Setting
from training.evaluation.tasks import HeldOut
from training.preparation.stage import MOST_ASKED, MOST_SEARCHED, Stage, sample
from training.tasks.base import Task
from training.tasks.distillation import KdFeature, KdPseudoLabel, KdRkd, KdSoft
from training.tasks.masked_views import MaskedViews
from training.tasks.mlm import MaskedTokens
from training.tasks.ptum import Ptum
from training.tasks.simcse import Simcse
from training.tasks.transfer import Transfer
from training.tasks.transfer_plus import TransferPlus

Build = Callable[[Stage, Any, NDArray[int64] | None], Task]


@dataclass(frozen=True)
class Recipe:
    """A training method.

    Attributes:
        config: configuration class.
        build: (stage, configuration, validation rows or None) -> task.
        metric: metric of the task's `validate`.
    """

    config: type[RecipeConfig]
    build: Build
    metric: str

    @property
    def metric_name(self) -> str:
        """Key of the validation metric in a checkpoint."""
        return f"validation_{self.metric}"


def _taught(task: Callable[[Stage, Any, HeldOut | None], Task]) -> Build:
    """Builder of a task with a teacher and validation on cold streamers."""

    def build(stage: Stage, config: RecipeConfig, held_out: NDArray[int64] | None) -> Task:
        return task(stage, config, None if held_out is None else held_out_task(stage, held_out))

    return build


def held_out_task(stage: Stage, held_out: NDArray[int64]) -> HeldOut:
    """Tasks of held-out queries, against the stage's streamers and against each other.

    They have no queries if the data set has neither audiences nor ID-embeddings.
    """
    asking = sample(held_out, MOST_ASKED, stage.seed)
    gallery = sample(stage.known, MOST_SEARCHED, stage.seed)
    return Setting(stage.dataset, asking, gallery, known=stage.known).held_out


RECIPES = {
    "masked-views": Recipe(MaskedViewsConfig, MaskedViews, "MRR"),
    "mlm": Recipe(MlmConfig, MaskedTokens, "MRR"),
    "ptum": Recipe(PtumConfig, Ptum, "MRR"),
    "simcse": Recipe(SimcseConfig, Simcse, "MRR"),
    "kd-feature": Recipe(KdFeatureConfig, _taught(KdFeature), "NDCG@20"),
    "kd-soft": Recipe(KdSoftConfig, _taught(KdSoft), "NDCG@20"),
    "kd-pseudo-label": Recipe(KdPseudoLabelConfig, _taught(KdPseudoLabel), "NDCG@20"),
    "kd-rkd": Recipe(KdRkdConfig, _taught(KdRkd), "NDCG@20"),
    "transfer": Recipe(TransferConfig, _taught(Transfer), "NDCG@20"),
    "transfer-plus": Recipe(TransferPlusConfig, _taught(TransferPlus), "NDCG@20"),
}


def find_recipe(name: str) -> Recipe:
    """Recipe by name.

    Raises:
        UsageError: the recipe is unknown; the message lists all names.
    """
    if name not in RECIPES:
        raise UsageError(f"--recipe {name}: unknown; the recipes are {', '.join(RECIPES)}")
    return RECIPES[name]
