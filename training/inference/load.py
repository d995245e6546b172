"""Finished checkpoints as export sources and as representations to evaluate."""

from pathlib import Path

from model_export.contract.bundle import DuplicateThreshold, IdSpace
from model_export.contract.calibration import Calibration
from model_export.contract.evidence import EvidenceParameters
from model_export.source import ExportSource
from training.config import shared_config, shorter_widths
from training.data import Dataset
from training.errors import LeakError
from training.evaluation.setting import Split
from training.evaluation.subject import Representation
from training.inference.representation import represent
from training.models.checkpoint import Checkpoint
from training.models.encoder import StreamerEncoder
from training.models.kernel_layer import KernelShape
from training.preparation.leaks import check_learned
from training.towers import cache_folder, towers_again


def load_checkpoint(path: Path, tower_cache: Path | None = None) -> ExportSource:
    """Load a finished checkpoint for the exporter, its module in eval mode.

    Args:
        path: the checkpoint folder.
        tower_cache: folder into which tower weights are unpacked.

    Raises:
        CheckpointError: the folder is not a checkpoint, its training is unfinished, a file is
            damaged, a tower is missing or has changed since the fit, or it has a removed `fusion`.
    """
    checkpoint = Checkpoint.load(path)
    stored = checkpoint.config
    config = shared_config(stored["config"])
    space = stored["id_space"]
    calibration, evidence = stored.get("calibration"), stored.get("evidence")  # new: may be absent
    return ExportSource(
        module=encoder_of(checkpoint),
        vocabulary=checkpoint.vocabulary,
        recipe=stored["recipe"],
        dim=config.dim,
        content_dim=config.content_dim,
        data_digest=stored["data_digest"],
        duplicate_threshold=DuplicateThreshold(**stored["duplicate_threshold"]),
        calibration=None if calibration is None else Calibration.model_validate(calibration),
        evidence=None if evidence is None else EvidenceParameters.model_validate(evidence),
        config={n: value for n, value in stored.items() if n not in ("calibration", "evidence")},
        metrics=checkpoint.metrics,
        id_space=None if space is None else IdSpace(**space),
        established=checkpoint.established,
        towers=towers_again(stored.get("towers", ()), tower_cache or cache_folder()),
        dims=shorter_widths(stored["config"].get("matryoshka", ""), config.dim),
    )


def encoder_of(checkpoint: Checkpoint) -> StreamerEncoder:
    """Encoder of a checkpoint, in eval mode."""
    space, tensors = checkpoint.config["id_space"], checkpoint.tensors
    config, kernel = shared_config(checkpoint.config["config"]), KernelShape.of(tensors)
    encoder = StreamerEncoder(checkpoint.vocabulary, config, space and space["dim"], kernel)
    encoder.load_state_dict(tensors)
    return encoder.eval()


def represent_checkpoint(
    folder: Path,
    checkpoint: Checkpoint,
    dataset: Dataset,
    split: Split,
    tower_cache: Path | None = None,
) -> Representation:
    """Embed a data set with a checkpoint, provided its held-out split was not learned from.

    Args:
        folder: the checkpoint folder.
        checkpoint: the checkpoint, already read from that folder.
        dataset: the data set to evaluate on.
        split: the held-out split whose streamers are the queries.
        tower_cache: folder of cached tower vectors.

    Raises:
        LeakError: the checkpoint learned from streamers of the split.
    """
    check_held_out(folder, checkpoint, dataset, split)
    return represent(load_checkpoint(folder, tower_cache), dataset, split, tower_cache)


def check_held_out(folder: Path, checkpoint: Checkpoint, dataset: Dataset, split: Split) -> None:
    """Check that a checkpoint has learned from no streamer of a split.

    Raises:
        LeakError: it has; the message names the folder and the remedy.
    """
    try:
        check_learned(checkpoint.learned_from, dataset, dataset.rows(split))
    except LeakError as error:
        remedy = f"train on {dataset.folder} to measure on its {split} split"
        if split == "val" and checkpoint.config["refit_on_validation"]:
            remedy = "the refit learned from val; to measure on val, fit with --set refit=false"
        raise LeakError(f"{folder}: {error}; {remedy}") from None
