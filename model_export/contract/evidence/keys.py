"""Keys: 32-bit hashes of what two profiles can share, and how many bits sharing one is worth.

A key that one of 2**b streamers shows is worth b bits: sharing a rare tag says more than sharing
one that everybody uses (as inverse document frequency; Sparck Jones 1972).
"""

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from model_export.contract.calibration import Part

Hashes = NDArray[np.uint32]
MOST_BITS = 14.0
"""Of a key, however rare: most are shown by one streamer alone, whatever their number."""
MOST_LISTED = 1 << 15
_STEPS_PER_BIT = 8
_SHORT, _LONG = 3, 5
"""Letters of a shingle with, and without, a letter beyond ASCII: `the` says less than 今天好."""
_APART = 6
"""Letters between two words of one phrase, in a text of another script."""
_WORD = np.uint32(1)
"""Bit of a key of a text that is set where the key may be a word of its own, see `are_words`."""
_MIX = np.array([0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1], np.uint64)
_LOW = np.uint64(0xFFFFFFFF)
_SLOT_BITS = np.uint32((1 << 18) - 1)
"""Of a key, by which its worth is looked up."""
_NUMBERS = np.uint32(0xFF000000)
"""Keys of numbers are above it, so that samples of the smallest keys have few of them."""
_USUAL_NUMBERS = (
    *range(1001),
    *range(1990, 2040),
    *range(1100, 10_000, 100),
    *range(10_000, 100_000, 1000),
    *range(100_000, 1_000_000, 10_000),
)
_BITS_OF_A_NUMBER = 3.0
"""Of a usual one, where numbers were not counted."""
_END = "\0"
"""Between two texts; no text has one among its letters."""
_BETWEEN = re.compile(r"[\W_]+")


def key_of(kind: str, text: str) -> int:
    """Hash of a string, 32 bits; strings of different kinds are different keys."""
    digest = hashlib.blake2b(f"{kind}\0{text}".encode("utf-8", "replace"), digest_size=4).digest()
    return int.from_bytes(digest, "little")


def as_hashes(keys: Iterable[int]) -> Hashes:
    """Distinct keys in ascending order."""
    return np.array(sorted(set(keys)), np.uint32)  # of few, much faster than `np.unique`


def number_keys(numbers: Iterable[int]) -> Hashes:
    """Keys of numbers (N,), each of which stands for itself."""
    return as_hashes(key_of("number", str(number)) for number in numbers) | _NUMBERS | _WORD


def shingles(folded: str) -> Hashes:
    """Keys of the overlapping character shingles of the letters of a folded text (N,)."""
    return shingles_of([folded])


def shingles_of(folded: Sequence[str], *, is_latin: bool = False) -> Hashes:
    """Keys of the shingles of several folded texts (N,), none of which crosses from text to text.

    A text that is too short for one is a shingle itself. Time and memory are linear.

    Args:
        folded: the texts.
        is_latin: most letters are Latin ones. Letters beyond ASCII that stand together are one
            word then, and another for each six letters more: the other shingles of a phrase are
            none, and no keys that a text of another script has.
    """
    texts = [letters_of(text) for text in folded]
    whole = [key_of("text", text) for text in texts if 0 < len(text) < _fewest(text)]
    of_whole = np.array(whole, np.uint32) & ~_WORD
    codes = np.frombuffer(_END.join(texts).encode("utf-32-le", "replace"), "<u4").astype(np.uint64)
    wide = np.where(codes >= 128, 1, 0)
    breaks = np.where(codes == 0, len(codes) + 1, 0)  # more than all wide letters together
    near = _sums(wide + breaks, _SHORT)
    plain = _sums(wide + breaks, _LONG) == 0
    are_near = (near > 0) & (near <= _SHORT)
    words = _apart(near == _SHORT) if is_latin else are_near
    nearby = _hashed(codes, _SHORT)
    return np.concatenate(
        [
            of_whole,
            np.where(words, nearby | _WORD, nearby & ~_WORD)[are_near],
            _hashed(codes, _LONG)[plain] & ~_WORD,
        ]
    )


def as_numbers(keys: Hashes) -> Hashes:
    """Keys of shingles (N,) of digits alone, which are no words."""
    return keys | _NUMBERS


def are_words(keys: Hashes) -> NDArray[np.bool_]:
    """Which keys of a text (N,) may each be a name or a number of its own.

    These are shingles with a letter beyond ASCII, such as 王小明, and numbers. A name in Latin
    letters is several shingles.
    """
    return (keys & _WORD).astype(np.bool_)


def are_numbers(keys: Hashes) -> NDArray[np.bool_]:
    """Which keys of a text (N,) are those of numbers and digits, and one of 256 others."""
    return (keys & _NUMBERS) == _NUMBERS


def letters_of(text: str) -> str:
    """Letters and digits of a text, without blanks, punctuation, symbols and marks."""
    return _BETWEEN.sub("", text)


def _fewest(text: str) -> int:
    return _LONG if text.isascii() else _SHORT


def _apart(are_wide: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The first window of each run of wide ones (N,), and every sixth from there."""
    places = np.arange(len(are_wide))
    first = np.maximum.accumulate(np.where(are_wide, -1, places)) + 1 if len(places) else places
    return are_wide & ((places - first) % _APART == 0)


def _sums(numbers: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Sum of each window of so many numbers: (N,) -> (N - length + 1,)."""
    totals = np.concatenate([[0], np.cumsum(numbers)])
    return totals[length:] - totals[:-length]


def _hashed(codes: NDArray[np.uint64], length: int) -> Hashes:
    """Hash of each window of so many code points: (N,) -> (N - length + 1,)."""
    windows = max(len(codes) - length + 1, 0)
    total = np.full(windows, length, np.uint64)
    for place in range(length if windows else 0):
        total = (total ^ codes[place : place + windows]) * _MIX[place] & _LOW
        total ^= total >> np.uint64(15)
    return total.astype(np.uint32)


class Frequencies(Part):
    """How many bits keys are worth.

    Attributes:
        documents: streamers that were counted.
        unknown_bits: of a key that is not listed, which is rarer than all that are.
        keys: ascending uint32, little-endian, base64.
        bits: of each, in eighths, uint8, base64.
    """

    documents: Annotated[int, Field(ge=0)]
    unknown_bits: Annotated[float, Field(ge=0, le=MOST_BITS)]
    keys: str = ""
    bits: str = ""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        keys, bits = _decoded(self.keys, "<u4"), _decoded(self.bits, "u1")
        if len(keys) != len(bits):
            raise ValueError(f"{len(keys)} keys have {len(bits)} numbers of bits")
        if len(keys) > 1 and not (np.diff(keys.astype(np.int64)) > 0).all():
            raise ValueError("keys must be ascending")
        return self

    @classmethod
    def of(cls, counts: Mapping[int, int], documents: int) -> Self:
        """From the number of streamers that show each key; keys of one streamer are not listed."""
        listed = Counter({key: count for key, count in counts.items() if count > 1})
        common = sorted(listed.most_common(MOST_LISTED))
        rarest = min((count for _, count in common), default=2)
        keys = np.array([key for key, _ in common], "<u4")
        worth = np.array([bits_of(count, documents) for _, count in common])
        steps = np.rint(worth * _STEPS_PER_BIT).astype("u1")
        unknown = bits_of(rarest / 2, documents)
        return cls(
            documents=documents,
            unknown_bits=unknown,
            keys=base64.b64encode(keys.tobytes()).decode(),
            bits=base64.b64encode(steps.tobytes()).decode(),
        )

    def of_any_words(self) -> Self:
        """Frequencies of keys that do not tell which of them are words, for those that do."""
        keys = _decoded(self.keys, "<u4").astype(np.uint32)
        return self._listing(
            np.concatenate([keys & ~_WORD, keys | _WORD]),
            np.tile(_decoded(self.bits, "u1"), 2),
        ).with_usual_numbers()

    def with_usual_numbers(self) -> Self:
        """Frequencies of texts whose numbers were not counted."""
        keys, numbers = _decoded(self.keys, "<u4"), number_keys(_USUAL_NUMBERS)
        bits = np.full(len(numbers), round(_BITS_OF_A_NUMBER * _STEPS_PER_BIT))
        return self._listing(
            np.concatenate([keys, numbers]), np.concatenate([_decoded(self.bits, "u1"), bits])
        )

    def _listing(self, keys: NDArray[Any], bits: NDArray[Any]) -> Self:
        distinct, first = np.unique(keys, return_index=True)
        update = {
            "keys": base64.b64encode(distinct.astype("<u4").tobytes()).decode(),
            "bits": base64.b64encode(bits[first].astype("u1").tobytes()).decode(),
        }
        return self.model_copy(update=update)

    def table(self) -> "Worth":
        """Decoded, for look-ups."""
        bits = (_decoded(self.bits, "u1") / np.float32(_STEPS_PER_BIT)).astype(np.float32)
        return Worth(_decoded(self.keys, "<u4").astype(np.uint32), bits, self.unknown_bits)


class Worth:
    """Bits of keys, in a hash table: few of the listed ones share a slot."""

    def __init__(self, keys: Hashes, bits: NDArray[np.float32], unknown_bits: float) -> None:
        """Keys are ascending (K,), with their bits (K,)."""
        self._keys = np.append(keys, np.uint32(0))
        self._bits = np.append(bits, np.float32(unknown_bits))
        self.unknown_bits = unknown_bits
        """Of a key that is not listed."""
        self._unknown = np.float32(unknown_bits)
        slots, places = keys & _SLOT_BITS, np.arange(len(keys), dtype=np.int32)
        self._place = np.full(int(_SLOT_BITS) + 1, len(keys), np.int32)
        self._place[slots] = places  # the last of each slot
        others = np.flatnonzero(self._place[slots] != places)
        self._is_shared = np.zeros(len(self._place), np.bool_)
        self._is_shared[slots[others]] = True
        self._others, self._others_bits = keys[others], bits[others]

    def __call__(self, keys: Hashes) -> NDArray[np.float32]:
        """Bits of each key (N,)."""
        slots = keys & _SLOT_BITS
        places = self._place[slots]
        is_found = self._keys[places] == keys
        found = np.where(is_found, self._bits[places], self._unknown)
        left = np.flatnonzero(self._is_shared[slots] & ~is_found)
        if len(left):
            at = np.searchsorted(self._others, keys[left])
            at[at == len(self._others)] = 0
            listed = self._others[at] == keys[left]
            found[left[listed]] = self._others_bits[at[listed]]
        return found


def bits_of(count: float, documents: int) -> float:
    """What sharing a key is worth that so many of the streamers show, 0 to `MOST_BITS`."""
    bits = float(np.log2((documents + 1) / (count + 0.5)))
    return min(max(bits, 0.0), MOST_BITS)


def count_keys(shown: Iterable[Sequence[Hashes]]) -> tuple[dict[int, int], int]:
    """How many streamers show each key, and how many streamers there are."""
    counts: Counter[int] = Counter()
    documents = 0
    for each in shown:
        documents += 1
        counts.update(np.unique(np.concatenate([*each, np.zeros(0, np.uint32)])).tolist())
    return counts, documents


def _decoded(text: str, kind: str) -> NDArray[np.integer[Any]]:
    try:
        return np.frombuffer(base64.b64decode(text, validate=True), kind)
    except ValueError as error:
        raise ValueError(f"is no list of numbers in base64: {error}") from None
