"""Payloads to the named arrays that a tower's graph reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from model_export.contract.errors import BundleError, MissingExtra, SilentContent
from model_export.contract.media import (
    AudioSpec,
    ImageSpec,
    decode_audio,
    decode_image,
    outline_of,
    prepare_image,
    print_of,
    shows_nothing,
)
from model_export.contract.towers.spec import TextSpec, TowerSpec


@dataclass(frozen=True)
class Payload:
    """What a tower reads of one piece.

    Attributes:
        source: the part of the profile, for errors.
        text: of a text, as `contract.text.readable` leaves it.
        data: the bytes of a picture or a sound.
        content_type: what they are, as `image/png`.
    """

    source: str
    text: str = ""
    data: bytes = b""
    content_type: str = ""

    @property
    def size(self) -> int:
        """To sort by: what takes alike long to encode has alike sizes."""
        return len(self.text)


TowerBatch = dict[str, NDArray[np.generic]]
"""Named arrays, the inputs of a tower's graph."""
Prepared = NDArray[np.generic]
"""One payload, ready to be put into a batch."""


class Decoded(NamedTuple):
    """What was read of a picture or a sound: ready for the tower, and what tells its copies.

    That is the outline of a picture, the print of a sound.
    """

    prepared: Prepared
    outline: NDArray[np.uint8] | None = None


class TowerInputs(Protocol):
    """Payloads to the inputs of a tower's graph, in two steps: the first may fail for a payload."""

    def prepare(self, payload: Payload) -> Prepared:
        """One payload, decoded.

        Raises:
            UnreadableContent: it is not what it says, or over a limit.
            SilentContent: a sound in which nothing is heard, a picture of one colour.
            MissingExtra: what decodes it is not installed.
        """
        ...

    def batch(self, prepared: Sequence[Prepared]) -> TowerBatch:
        """The inputs of the graph for B payloads, one or more."""
        ...


class TextInputs:
    """Texts to `input_ids` and `attention_mask`, int64 (B, L), L = the longest of the batch."""

    def __init__(self, spec: TextSpec, tokenizer: bytes, source: str) -> None:
        """Read a tokenizer file; `source` names it in errors.

        Raises:
            BundleError: the file can't be read.
            MissingExtra: the library is not installed.
        """
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingExtra("text-tower", error) from None
        try:
            made = cast(Any, Tokenizer.from_str(tokenizer.decode()))
        except Exception as error:  # its exceptions share no base but Exception
            raise BundleError(f"{source} is no tokenizer file: {error}; export again") from error
        made.no_padding()
        made.enable_truncation(spec.max_tokens)
        self._tokenizer, self._spec = made, spec

    def prepare(self, payload: Payload) -> Prepared:
        """The tokens of a text, int64 (L,)."""
        return np.array(self._tokenizer.encode(self._spec.prefix + payload.text).ids, np.int64)

    def batch(self, prepared: Sequence[Prepared]) -> TowerBatch:
        """The inputs for B texts."""
        longest = max([1, *map(len, prepared)])
        ids = np.full((len(prepared), longest), self._spec.pad_id, np.int64)  # (B, L)
        mask = np.zeros((len(prepared), longest), np.int64)  # (B, L)
        for row, tokens in enumerate(prepared):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        return {"input_ids": ids, "attention_mask": mask}


class ImageInputs:
    """Pictures to `pixels`, uint8 (B, S, S, 3)."""

    def __init__(self, spec: ImageSpec) -> None:
        self._spec = spec

    def prepare(self, payload: Payload) -> Prepared:
        """A picture, uint8 (S, S, 3)."""
        return self.decode(payload).prepared

    def decode(self, payload: Payload) -> Decoded:
        """A picture, uint8 (S, S, 3), and its outline; raises as `prepare`."""
        image = decode_image(payload.data, payload.content_type, payload.source)
        square = prepare_image(image, self._spec)
        if shows_nothing(square):
            raise SilentContent(payload.source, "shows one colour: leave it out")
        return Decoded(square, outline_of(image))

    def batch(self, prepared: Sequence[Prepared]) -> TowerBatch:
        """The inputs for B pictures."""
        return {"pixels": np.stack(prepared)}


class AudioInputs:
    """Sounds to `samples`, float32 (B, N) within -1 and 1."""

    def __init__(self, spec: AudioSpec) -> None:
        self._spec = spec

    def prepare(self, payload: Payload) -> NDArray[np.float32]:
        """A sound, float32 (N,)."""
        return decode_audio(payload.data, payload.content_type, self._spec, payload.source)

    def decode(self, payload: Payload) -> Decoded:
        """A sound, float32 (N,), and its print; raises as `prepare`."""
        samples = self.prepare(payload)
        return Decoded(samples, print_of(samples, self._spec.rate_hz))

    def batch(self, prepared: Sequence[Prepared]) -> TowerBatch:
        """The inputs for B sounds."""
        return {"samples": np.stack(prepared)}


def inputs_of(spec: TowerSpec, tokenizer: bytes | None, source: str = "") -> TowerInputs:
    """What makes the inputs of this tower; `source` names its tokenizer in errors.

    Raises:
        BundleError: there is no tokenizer that can be read.
        MissingExtra: the library for it is not installed.
    """
    if spec.image is not None:
        return ImageInputs(spec.image)
    if spec.audio is not None:
        return AudioInputs(spec.audio)
    source = source or f"the tokenizer of {spec.name}"
    if spec.text is None or tokenizer is None:
        raise BundleError(f"{source} is missing; export again")
    return TextInputs(spec.text, tokenizer, source)
