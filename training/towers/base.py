"""Tower: a frozen module whose `forward` is the exported graph, with its preprocessing."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from model_export.contract.features import MAX_VECTORS
from model_export.contract.media import AudioSpec, ImageSpec
from model_export.contract.towers import TextSpec, TowerBatch, TowerSpec
from model_export.source import TowerSource
from training.errors import UsageError
from training.models.checkpoint import LEARNED_FROM

_NO_VERSION = "0" * 64
_PICTURES = "pictures of one colour show nothing"
"""Part of a picture tower's version; change it when the decoding of pictures changes."""


@dataclass(frozen=True, eq=False)
class Tower(TowerSource):
    """A tower with its origin.

    Attributes:
        reference: argument of `training.towers.registry.find_tower` that recreates it.
        learned_from: ids of the streamers that it was tuned on, see `training.tuning`.
    """

    reference: str = ""
    learned_from: tuple[str, ...] = ()

    def description(self) -> dict[str, Any]:
        """Entry in a checkpoint, JSON-serialisable."""
        return {
            "kind": self.spec.kind,
            "reference": self.reference,
            "name": self.spec.name,
            "version": self.spec.version,
        }


def make_tower(
    module: nn.Module,
    reads: TextSpec | ImageSpec | AudioSpec,
    *,
    name: str,
    width: int,
    modalities: Sequence[str],
    max_pieces: int = MAX_VECTORS,
    reference: str,
    tokenizer: bytes | None = None,
    detail: str = "",
) -> Tower:
    """Freeze a module and compute the tower's version.

    Args:
        module: `forward` maps batches of `contract.towers.inputs_of` to unit vectors (B, width).
        reads: preprocessing.
        name: name of the tower and its space.
        width: vector length.
        modalities: modalities that it reads.
        max_pieces: most pieces per profile.
        reference: setting that recreates the tower.
        tokenizer: file content of the library `tokenizers`, for a text tower.
        detail: anything else that its vectors depend on.
    """
    module = frozen(module)
    spec = TowerSpec(
        name=name,
        width=width,
        version=_NO_VERSION,
        modalities=list(modalities),
        max_pieces=max_pieces,
        text=reads if isinstance(reads, TextSpec) else None,
        image=reads if isinstance(reads, ImageSpec) else None,
        audio=reads if isinstance(reads, AudioSpec) else None,
    )
    version = _version(spec, module, tokenizer, detail)
    return Tower(spec.model_copy(update={"version": version}), module, tokenizer, reference)


def with_learned_from(tower: Tower, where: str) -> Tower:
    """Tower with the training streamers recorded in its folder, if any."""
    file = Path(where) / LEARNED_FROM
    if not file.is_file():
        return tower
    return replace(tower, learned_from=tuple(file.read_text(encoding="utf-8").split()))


def no_options(setting: str, reference: str, options: Mapping[str, str]) -> None:
    """Check that no options were given.

    Raises:
        UsageError: there are options.
    """
    if options:
        raise UsageError(f"{setting}={reference}: has no options, remove ?{next(iter(options))}")


def frozen(module: nn.Module) -> nn.Module:
    """Set a module to eval mode, without gradients."""
    return module.eval().requires_grad_(False)


@torch.inference_mode()
def encode(
    tower: TowerSource, batch: TowerBatch, device: torch.device | str = "cpu"
) -> NDArray[np.float32]:
    """Encode a batch (B, width)."""
    module = tower.module.to(device)
    return module(*(torch.from_numpy(array).to(device) for array in batch.values())).cpu().numpy()


def _version(spec: TowerSpec, module: nn.Module, tokenizer: bytes | None, detail: str) -> str:
    """SHA-256 over the spec, the tokenizer, the module's class and every tensor of its state."""
    content = spec.model_dump(mode="json", exclude={"version"})
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    digest.update(hashlib.sha256(tokenizer or b"").digest())
    digest.update(f"{type(module).__module__}.{type(module).__qualname__}|{detail}".encode())
    digest.update(_PICTURES.encode() if spec.image is not None else b"")
    for name, tensor in sorted(module.state_dict().items()):
        array = tensor.contiguous().cpu().numpy()
        digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(array.data)
    return digest.hexdigest()
