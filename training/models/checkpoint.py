"""The checkpoint folder: tensors as safetensors, everything else as JSON; loading runs no code.

    model.safetensors     the encoder
    vocabulary.json       its vocabulary
    config.json           recipe, seed, resolved config, code version, data digest, ID space, and
                          the calibration (`model_export.contract.calibration.Calibration`) and
                          the parameters of evidence (`model_export.contract.evidence`)
    established.npz       optional: streamers that the teacher knows
    learned_from.txt      ids of the streamers that it was trained on, one per line
    metrics.json          written last: its presence marks the checkpoint as finished
    metrics.jsonl         what the fit recorded on its way, see `training.tracking`
    tensorboard/, mlflow_run.txt   optional: likewise
    training_state.safetensors   only while unfinished: the state to resume from
    .lock                 empty; the fit that is using the folder holds its lock

Each file is written to a temporary name, fsynced and renamed.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from model_export.contract.errors import BundleError
from model_export.contract.established import Established
from model_export.contract.vocabulary import Vocabulary
from training.errors import CheckpointError, OutputError

MODEL = "model.safetensors"
VOCABULARY = "vocabulary.json"
CONFIG = "config.json"
ESTABLISHED = "established.npz"
LEARNED_FROM = "learned_from.txt"
METRICS = "metrics.json"
METRICS_LOG = "metrics.jsonl"
TENSORBOARD = "tensorboard"
MLFLOW_RUN = "mlflow_run.txt"
STATE = "training_state.safetensors"

_FILES = {MODEL, VOCABULARY, CONFIG, ESTABLISHED, LEARNED_FROM, METRICS, STATE}
_FILES |= {METRICS_LOG, TENSORBOARD, MLFLOW_RUN}
_DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    safetensors.SafetensorError,
    BundleError,
)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A finished checkpoint, in memory.

    Attributes:
        tensors: state of the encoder.
        vocabulary: vocabulary of the encoder.
        config: content of `config.json`.
        metrics: name -> value.
        established: streamers of the teacher; None without a teacher.
        learned_from: ids of the streamers that it was trained on.
    """

    tensors: dict[str, Tensor]
    vocabulary: Vocabulary
    config: dict[str, Any]
    metrics: dict[str, float]
    established: Established | None = None
    learned_from: Sequence[str] = ()

    def save(self, folder: Path) -> None:
        """Write the folder; replaces an older checkpoint and removes the training state."""
        make_folder(folder)
        (folder / METRICS).unlink(missing_ok=True)
        write_atomically(folder / MODEL, safetensors.torch.save(self.tensors))
        write_atomically(folder / VOCABULARY, self.vocabulary.save)
        write_atomically(folder / CONFIG, _json(self.config))
        if self.established is None:
            (folder / ESTABLISHED).unlink(missing_ok=True)
        else:
            write_atomically(folder / ESTABLISHED, self.established.dump())
        write_atomically(folder / LEARNED_FROM, "\n".join(self.learned_from).encode())
        write_atomically(folder / METRICS, _json(self.metrics))
        for leftover in (folder / STATE, _temporary(folder / STATE)):
            leftover.unlink(missing_ok=True)

    @classmethod
    def load(cls, folder: Path) -> "Checkpoint":
        """Read a finished checkpoint.

        Raises:
            CheckpointError: the folder is not a checkpoint, is unfinished or damaged, or has a
                removed `fusion`.
        """
        if not is_finished(folder):
            unfinished = (folder / STATE).exists()
            why = "its training was not finished" if unfinished else "it is not a checkpoint"
            raise CheckpointError(f"{folder} can't be loaded: {why}; run `python -m training fit`")
        if not (folder / LEARNED_FROM).exists():
            raise CheckpointError(
                f"{folder} was written by an earlier release and has no {LEARNED_FROM}; "
                "train it again"
            )
        try:
            config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            # First: with one that was removed, the other files are not damaged but unknown.
            fusion = config.get("config", {}).get("fusion", "sum")
            if fusion != "sum":
                raise CheckpointError(
                    f"{folder} has fusion={fusion}, which was removed after 0.1.0; train it again"
                )
            established = None
            if (folder / ESTABLISHED).exists():
                content = (folder / ESTABLISHED).read_bytes()
                established = Established.parse(content, str(folder / ESTABLISHED))
            return cls(
                tensors=safetensors.torch.load((folder / MODEL).read_bytes()),
                vocabulary=Vocabulary.load(folder / VOCABULARY),
                config=config,
                metrics=json.loads((folder / METRICS).read_text(encoding="utf-8")),
                established=established,
                learned_from=(folder / LEARNED_FROM).read_text(encoding="utf-8").split(),
            )
        except _DAMAGE as error:
            raise CheckpointError(f"{folder} is damaged ({error}); train it again") from error


def is_finished(folder: Path) -> bool:
    """Whether the folder holds a finished checkpoint."""
    return (folder / METRICS).exists()


def read_config(folder: Path) -> dict[str, Any]:
    """Read `config.json` of a finished checkpoint.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    try:
        return json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder / CONFIG} can't be read: {error}") from error


def save_state(folder: Path, tensors: Mapping[str, Tensor], progress: Mapping[str, Any]) -> None:
    """Save the training state as one file, so tensors and progress are consistent."""
    make_folder(folder)
    content = safetensors.torch.save(
        {name: tensor.detach().contiguous() for name, tensor in tensors.items()},
        metadata={"progress": json.dumps(progress)},
    )
    write_atomically(folder / STATE, content)


def load_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Load the state written by `save_state`; None if there is none.

    Raises:
        CheckpointError: the file is damaged.
    """
    file = folder / STATE
    if not file.exists():
        return None
    try:
        with safetensors.safe_open(file, framework="pt") as opened:
            progress = json.loads((opened.metadata() or {})["progress"])
            return {name: opened.get_tensor(name) for name in opened.keys()}, progress  # noqa: SIM118
    except _DAMAGE as error:
        raise CheckpointError(
            f"{file} is damaged ({error}); start over with --overwrite"
        ) from error


def make_folder(folder: Path) -> None:
    """Create the checkpoint folder, or check an existing one.

    Raises:
        OutputError: the folder can't be created, or holds files other than a checkpoint's.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    except OSError as error:
        raise OutputError(
            f"{folder} can't be used: {error.strerror}; choose another folder"
        ) from error
    foreign = sorted(names - _FILES)
    if foreign:
        raise OutputError(f"{folder} holds other files ({foreign[0]}, ...); take another folder")


def write_atomically(path: Path, content: bytes | Callable[[Path], None]) -> None:
    """Write bytes, or let a function write a path, under a temporary name; fsync and rename.

    Raises:
        OutputError: the disk is full, or the folder is not writable.
    """
    try:
        _write_atomically(path, content)
    except OSError as error:
        raise OutputError(
            f"{path} can't be written: {error.strerror}; make room or choose another place"
        ) from error


def _write_atomically(path: Path, content: bytes | Callable[[Path], None]) -> None:
    temporary = _temporary(path)
    try:
        if callable(content):
            content(temporary)
        else:
            temporary.write_bytes(content)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.tmp")


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=2) + "\n").encode()
