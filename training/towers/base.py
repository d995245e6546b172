"""What every tower is: a module whose `forward` is the exported graph, and what feeds it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from model_export.contract.towers import (
    Payload,
    TextSpec,
    TowerInputs,
    TowerSpec,
)
from model_export.source import TowerSource

_NO_VERSION = "0" * 64


@dataclass(frozen=True, eq=False)
class Tower(TowerSource):
    """A tower and how to make it again.

    Attributes:
        reference: what `training.towers.registry.find_tower` makes it of.
    """

    reference: str = ""

    def description(self) -> dict[str, Any]:
        """What a checkpoint keeps of it, JSON-serialisable."""
        return {
            "kind": self.spec.kind,
            "reference": self.reference,
            "name": self.spec.name,
            "version": self.spec.version,
        }


def text_tower(
    module: nn.Module,
    tokenizer: bytes,
    text: TextSpec,
    *,
    name: str,
    width: int,
    modalities: Sequence[str],
    reference: str,
    detail: str = "",
) -> Tower:
    """A text tower with its version.

    Args:
        module: `forward(input_ids, attention_mask)`, int64 (B, L) -> unit vectors (B, width).
        tokenizer: a file of the library `tokenizers`.
        text: how a text becomes tokens.
        name: of the tower and its space.
        width: of its vectors.
        modalities: that it reads.
        reference: how to make it again.
        detail: what else its vectors depend on.
    """
    module = frozen(module)
    spec = TowerSpec(
        name=name,
        width=width,
        version=_NO_VERSION,
        modalities=list(modalities),
        text=text,
    )
    version = _version(spec, module, tokenizer, detail)
    return Tower(spec.model_copy(update={"version": version}), module, tokenizer, reference)


def frozen(module: nn.Module) -> nn.Module:
    """The module in eval mode, without gradients."""
    return module.eval().requires_grad_(False)


@torch.inference_mode()
def encode(
    tower: TowerSource,
    inputs: TowerInputs,
    payloads: Sequence[Payload],
    device: torch.device | str = "cpu",
) -> NDArray[np.float32]:
    """Vectors (N, width) of N payloads, as one batch; `inputs` is what makes its inputs."""
    batch = inputs(payloads)
    module = tower.module.to(device)
    return module(*(torch.from_numpy(array).to(device) for array in batch.values())).cpu().numpy()


def _version(spec: TowerSpec, module: nn.Module, tokenizer: bytes | None, detail: str) -> str:
    """SHA-256 over the spec, the tokenizer, the module's class and every tensor of its state."""
    content = spec.model_dump(mode="json", exclude={"version"})
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    digest.update(hashlib.sha256(tokenizer or b"").digest())
    digest.update(f"{type(module).__module__}.{type(module).__qualname__}|{detail}".encode())
    for name, tensor in sorted(module.state_dict().items()):
        array = tensor.contiguous().cpu().numpy()
        digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(array.data)
    return digest.hexdigest()
