"""Python interface: load a data set, fit, embed and evaluate, like the commands.

The functions raise the errors of `training.errors`, whose messages state the remedy.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_export.contract.pieces import pieces_of
from model_export.contract.streamer import StreamerProfile
from training.config import FitFile
from training.data import Dataset, load_dataset
from training.data.passes import mapped
from training.evaluation.result import Evaluation
from training.evaluation.run import evaluate as evaluate_representation
from training.evaluation.setting import Split
from training.inference import representation
from training.inference.load import load_checkpoint, represent_checkpoint
from training.models.checkpoint import Checkpoint
from training.models.distributed import Precision, computing
from training.tasks.recipes import find_recipe
from training.towers import TowerReader, cache_folder
from training.trainer import fit as trainer

__all__ = ["Checkpoint", "Dataset", "Evaluation", "embed", "evaluate", "fit", "load_dataset"]


def fit(
    dataset: Dataset,
    out: Path,
    recipe: str = "transfer-plus",
    settings: Mapping[str, bool | int | float | str] | None = None,
    *,
    seed: int = 0,
    threads: int = 1,
    device: str = "cpu",
    precision: Precision = "float32",
    init_from: Path | None = None,
    track: Sequence[str] = (),
    overwrite: bool = False,
) -> Checkpoint:
    """Fit an encoder, or resume an interrupted fit; a finished one is loaded.

    Args:
        dataset: the data set.
        out: checkpoint folder.
        recipe: name of the recipe.
        settings: settings that differ from the recipe's defaults, by name.
        seed: of all randomness.
        threads: of torch and the teacher.
        device: `cpu` or `cuda`.
        precision: of matrix products in training.
        init_from: finished checkpoint whose encoder the fit starts from.
        track: names of `training.tracking.TRACKERS`.
        overwrite: whether to replace a finished checkpoint, or the state of another fit.

    Raises:
        CheckpointError: the folder holds another fit, or `init_from` no finished one.
        DivergedError: a loss is no longer finite.
        LeakError: a held-out streamer would be learned from, or was by `init_from`.
        OutputError: the folder can't be written to, holds other files, or is in use by a fit.
        UsageError: recipe, setting or tracker are not valid, or the data set lacks something.
    """
    given = FitFile(config=dict(settings or {}))
    with computing(device, precision) as compute:
        request = trainer.Request(
            recipe=recipe,
            config=given.settings(find_recipe(recipe).config(), "settings"),
            seed=seed,
            threads=threads,
            out=out,
            overwrite=overwrite,
            compute=compute,
            init_from=init_from,
            track=track,
        )
        with trainer.one_fit(request):
            if trainer.already_trained(request, dataset):
                return Checkpoint.load(out)
            return trainer.fit(request, dataset)


def embed(checkpoint: Path, profiles: Sequence[StreamerProfile]) -> NDArray[np.float32]:
    """Unit embeddings of R profiles (R, D) by a finished checkpoint; zero without content.

    Raises:
        CheckpointError: the folder is not a finished checkpoint, or a tower is missing.
    """
    source = load_checkpoint(checkpoint)
    with TowerReader(source.towers, cache_folder()) as reader:
        reader.fill(profiles)
        return representation.embed(source, reader.over(mapped(pieces_of, profiles)))


def evaluate(checkpoint: Path, dataset: Dataset, split: Split = "test") -> Evaluation:
    """Evaluate a finished checkpoint on all tasks for which the data set has ground truth.

    Raises:
        CheckpointError: the folder is not a finished checkpoint, or a tower is missing.
        LeakError: the checkpoint has learned from streamers of the split.
        UsageError: the split is empty.
    """
    found = Checkpoint.load(checkpoint)
    shown = represent_checkpoint(checkpoint, found, dataset, split)
    config = found.config
    return evaluate_representation(
        dataset, shown, split=split, subject=config["recipe"], seed=config["seed"]
    )
