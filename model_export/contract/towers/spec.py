"""Tower specifications in the manifest of a bundle."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from model_export.contract.calibration import Part
from model_export.contract.features import MAX_VECTORS
from model_export.contract.media import AudioSpec, ImageSpec

TOWERS = "towers"
"""Folder of the tower files in a bundle."""
VECTOR = "vector"
"""Output name of every tower's graph."""

TowerKind = Literal["text", "image", "audio"]
ReadKind = Literal["text", "tag", "category"]
KINDS: dict[TowerKind, tuple[str, ...]] = {
    "text": ("name", "bio", "tags", "category", "language", "videos", "lives"),
    "image": ("avatar", "covers", "frames"),
    "audio": ("audio",),
}
"""Tower kind -> modalities that it can read."""


def _text_alone() -> list[ReadKind]:
    return ["text"]


class TextSpec(Part):
    """Tokenisation of a text tower.

    Attributes:
        max_tokens: longer texts are truncated; special tokens are kept.
        prefix: prepended to every text, such as `query: `.
        pad_id: padding token.
        kinds: piece kinds that are read, each piece as a separate text.
    """

    max_tokens: Annotated[int, Field(ge=3, le=8192)]
    prefix: Annotated[str, Field(max_length=500)] = ""
    pad_id: Annotated[int, Field(ge=0)] = 0
    kinds: Annotated[list[ReadKind], Field(min_length=1)] = Field(default_factory=_text_alone)


class TowerSpec(Part):
    """Specification of a tower.

    Attributes:
        name: name of the tower, its vector space and its files.
        width: vector length.
        version: digest of the weights and everything else that the vectors depend on.
        modalities: modalities of the pieces that it reads.
        max_pieces: most pieces read per profile, the first ones.
        text, image, audio: preprocessing; exactly one is given and decides the kind.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    width: Annotated[int, Field(gt=0, le=4096)]
    version: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    modalities: Annotated[list[str], Field(min_length=1)]
    max_pieces: Annotated[int, Field(gt=0, le=MAX_VECTORS)] = MAX_VECTORS
    text: TextSpec | None = None
    image: ImageSpec | None = None
    audio: AudioSpec | None = None

    @model_validator(mode="after")
    def _reads_what_there_is(self) -> Self:
        given = [name for name in KINDS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of: {', '.join(KINDS)}")
        unknown = sorted(set(self.modalities) - set(KINDS[self.kind]))
        if unknown:
            raise ValueError(
                f"{self.kind} towers don't read {unknown[0]!r}; they read: "
                f"{', '.join(KINDS[self.kind])}"
            )
        return self

    @property
    def kind(self) -> TowerKind:
        """Kind of payload that the tower reads."""
        return "text" if self.text else "image" if self.image else "audio"

    @property
    def file(self) -> str:
        """Path of the graph in the bundle."""
        return f"{TOWERS}/{self.name}.onnx"

    @property
    def tokenizer_file(self) -> str | None:
        """Path of the tokenizer file in the bundle; None for other kinds than text."""
        return f"{TOWERS}/{self.name}.tokenizer.json" if self.text else None

    @property
    def files(self) -> list[str]:
        """Paths of all files of the tower in the bundle."""
        return [name for name in (self.file, self.tokenizer_file) if name is not None]
