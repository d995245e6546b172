"""What a tower is, as the manifest of a bundle says it."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from model_export.contract.calibration import Part
from model_export.contract.features import MAX_VECTORS
from model_export.contract.media import AudioSpec, ImageSpec

TOWERS = "towers"
"""The folder of the towers' files in a bundle."""
VECTOR = "vector"
"""The output of every tower's graph."""

TowerKind = Literal["text", "image", "audio"]
ReadKind = Literal["text", "tag", "category"]
KINDS: dict[TowerKind, tuple[str, ...]] = {
    "text": ("name", "bio", "tags", "category", "language", "videos", "lives"),
    "image": ("avatar", "covers", "frames"),
    "audio": ("audio",),
}
"""Kind -> the modalities that such a tower can read."""


def _text_alone() -> list[ReadKind]:
    return ["text"]


class TextSpec(Part):
    """How a text becomes tokens.

    Attributes:
        max_tokens: a longer text is cut, its special tokens are kept.
        prefix: put before every text, as `query: `.
        pad_id: the token that fills shorter texts of a batch up.
        kinds: of pieces that are read, each as a text of its own.
    """

    max_tokens: Annotated[int, Field(ge=3, le=8192)]
    prefix: Annotated[str, Field(max_length=500)] = ""
    pad_id: Annotated[int, Field(ge=0)] = 0
    kinds: Annotated[list[ReadKind], Field(min_length=1)] = Field(default_factory=_text_alone)


class TowerSpec(Part):
    """A tower: what it reads and what it gives.

    Attributes:
        name: of the tower, of its space and of its files.
        width: of its vectors.
        version: digest of its weights and of all else that its vectors depend on.
        modalities: of the pieces that it reads.
        max_pieces: so many of them are read of a profile, the first ones.
        text, image, audio: how a payload becomes its input; one of them is given.
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
        """What it reads."""
        return "text" if self.text else "image" if self.image else "audio"

    @property
    def file(self) -> str:
        """Its graph in the bundle."""
        return f"{TOWERS}/{self.name}.onnx"

    @property
    def tokenizer_file(self) -> str | None:
        """Its tokenizer in the bundle, a file of the library `tokenizers`; None without one."""
        return f"{TOWERS}/{self.name}.tokenizer.json" if self.text else None

    @property
    def files(self) -> list[str]:
        """All its files in the bundle."""
        return [name for name in (self.file, self.tokenizer_file) if name is not None]
