"""What is compared of one profile: keys of its texts and labels, and its ready-made vectors."""

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from functools import cache
from typing import Self

import numpy as np
from numpy.typing import NDArray

from model_export.contract.evidence.keys import (
    Hashes,
    as_hashes,
    as_numbers,
    key_of,
    letters_of,
    number_keys,
    shingles_of,
)
from model_export.contract.evidence.languages import (
    MOST_OF_LATIN,
    NO_LETTERS,
    foreign_tenths,
    numbers_in,
)
from model_export.contract.evidence.readings import read, without_others
from model_export.contract.features import SMALLEST_COMPONENT
from model_export.contract.folding import Contact, find_contacts, fold, identity_of, is_everybodys
from model_export.contract.folding.romanised import readings as romanised
from model_export.contract.folding.tables import Codes, tables, translated
from model_export.contract.pieces import Piece, pieces_of
from model_export.contract.streamer import StreamerContent
from model_export.contract.text import normalise
from model_export.contract.uninformative import says_nothing

MOST_SHINGLES = 2048
"""Of a profile; of more the smallest are kept, which are a random sample (bottom-k; Cohen 2007)."""
MOST_VECTORS = 32
"""Of a space."""
MOST_CONTACTS = 64
_BETWEEN_TEXTS = "\n" * 9
"""More than may stand between a word and the contact that it announces: the title after a bio that
ends in one is no contact."""
_SHORTEST_TITLE, _SHORTEST_PLAIN_TITLE = 5, 10
"""Letters of a title that is compared as a whole, with and without letters beyond ASCII."""
ALL = 0xFFFFFFFF
VECTOR_KEYS = "vector_keys"
"""Beside the keys of channels, those by which sides with nearly equal vectors are found."""
KEYED = ("text", "names", "contacts", "titles", "tags", "category_language", "pictures", "sounds")
"""Channels whose content is a set of keys."""
CHANNELS_OF_KEYS = (*KEYED, VECTOR_KEYS)
_KINDS = {"avatar": "pictures", "covers": "pictures", "frames": "pictures", "audio": "sounds"}
_LOOKS = str.maketrans("0123456789$@!|l€<#+¢£§", "oizeasgtbgsaiiiechtcls")
_NUMERALS = re.compile(r"\d(?:[\W_]*\d)*")
_FEWEST_DIGITS = 5
"""Of a shingle."""
_NOTHING: Hashes = np.zeros(0, np.uint32)


class Side:
    """What is compared of a profile. Nothing of it changes.

    Attributes:
        flat: keys of all channels of `CHANNELS_OF_KEYS`, one after the other, each ascending (K,).
        sizes: how many of them each of these channels has.
        name: key of the folded name; None without one.
        limit: largest shingle that was kept.
        script: tenths of the letters of its texts that are foreign, see `foreign_tenths`.
        vectors: ready-made vectors of pictures and sounds by space: (V, width), unit length.
        embedding: (D,), unit length; None without usable content.
    """

    __slots__ = ("embedding", "flat", "limit", "name", "script", "sizes", "vectors")

    def __init__(
        self,
        keys: Mapping[str, Hashes],
        name: int | None = None,
        limit: int = ALL,
        vectors: Mapping[str, NDArray[np.float32]] | None = None,
        embedding: NDArray[np.float32] | None = None,
        *,
        script: int = NO_LETTERS,
    ) -> None:
        """Put together the ascending keys of channels; those it does not show may be missing."""
        shown = [keys.get(channel, _NOTHING) for channel in CHANNELS_OF_KEYS]
        sizes = tuple(map(len, shown))
        self._fill(np.concatenate(shown), sizes, name, limit, vectors, embedding, script)

    @classmethod
    def joined(
        cls,
        flat: Hashes,
        sizes: tuple[int, ...],
        name: int | None,
        limit: int,
        vectors: Mapping[str, NDArray[np.float32]],
        embedding: NDArray[np.float32] | None,
        script: int,
    ) -> Self:
        """Of keys that are one array already."""
        side = cls.__new__(cls)
        side._fill(flat, sizes, name, limit, vectors, embedding, script)
        return side

    def _fill(
        self,
        flat: Hashes,
        sizes: tuple[int, ...],
        name: int | None,
        limit: int,
        vectors: Mapping[str, NDArray[np.float32]] | None,
        embedding: NDArray[np.float32] | None,
        script: int,
    ) -> None:
        self.flat = flat
        self.sizes = sizes
        self.name = name
        self.limit = limit
        self.script = script
        self.vectors = vectors or {}
        self.embedding = embedding

    @property
    def keys(self) -> dict[str, Hashes]:
        """Keys of each channel that it shows."""
        return {
            channel: self.of(channel)
            for channel, size in zip(CHANNELS_OF_KEYS, self.sizes, strict=True)
            if size
        }

    def of(self, channel: str) -> Hashes:
        """Keys of a channel."""
        place = CHANNELS_OF_KEYS.index(channel)
        start = sum(self.sizes[:place])
        return self.flat[start : start + self.sizes[place]]

    def with_embedding(self, embedding: NDArray[np.float32] | None) -> Self:
        """A copy with the embedding of another model, (D,) of unit length, or without one."""
        name, limit = self.name, self.limit
        return self.joined(self.flat, self.sizes, name, limit, self.vectors, embedding, self.script)

    @property
    def size_bytes(self) -> int:
        """Memory of its arrays."""
        embedding = 0 if self.embedding is None else self.embedding.nbytes
        vectors = sum(array.nbytes for array in self.vectors.values())
        return self.flat.nbytes + vectors + embedding


def side_of(
    profile: StreamerContent,
    uninformative: Set[str] = frozenset(),
    embedding: NDArray[np.float32] | None = None,
) -> Side:
    """What is compared of a profile.

    Boilerplate that many streamers share (`uninformative`, the vocabulary's) is no evidence.
    Linear in the length of its texts.
    """
    all_pieces = pieces_of(profile)
    pieces = [piece for piece in all_pieces if not says_nothing(piece, uninformative)]
    shown = [piece for piece in pieces if is_text(piece)]
    given = _all_folded([piece.text for piece in shown])
    folded = list(map(read, given))
    # Beside the texts, since what parts their characters may be words too.
    apart = [(without_others(text), piece) for text, piece in zip(given, shown, strict=True)]
    folded += [text for text, _ in apart if text is not None]
    shown += [piece for text, piece in apart if text is not None]
    spelt = _all_spelt(folded)
    texts = zip(folded, spelt, shown, strict=True)
    titles = [(text, sounds) for text, sounds, piece in texts if is_title(piece)]
    tags = all_sound_like([piece.text for piece in pieces if piece.kind == "tag"])
    tag_keys = as_hashes(_tag_key(label) for label in tags)
    # Who says nothing else is told by the tags.
    script = foreign_tenths(folded, spelt)
    text = _text_keys(list(dict.fromkeys(spelt)), folded, script) if spelt else tag_keys
    kept = text[:MOST_SHINGLES]
    name = letters_of(sounds_like(profile.name)) if profile.name else ""
    keys = {
        "text": kept,
        "names": _grams(name),
        "contacts": _contacts(all_pieces),
        "titles": as_hashes(
            key_of("title", title_letters(*title))
            for title in titles
            if _says_enough(letters_of(title[1]))
        ),
        "tags": tag_keys,
        "category_language": as_hashes(
            key_of(p.kind, normalise(p.text)) for p in pieces if p.kind in ("category", "language")
        ),
        "pictures": _media(pieces, "pictures"),
        "sounds": _media(pieces, "sounds"),
    }
    vectors = _vectors(pieces)
    keys[VECTOR_KEYS] = _vector_keys(vectors)
    return Side(
        keys,
        key_of("name", name) if name else None,
        int(kept[-1]) if len(kept) < len(text) else ALL,
        vectors,
        embedding,
        script=script,
    )


def telling_pieces(profile: StreamerContent, uninformative: Set[str]) -> list[Piece]:
    """Pieces of a profile that are not boilerplate."""
    return [piece for piece in pieces_of(profile) if not says_nothing(piece, uninformative)]


def is_title(piece: Piece) -> bool:
    """Whether a piece is the title of a video or a live session."""
    return piece.kind == "text" and piece.modality in ("videos", "lives")


def is_text(piece: Piece) -> bool:
    """Whether the text channel compares a piece."""
    return piece.kind == "text" and piece.modality != "name"


def title_letters(folded: str, spelt: str) -> str:
    """What a title is told by: its letters in any order, and its numbers as they stand.

    Who shuffles its words changes nothing else. The letters of a short title stay in order, since
    others have the same ones; nothing is left of one without letters.

    Args:
        folded: the title.
        spelt: the same by look, see `sounds_like`.
    """
    letters = letters_of(spelt)
    if not _says_enough(letters):
        return letters
    numbers = sorted(letters_of(found) for found in _NUMERALS.findall(folded))
    return " ".join(["".join(sorted(letters)), *numbers])


def sounds_like(text: str) -> str:
    """Text without disguises, homophones and look-alike digits too.

    It is folded, with one character for each Chinese syllable, and one for all letters and digits
    of one look (`1`, `l` and `i`; `a`, `ạ` and `а` of Cyrillic), since any may stand for another.
    It has the length of the folded text.
    """
    return _spelt(fold(text).text)


def as_read(text: str) -> tuple[str, str]:
    """A text in the two forms that keys are made of: as it is read, and the same by look.

    What parts its Chinese characters is left out, so its places are not those of the folded text.
    """
    folded = fold(text).text
    shown = without_others(folded) or read(folded)
    return shown, _spelt(shown)


def _spelt(folded: str) -> str:
    return folded.translate(_LOOKS) if folded.isascii() else translated(folded, _alike())


@cache
def _alike() -> Codes:
    """One character for all of one sound or look, as a mapping of all there are."""
    known = tables()
    looks = np.arange(len(known.skeleton), dtype=np.uint32)
    looks[list(_LOOKS)] = list(_LOOKS.values())
    return looks[known.skeleton[known.phonetic[known.han]]]


def _text_keys(spelt: Sequence[str], folded: Sequence[str], script: int) -> Hashes:
    """Keys of texts, of Chinese names that they write in Latin letters, and of numbers."""
    names = romanised("\n".join(spelt))
    words = shingles_of([*spelt, *names], is_latin=NO_LETTERS < script <= MOST_OF_LATIN)
    digits = shingles_of(_spelt_numerals(folded))
    if len(digits):
        words = np.where(np.isin(words, digits), as_numbers(words), words)
    return np.unique(np.concatenate([words, number_keys(numbers_in(folded))]))


def _spelt_numerals(folded: Sequence[str]) -> list[str]:
    """Numbers that stand together in each text, without a letter between, by look."""
    found = (match[0] for text in folded for match in _NUMERALS.finditer(text))
    return [_spelt(numerals) for numerals in found if len(numerals) >= _FEWEST_DIGITS]


def _says_enough(letters: str) -> bool:
    """Whether a title is long enough that few have it by chance."""
    return len(letters) >= (_SHORTEST_PLAIN_TITLE if letters.isascii() else _SHORTEST_TITLE)


def all_sound_like(texts: Sequence[str]) -> list[str]:
    """`sounds_like` of texts, folded as the lines of one: many short ones take a tenth of it.

    Line breaks within a text become blanks.
    """
    return [spelt for _, spelt in all_folded(texts)]


def all_folded(texts: Sequence[str]) -> list[tuple[str, str]]:
    """Texts folded, and as `all_sound_like` has them."""
    folded = _all_folded(texts)
    return list(zip(folded, _all_spelt(folded), strict=True))


def _all_folded(texts: Sequence[str]) -> list[str]:
    lines = [" ".join(text.splitlines()) for text in texts]
    folded = fold("\n".join(lines)).text.split("\n")
    return folded if len(folded) == len(lines) else [fold(line).text for line in lines]


def _all_spelt(folded: Sequence[str]) -> list[str]:
    """Folded texts by sound and look; no letter becomes a line break."""
    return _spelt("\n".join(folded)).split("\n") if folded else []


def tag_key(label: str) -> int:
    """Key of a tag."""
    return _tag_key(sounds_like(label))


def _tag_key(spelt: str) -> int:
    return key_of("tag", letters_of(spelt) or spelt.strip())


def contact_key(value: str) -> int:
    """Key of a contact, whatever it is of and however it is written; see `identity_of`."""
    return key_of("contact", identity_of(value))


def telling_contacts(text: str, most: int = MOST_CONTACTS) -> list[Contact]:
    """Contacts that a text names, but for numbers that everybody writes."""
    return [
        each for each in find_contacts(text, most) if not is_everybodys(identity_of(each.value))
    ]


def contact_texts(profile: StreamerContent) -> Iterable[tuple[str, str]]:
    """Where contacts are looked for, with the text: the bio, the name, and titles."""
    for piece in pieces_of(profile):
        if piece.kind == "text":
            yield piece.source, piece.text


def _contacts(pieces: Sequence[Piece]) -> Hashes:
    texts = (piece.text for piece in pieces if piece.kind == "text")
    shown = _BETWEEN_TEXTS.join(" ".join(text.splitlines()) for text in texts)
    return as_hashes(contact_key(each.value) for each in telling_contacts(shown))


def _media(pieces: Sequence[Piece], kind: str) -> Hashes:
    return as_hashes(
        key_of("media", piece.payload_digest)
        for piece in pieces
        if piece.kind == "media" and _KINDS.get(piece.modality) == kind
    )


def _vectors(pieces: Sequence[Piece]) -> dict[str, NDArray[np.float32]]:
    """Distinct unit vectors of pictures and sounds, by space."""
    by_space: dict[str, dict[str, NDArray[np.float32]]] = {}
    for piece in pieces:
        if piece.kind == "vector" and piece.modality in _KINDS:
            vector = np.asarray(piece.vector, np.float32)
            if np.abs(vector).max() >= SMALLEST_COMPONENT:
                by_space.setdefault(piece.space, {}).setdefault(
                    piece.content_hash, vector / max(float(np.linalg.norm(vector)), 1e-12)
                )
    found: dict[str, NDArray[np.float32]] = {}
    for space, vectors in by_space.items():
        of_one_width = [v for v in vectors.values() if len(v) == len(next(iter(vectors.values())))]
        found[space] = np.stack(of_one_width[:MOST_VECTORS])
    return found


def _vector_keys(by_space: Mapping[str, NDArray[np.float32]]) -> Hashes:
    """Keys of vectors by the places and signs of their largest numbers."""
    keys: list[int] = []
    for space, vectors in by_space.items():
        largest = np.sort(np.argsort(-np.abs(vectors), axis=1)[:, :4], axis=1)  # (V, 4)
        signs = np.take_along_axis(vectors, largest, axis=1) > 0
        marks = zip(largest.tolist(), signs.tolist(), strict=True)
        keys += [key_of("vector", f"{space} {mark}") for mark in marks]
    return as_hashes(keys)


def _grams(name: str) -> Hashes:
    """Keys of the pairs of letters of a name, with its ends."""
    ends = f"\1{name}\2"
    pairs = (ends[place : place + 2] for place in range(len(ends) - 1))
    return as_hashes(key_of("gram", pair) for pair in pairs) if name else _NOTHING
