"""Towers: frozen encoders that turn one piece of a profile into one vector in a named space.

A tower's vector becomes a vector piece beside the piece that it was made of, so to the featuriser
and the encoder it is as if it had come ready-made. What is done here is exact (tokenising, padding,
decoding, casts); every float operation, the pooling and the norm too, is inside the tower's graph:

    text     input_ids, attention_mask int64 (B, L)   -> vector float32 (B, width)

Vectors are rounded to float16 before they are used, since training keeps them so: what is served is
what was learned from.
"""

import hashlib
from array import array
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Protocol, Self, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from model_export.contract.calibration import Part
from model_export.contract.errors import BundleError
from model_export.contract.features import MAX_VECTORS
from model_export.contract.pieces import MODALITIES, Piece, pieces_of
from model_export.contract.streamer import StreamerContent
from model_export.contract.text import readable

TOWERS = "towers"
"""The folder of the towers' files in a bundle."""
VECTOR = "vector"
"""The output of every tower's graph."""

Payload = str
"""What a tower reads: a text, as `readable` leaves it."""
TowerBatch = dict[str, NDArray[np.generic]]
"""Named arrays, the inputs of a tower's graph."""
TowerKind = Literal["text"]


ReadKind = Literal["text", "tag", "category"]


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
        text: how a text becomes its input.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    width: Annotated[int, Field(gt=0, le=4096)]
    version: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    modalities: Annotated[list[str], Field(min_length=1)]
    text: TextSpec

    @model_validator(mode="after")
    def _reads_what_there_is(self) -> Self:
        unknown = sorted(set(self.modalities) - set(MODALITIES))
        if unknown:
            raise ValueError(f"{unknown[0]!r} is no modality; there are: {', '.join(MODALITIES)}")
        return self

    @property
    def kind(self) -> TowerKind:
        """What it reads."""
        return "text"

    @property
    def file(self) -> str:
        """Its graph in the bundle."""
        return f"{TOWERS}/{self.name}.onnx"

    @property
    def tokenizer_file(self) -> str | None:
        """Its tokenizer in the bundle, a file of the library `tokenizers`; None without one."""
        return f"{TOWERS}/{self.name}.tokenizer.json"

    @property
    def files(self) -> list[str]:
        """All its files in the bundle."""
        return [name for name in (self.file, self.tokenizer_file) if name is not None]


class TowerInputs(Protocol):
    """Payloads to the inputs of a tower's graph."""

    def __call__(self, payloads: Sequence[Payload]) -> TowerBatch:
        """The inputs for B payloads."""
        ...


class TextInputs:
    """Texts to `input_ids` and `attention_mask`, int64 (B, L), L = the longest of the batch."""

    def __init__(self, spec: TextSpec, tokenizer: bytes, source: str) -> None:
        """Read a tokenizer file; `source` names it in errors.

        Raises:
            BundleError: the file can't be read, or the library is not installed.
        """
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise BundleError(
                f"{source} needs the library that reads it: pip install "
                "'similar-streamer[text-tower]'"
            ) from error
        try:
            made = cast(Any, Tokenizer.from_str(tokenizer.decode()))
        except Exception as error:  # its exceptions share no base but Exception
            raise BundleError(f"{source} is no tokenizer file: {error}; export again") from error
        made.no_padding()
        made.enable_truncation(spec.max_tokens)
        self._tokenizer, self._spec = made, spec

    def __call__(self, payloads: Sequence[Payload]) -> TowerBatch:
        """The inputs for B texts."""
        texts = [self._spec.prefix + text for text in payloads]
        rows = [cast(list[int], e.ids) for e in self._tokenizer.encode_batch_fast(texts)]
        longest = max([1, *map(len, rows)])
        ids = np.full((len(rows), longest), self._spec.pad_id, np.int64)  # (B, L)
        mask = np.zeros((len(rows), longest), np.int64)  # (B, L)
        for row, found in enumerate(rows):
            ids[row, : len(found)] = found
            mask[row, : len(found)] = 1
        return {"input_ids": ids, "attention_mask": mask}


def inputs_of(spec: TowerSpec, tokenizer: bytes | None, source: str = "") -> TowerInputs:
    """What makes the inputs of this tower; `source` names its tokenizer in errors.

    Raises:
        BundleError: there is no tokenizer that can be read, or the library for it is missing.
    """
    source = source or f"the tokenizer of {spec.name}"
    if tokenizer is None:
        raise BundleError(f"{source} is missing; export again")
    return TextInputs(spec.text, tokenizer, source)


def pieces_for(spec: TowerSpec, pieces: Iterable[Piece]) -> list[Piece]:
    """The pieces that a tower reads, as they are ordered; at most `MAX_VECTORS`."""
    kinds, modalities = frozenset(spec.text.kinds), frozenset(spec.modalities)
    found: list[Piece] = []
    for piece in pieces:
        if piece.kind in kinds and piece.modality in modalities and readable(piece.text):
            found.append(piece)
            if len(found) == MAX_VECTORS:
                break
    return found


def payload_key(spec: TowerSpec, piece: Piece) -> bytes:
    """16 bytes that are equal for two pieces if a tower gives them the same vector."""
    shown = readable(piece.text)
    return hashlib.blake2b(shown.encode(), digest_size=16).digest()


def vector_piece(spec: TowerSpec, piece: Piece, vector: NDArray[np.floating[Any]]) -> Piece:
    """What a tower says of a piece that it read, its vector (width,), as a piece."""
    rounded = array("f", vector.astype(np.float16).astype(np.float32).tobytes())
    return Piece(
        piece.modality,
        "vector",
        piece.source,
        vector=rounded,
        space=spec.name,
        payload_digest=piece.content_hash,
        time_s=piece.time_s,
    )


def inputs_fingerprint(inputs: TowerInputs, payloads: Sequence[Payload]) -> str:
    """SHA-256 over names, types, shapes and bytes of the inputs of each payload and of all."""
    digest = hashlib.sha256()
    for batch in (*([payload] for payload in payloads), payloads):
        for name, values in sorted(inputs(batch).items()):
            digest.update(f"{name}|{values.dtype.str}|{values.shape}|".encode())
            digest.update(values.tobytes())
    return digest.hexdigest()


def golden_payloads(spec: TowerSpec, profiles: Iterable[StreamerContent]) -> list[Payload]:
    """The distinct payloads of golden profiles, whatever their modality."""
    pieces = (piece for profile in profiles for piece in pieces_of(profile))
    texts = (readable(p.text) for p in pieces if p.kind in ("text", "tag", "category"))
    return list(dict.fromkeys(text for text in texts if text))
