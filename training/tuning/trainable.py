"""Which towers have weights to train, and how these are reached."""

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
    "text": "an encoder of Hugging Face's, or all-minilm-l6-v2",
    "image": "a vision model of Hugging Face's (ViT, DINOv2, CLIP, SigLIP)",
    "audio": "an encoder of samples of Hugging Face's (wav2vec 2.0, HuBERT, WavLM)",
}


def hugging_face_encoder(module: nn.Module) -> nn.Module | None:
    """The model of transformers within a tower's module; None where there is none."""
    if isinstance(module, PictureEncoder):
        module = module.encoder
    if isinstance(module, HuggingFaceText | HuggingFaceVision | SampleEncoder):
        return module.encoder
    return None


def trainable(tower: Tower) -> nn.Module:
    """A copy of the tower's module, to be trained.

    Raises:
        UsageError: a tuned one could not be written as a folder that is read again.
    """
    if hugging_face_encoder(tower.module) is None:
        raise UsageError(
            f"--tower {tower.reference}: its weights come ready for use and can't be trained "
            f"further; take hf:FOLDER_OR_NAME, {_REMEDIES[tower.spec.kind]}"
        )
    return copy.deepcopy(tower.module).requires_grad_(True)


@contextmanager
def nothing_masked(module: nn.Module) -> Iterator[None]:
    """Train without the masks that encoders of samples lay over a sound (SpecAugment, Park 2019).

    They come from numbers that no seed of a step decides, and need longer sounds than some are.
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
