"""What two streamers both show: labels, contacts, titles, phrases, pictures and sounds."""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from model_export.contract.evidence import (
    SAME_VECTOR,
    all_folded,
    contact_key,
    is_title,
    letters_of,
    telling_contacts,
    title_letters,
)
from model_export.contract.features import SMALLEST_COMPONENT
from model_export.contract.folding import Contact
from model_export.contract.pieces import Piece
from model_export.contract.text import canonical, normalise
from model_export.contract.uninformative import says_nothing
from model_export.contract.vocabulary import Vocabulary
from service.engine.evidence.media_copies import Pictures, Sounds, copies, sound_copies
from service.engine.evidence.phrases import STOCK, Rarity, Texts, shared_phrases
from service.engine.evidence.waterfall import disguises_of, short

MAX_SAME = 3
"""So many of a kind are named. More tell nobody more."""
MAX_TAGS = 10
_MEDIA = {"avatar": "pictures", "covers": "pictures", "frames": "pictures", "audio": "sounds"}
_MOST_VECTORS = 64


@dataclass(frozen=True)
class SameContent:
    """Content that two profiles share, or pieces that are near each other.

    Attributes:
        seed: its place in the seed, as `videos[0].cover`.
        hit: its place in the hit.
        seed_quote: the seed's words; empty for pictures and sounds.
        hit_quote: likewise.
        disguises: that were undone to see that they are the same.
        similarity: cosine of the two pieces, each encoded alone; None of what is the same.
    """

    seed: str
    hit: str
    seed_quote: str = ""
    hit_quote: str = ""
    disguises: tuple[str, ...] = ()
    similarity: float | None = None


Shared = Mapping[str, list[str] | list[SameContent]]


@dataclass(frozen=True, eq=False)
class Contents:
    """What a profile shows, ready to be compared with many.

    Attributes:
        pieces: that are no boilerplate.
        pictures: those with a thumbnail.
        sounds: those with a fingerprint.
    """

    pieces: Sequence[Piece]
    pictures: Pictures
    sounds: Sounds

    @cached_property
    def media(self) -> Mapping[str, Mapping[str, str]]:
        """Per kind (`pictures`, `sounds`): content hash -> where it is shown first.

        The same picture counts wherever it is shown, as an avatar, a cover or a frame.
        """
        found: dict[str, dict[str, str]] = {"pictures": {}, "sounds": {}}
        for piece in self.pieces:
            if piece.kind in ("media", "vector") and piece.modality in _MEDIA:
                found[_MEDIA[piece.modality]].setdefault(piece.content_hash, piece.source)
        return found

    @cached_property
    def vectors(self) -> Mapping[tuple[str, str], tuple[list[str], NDArray[np.float32]]]:
        """Ready-made vectors by kind and space: their places, and (V, width) of unit length."""
        by_space: dict[tuple[str, str], dict[str, Sequence[float]]] = {}
        for piece in self.pieces:
            if piece.kind == "vector" and piece.modality in _MEDIA:
                found = by_space.setdefault((_MEDIA[piece.modality], piece.space), {})
                if len(found) < _MOST_VECTORS:
                    found.setdefault(piece.source, piece.vector)
        units: dict[tuple[str, str], tuple[list[str], NDArray[np.float32]]] = {}
        for key, found in by_space.items():
            matrix = np.array(list(found.values()), np.float32)  # (V, width)
            lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
            units[key] = list(found), matrix / np.maximum(lengths, 1e-12)
        return units

    @cached_property
    def _folded(self) -> Mapping[str, tuple[str, str]]:
        """Texts and tags without disguises, by source: folded, and by sound and look."""
        shown = [piece for piece in self.pieces if piece.kind in ("text", "tag")]
        folded = all_folded([piece.text for piece in shown])
        return {piece.source: texts for piece, texts in zip(shown, folded, strict=True)}

    @cached_property
    def titles(self) -> Mapping[str, Piece]:
        """Titles by their words, and by their letters without disguises.

        A digit or sign that may stand for a letter is one in the latter: the end of `tea!` too.
        """
        spelt = _first(self.pieces, is_title, lambda p: title_letters(*self._folded[p.source]))
        titles = spelt | _first(self.pieces, is_title, lambda p: canonical(p.text))
        return {key: piece for key, piece in titles.items() if key}

    @cached_property
    def tags(self) -> Mapping[str, Piece]:
        """Tags of the profile and its videos by their letters, without disguises."""
        return _first(
            self.pieces,
            lambda p: p.kind == "tag",
            lambda p: letters_of(self._folded[p.source][1]) or p.text.strip(),
        )

    def labels(self, kind: str) -> Mapping[str, Piece]:
        """Categories or languages, as normalised."""
        return _first(self.pieces, lambda p: p.kind == kind, lambda p: normalise(p.text))

    @cached_property
    def texts(self) -> Texts:
        """Name, bio and titles."""
        shown = [piece for piece in self.pieces if piece.kind == "text"]
        return Texts(
            [piece.source for piece in shown],
            [" ".join(piece.text.splitlines()) for piece in shown],
            [self._folded[piece.source][1] for piece in shown],
        )

    @cached_property
    def contacts(self) -> Mapping[int, tuple[str, Contact]]:
        """Contacts that texts name, with where."""
        found: dict[int, tuple[str, Contact]] = {}
        for place, text in zip(self.texts.places, self.texts.texts, strict=True):
            for contact in telling_contacts(text):
                found.setdefault(contact_key(contact.value), (place, contact))
        return found


def _first(
    pieces: Iterable[Piece], is_wanted: Callable[[Piece], bool], key: Callable[[Piece], str]
) -> dict[str, Piece]:
    """The first piece of each key, but of an empty one."""
    found: dict[str, Piece] = {}
    for piece in pieces:
        if is_wanted(piece):
            found.setdefault(key(piece), piece)
    found.pop("", None)
    return found


class SharedContent:
    """Finds what two profiles share, what is rare first and boilerplate never."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Rare is what is rare in `vocabulary`; boilerplate what it lists as uninformative."""
        self._uninformative: Set[str] = vocabulary.uninformative
        self._rarity = Rarity(vocabulary)

    def boilerplate(self, pieces: Iterable[Piece]) -> frozenset[str]:
        """Sources of the pieces that tell nothing of a profile."""
        return frozenset(piece.source for piece in pieces if not self._tells(piece))

    def _tells(self, piece: Piece) -> bool:
        if piece.kind == "text" and normalise(piece.text) in STOCK:
            return False
        if piece.kind == "vector":
            numbers = np.asarray(piece.vector, np.float32)
            if not len(numbers) or np.abs(numbers).max() < SMALLEST_COMPONENT:
                return False
        if piece.kind == "media" and piece.content_hash in self._uninformative:
            return False
        return not says_nothing(piece, self._uninformative)

    def shared(self, seed: Contents, hit: Contents) -> dict[str, list[str] | list[SameContent]]:
        """What both show, by kind; kinds with nothing in common are left out."""
        found: dict[str, list[str] | list[SameContent]] = {}
        found["contacts"] = _contacts(seed, hit)
        found["tags"] = self._tags(seed, hit)
        found["titles"] = titles = _titles(seed, hit)
        named = frozenset(title.seed for title in titles)
        found["phrases"] = [
            SameContent(said.a_source, said.b_source, said.a, said.b, disguises)
            for said, disguises in shared_phrases(
                seed.texts, hit.texts, self._rarity, MAX_SAME, named
            )
        ]
        for kind in ("pictures", "sounds"):
            found[kind], found[f"similar_{kind}"] = _media(kind, seed, hit)
        for kind in ("category", "language"):
            ours, theirs = seed.labels(kind), hit.labels(kind)
            found[kind] = [piece.text for label, piece in ours.items() if label in theirs]
        return {kind: values for kind, values in found.items() if values}

    def _tags(self, seed: Contents, hit: Contents) -> list[str]:
        both = [piece.text for label, piece in seed.tags.items() if label in hit.tags]
        worth = {label: bits for label in both if (bits := self._rarity.of_tag(label))}
        return sorted(worth, key=lambda label: (-worth[label], label))[:MAX_TAGS]


def _contacts(seed: Contents, hit: Contents) -> list[SameContent]:
    if not seed.contacts:  # most name none, so that the other side need not be read
        return []
    found: list[SameContent] = []
    for key, (place, contact) in seed.contacts.items():
        if key in hit.contacts:
            where, other = hit.contacts[key]
            undone = dict.fromkeys(map(str, (*contact.disguises, *other.disguises)))
            quotes = short(contact.quote), short(other.quote)
            found.append(SameContent(place, where, *quotes, tuple(undone)))
    return found[:MAX_SAME]


def _titles(seed: Contents, hit: Contents) -> list[SameContent]:
    pairs = {
        piece.source: (piece, hit.titles[key])
        for key, piece in seed.titles.items()
        if key in hit.titles
    }
    both = [pairs[piece.source] for piece in seed.pieces if piece.source in pairs]
    return [
        SameContent(
            ours.source,
            theirs.source,
            short(ours.text),
            short(theirs.text),
            tuple(disguises_of(ours.text, theirs.text)),
        )
        for ours, theirs in both[:MAX_SAME]
    ]


def _media(kind: str, seed: Contents, hit: Contents) -> tuple[list[SameContent], list[SameContent]]:
    """Identical pictures or sounds, and those that are copies or vectors nearly equal."""
    theirs = hit.media[kind]
    same = [(at, theirs[digest]) for digest, at in seed.media[kind].items() if digest in theirs]
    alike: list[tuple[str, str]] = []
    if kind == "pictures" and seed.pictures.places and hit.pictures.places:
        alike = copies(seed.pictures, hit.pictures)
    elif kind == "sounds" and seed.sounds.places and hit.sounds.places:
        alike = sound_copies(seed.sounds, hit.sounds)
    near = dict.fromkeys([*alike, *_near_vectors(kind, seed, hit)])
    taken, given = {at for at, _ in same}, {where for _, where in same}
    similar: list[SameContent] = []
    for at, where in near:
        if at not in taken and where not in given:
            taken.add(at)
            given.add(where)
            similar.append(SameContent(at, where))
    return [SameContent(*pair) for pair in same[:MAX_SAME]], similar[:MAX_SAME]


def _near_vectors(
    kind: str, seed: Contents, hit: Contents
) -> Generator[tuple[str, str], None, None]:
    for key, (places, matrix) in seed.vectors.items():
        found = hit.vectors.get(key)
        if key[0] != kind or found is None or found[1].shape[1] != matrix.shape[1]:
            continue
        cosines = matrix @ found[1].T  # (V, W)
        for one, other in zip(*np.nonzero(cosines >= SAME_VECTOR), strict=True):
            yield places[int(one)], found[0][int(other)]
