"""Access to the trainable weights of towers."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from model_export.contract.towers import TowerKind
from training.errors import UsageError
from training.towers import Tower
from training.towers.audio import SampleEncoder
from training.towers.image import HuggingFaceVision, PictureEncoder
from training.towers.text import HuggingFaceText

_REMEDIES: dict[TowerKind, str] = {
    "text": "an encoder of Hugging Face's, all-minilm-l6-v2 or multilingual-e5-small-full",
    "image": "a vision model of Hugging Face's (ViT, DINOv2, CLIP, SigLIP)",
    "audio": "an encoder of samples of Hugging Face's (wav2vec 2.0, HuBERT, WavLM)",
}


def hugging_face_encoder(module: nn.Module) -> nn.Module | None:
    """Transformers model inside a tower's module; None for other towers."""
    if isinstance(module, PictureEncoder):
        module = module.encoder
    if isinstance(module, HuggingFaceText | HuggingFaceVision | SampleEncoder):
        return module.encoder
    return None


def trainable(tower: Tower) -> nn.Module:
    """Trainable copy of a tower's module.

    Raises:
        UsageError: the tower is not a Hugging Face model, so it can't be saved after tuning.
    """
    if hugging_face_encoder(tower.module) is None:
        raise UsageError(
            f"--tower {tower.reference}: this tower can't be fine-tuned; use hf:FOLDER_OR_NAME, "
            f"{_REMEDIES[tower.spec.kind]}"
        )
    return copy.deepcopy(tower.module).requires_grad_(True)


@contextmanager
def nothing_masked(module: nn.Module) -> Iterator[None]:
    """Disable the time masks of audio encoders (SpecAugment, Park 2019).

    They don't depend on the step's seed, and fail on short sounds.
    """
    config: Any = getattr(hugging_face_encoder(module), "config", None)
    before = getattr(config, "apply_spec_augment", None)
    if before is None:
        yield
        return
    config.apply_spec_augment = False
    try:
        yield
    finally:
        config.apply_spec_augment = before
