"""Preprocessing of payloads to the named arrays that a tower's graph reads."""

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
    fingerprint_of,
    prepare_image,
    shows_nothing,
    thumbnail_of,
)
from model_export.contract.towers.spec import TextSpec, TowerSpec


@dataclass(frozen=True)
class Payload:
    """Raw content of one piece for a tower.

    Attributes:
        source: part of the profile, for errors.
        text: of a text piece, normalised by `contract.text.readable`.
        data: bytes of a picture or a sound.
        content_type: declared type of the bytes, such as `image/png`.
    """

    source: str
    text: str = ""
    data: bytes = b""
    content_type: str = ""

    @property
    def size(self) -> int:
        """Sort key under which payloads of similar encoding cost are neighbours."""
        return len(self.text)


TowerBatch = dict[str, NDArray[np.generic]]
"""Input name -> array of a tower's graph."""
Prepared = NDArray[np.generic]
"""One preprocessed payload, ready for a batch."""


class Decoded(NamedTuple):
    """Decoded picture or sound, with the levels by which copies are recognised.

    Attributes:
        prepared: input of the tower.
        levels: thumbnail of a picture, or fingerprint of a sound; None for other payloads.
    """

    prepared: Prepared
    levels: NDArray[np.uint8] | None = None


class TowerInputs(Protocol):
    """Preprocessor of a tower: decodes payloads one by one, then collates them to a batch."""

    def prepare(self, payload: Payload) -> Prepared:
        """Decode one payload.

        Raises:
            UnreadableContent: the payload is damaged, of another type than declared or too large.
            SilentContent: the sound is silent, or the picture has one colour.
            MissingExtra: the decoder is not installed.
        """
        ...

    def batch(self, prepared: Sequence[Prepared]) -> TowerBatch:
        """Collate B >= 1 payloads."""
        ...


class TextInputs:
    """Tokenises texts to `input_ids` and `attention_mask`, int64 (B, L), L the longest text."""

    def __init__(self, spec: TextSpec, tokenizer: bytes, source: str) -> None:
        """Load a tokenizer file; `source` names it in errors.

        Raises:
            BundleError: the file can't be read.
            MissingExtra: the library `tokenizers` is not installed.
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
        """Token ids of a text, int64 (L,)."""
        return np.array(self._tokenizer.encode(self._spec.prefix + payload.text).ids, np.int64)

    def batch(self, prepared: Sequence[Prepared]) -> TowerBatch:
        """Padded token ids and masks of B texts."""
        longest = max([1, *map(len, prepared)])
        ids = np.full((len(prepared), longest), self._spec.pad_id, np.int64)  # (B, L)
        mask = np.zeros((len(prepared), longest), np.int64)  # (B, L)
        for row, tokens in enumerate(prepared):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        return {"input_ids": ids, "attention_mask": mask}


class ImageInputs:
    """Decodes pictures to `pixels`, uint8 (B, S, S, 3)."""

    def __init__(self, spec: ImageSpec) -> None:
        self._spec = spec

    def prepare(self, payload: Payload) -> Prepared:
        """Pixels of a picture, uint8 (S, S, 3)."""
        return self.decode(payload).prepared

    def decode(self, payload: Payload) -> Decoded:
        """Pixels of a picture, uint8 (S, S, 3), and its thumbnail; raises like `prepare`."""
        image = decode_image(payload.data, payload.content_type, payload.source)
        square = prepare_image(image, self._spec)
        if shows_nothing(square):
            raise SilentContent(payload.source, "shows one colour: leave it out")
        return Decoded(square, thumbnail_of(image))

    def batch(self, prepared: Sequence[Prepared]) -> TowerBatch:
        """Pixels of B pictures."""
        return {"pixels": np.stack(prepared)}


class AudioInputs:
    """Decodes sounds to `samples`, float32 (B, N) within [-1, 1]."""

    def __init__(self, spec: AudioSpec) -> None:
        self._spec = spec

    def prepare(self, payload: Payload) -> NDArray[np.float32]:
        """Samples of a sound, float32 (N,)."""
        return decode_audio(payload.data, payload.content_type, self._spec, payload.source)

    def decode(self, payload: Payload) -> Decoded:
        """Samples of a sound, float32 (N,), and its fingerprint; raises like `prepare`."""
        samples = self.prepare(payload)
        return Decoded(samples, fingerprint_of(samples, self._spec.rate_hz))

    def batch(self, prepared: Sequence[Prepared]) -> TowerBatch:
        """Samples of B sounds."""
        return {"samples": np.stack(prepared)}


def inputs_of(spec: TowerSpec, tokenizer: bytes | None, source: str = "") -> TowerInputs:
    """Preprocessor of a tower; `source` names its tokenizer in errors.

    Raises:
        BundleError: the tokenizer is missing or damaged.
        MissingExtra: the library `tokenizers` is not installed.
    """
    if spec.image is not None:
        return ImageInputs(spec.image)
    if spec.audio is not None:
        return AudioInputs(spec.audio)
    source = source or f"the tokenizer of {spec.name}"
    if spec.text is None or tokenizer is None:
        raise BundleError(f"{source} is missing; export again")
    return TextInputs(spec.text, tokenizer, source)
