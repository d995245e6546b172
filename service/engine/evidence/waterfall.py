"""The waterfall of one pair: what each channel adds to the match weight, with quotes."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from model_export.contract.evidence import (
    ABSENT,
    CHANNELS,
    SAME_VECTOR,
    as_read,
    contact_key,
    contact_texts,
    is_text,
    is_title,
    letters_of,
    sounds_like,
    tag_key,
    telling_contacts,
    telling_pieces,
    title_letters,
)
from model_export.contract.folding import Disguise, Folded, cut, fold, phonetic, quote
from model_export.contract.pieces import Piece
from model_export.contract.streamer import StreamerContent
from model_export.contract.text import normalise
from service.engine.evidence.engine import Compared, Evidence
from service.engine.evidence.media_copies import (
    Pictures,
    Sounds,
    copies,
    sound_copies,
)
from service.engine.evidence.passages import common_passages, romanised_names

MOST_QUOTES = 3
"""Of a channel. More tell nobody more."""
QUOTE_CHARS = 80
State = Literal["agrees", "differs", "absent"]
Texts = Sequence[tuple[str, str]]
"""Where each text stands in a profile, and the text."""


@dataclass(frozen=True)
class Quote:
    """What both sides show, in their own words, and where; no words for pictures and sounds."""

    a: str
    b: str
    a_source: str
    b_source: str

    @property
    def a_undone(self) -> str | None:
        """Words of a without their disguises; None where they have none."""
        return _undone(self.a)

    @property
    def b_undone(self) -> str | None:
        """Likewise of b."""
        return _undone(self.b)


@dataclass(frozen=True)
class ChannelEvidence:
    """A channel of the waterfall.

    Attributes:
        channel: its name.
        weight: bits that it adds; 0 if absent or masked.
        state: `absent` where either side does not show it.
        level: how far the two agree, by the name of the channel's level; None if absent.
        quotes: what both show.
        disguises: that were undone in the quotes.
    """

    channel: str
    weight: float
    state: State
    level: str | None
    quotes: Sequence[Quote] = ()
    disguises: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Shows:
    """What one side of a pair shows.

    Attributes:
        profile: its content.
        pieces: of it, without boilerplate.
        pictures, sounds: those with a thumbnail or fingerprint.
    """

    profile: StreamerContent
    pieces: Sequence[Piece]
    pictures: Pictures
    sounds: Sounds

    @classmethod
    def of(
        cls, evidence: Evidence, profile: StreamerContent, pictures: Pictures, sounds: Sounds
    ) -> "Shows":
        """What a profile shows, without what `evidence` knows as boilerplate."""
        pieces = telling_pieces(profile, evidence.uninformative)
        return cls(profile, pieces, pictures, sounds)


@dataclass
class _Found:
    quotes: list[Quote] = field(default_factory=list[Quote])
    disguises: dict[str, None] = field(default_factory=dict[str, None])


def media_counts(a: Shows, b: Shows) -> dict[str, int]:
    """Copies among pictures and among sounds, -1 where either side has none to be compared."""
    counts = {"pictures": -1, "sounds": -1}
    if a.pictures.hashes.telling.any() and b.pictures.hashes.telling.any():
        counts["pictures"] = len(copies(a.pictures, b.pictures))
    fewer = min(int(s.sounds.fingerprints.telling.sum()) for s in (a, b))
    if fewer:
        shared = len(sound_copies(a.sounds, b.sounds))
        # Two who play the same songs are not one person: where most differ, it is one copy.
        counts["sounds"] = shared if 2 * shared >= fewer else min(shared, 1)
    return counts


def waterfall(compared: Compared, a: Shows, b: Shows) -> list[ChannelEvidence]:
    """Each channel of the only pair that was compared, in the order of the channels."""
    found: list[ChannelEvidence] = []
    for column, channel in enumerate(CHANNELS):
        level = int(compared.levels[0, column])
        weight = float(compared.matches.contributions[0, column])
        if level == ABSENT:
            found.append(ChannelEvidence(channel.name, 0.0, "absent", None))
            continue
        state: State = "agrees" if level < channel.agreeing else "differs"
        shown = _QUOTES[channel.name](a, b) if channel.name in _QUOTES else _Found()
        # What little two have in common is no quote of a difference.
        quotes = shown.quotes[:MOST_QUOTES] if state == "agrees" else []
        disguises = list(shown.disguises) if quotes else []
        name = channel.levels[level]
        found.append(ChannelEvidence(channel.name, weight, state, name, quotes, disguises))
    return found


def _passages(a: Shows, b: Shows) -> _Found:
    return _shared_passages(_texts(a, is_text), _texts(b, is_text))


def _names(a: Shows, b: Shows) -> _Found:
    found = _Found()
    if a.profile.name and b.profile.name:
        _add(found, ("name", a.profile.name), ("name", b.profile.name))
    return found


def _titles(a: Shows, b: Shows) -> _Found:
    ours, theirs = _texts(a, is_title), _texts(b, is_title)
    return _equal(ours, theirs, lambda title: title_letters(*as_read(title)))


def _tags(a: Shows, b: Shows) -> _Found:
    ours, theirs = _texts(a, _is_tag), _texts(b, _is_tag)
    return _equal(ours, theirs, lambda label: str(tag_key(label)))


def _labels(a: Shows, b: Shows) -> _Found:
    found = _Found()
    for kind in ("category", "language"):
        ours, theirs = (
            [(p.source, p.text) for p in side.pieces if p.kind == kind] for side in (a, b)
        )
        found.quotes += _equal(ours, theirs, normalise).quotes
    return found


def _contacts(a: Shows, b: Shows) -> _Found:
    found = _Found()
    theirs = {
        contact_key(contact.value): (source, contact)
        for source, text in contact_texts(b.profile)
        for contact in telling_contacts(text)
    }
    seen: set[int] = set()
    for source, text in contact_texts(a.profile):
        for ours in telling_contacts(text):
            key = contact_key(ours.value)
            if key in theirs and key not in seen:
                seen.add(key)
                where, other = theirs[key]
                found.quotes.append(Quote(short(ours.quote), short(other.quote), source, where))
                found.disguises |= dict.fromkeys(map(str, (*ours.disguises, *other.disguises)))
    return found


def _pictures(a: Shows, b: Shows) -> _Found:
    return _media(a, b, ("avatar", "covers", "frames"), copies(a.pictures, b.pictures))


def _sounds(a: Shows, b: Shows) -> _Found:
    return _media(a, b, ("audio",), sound_copies(a.sounds, b.sounds))


def _vectors(a: Shows, b: Shows) -> _Found:
    found = _Found()
    taken: set[str] = set()
    theirs = [(p, _unit(p)) for p in b.pieces if p.kind == "vector"]
    for piece in a.pieces:
        if piece.kind != "vector":
            continue
        vector = _unit(piece)
        for other, known in theirs:
            is_near = other.space == piece.space and len(known) == len(vector)
            if is_near and other.source not in taken and float(vector @ known) >= SAME_VECTOR:
                taken.add(other.source)
                found.quotes.append(Quote("", "", piece.source, other.source))
                break
    return found


_QUOTES: dict[str, Callable[[Shows, Shows], _Found]] = {
    "text": _passages,
    "names": _names,
    "contacts": _contacts,
    "titles": _titles,
    "tags": _tags,
    "category_language": _labels,
    "pictures": _pictures,
    "sounds": _sounds,
    "vectors": _vectors,
}


def _texts(side: Shows, wanted: Callable[[Piece], bool]) -> Texts:
    return [(piece.source, piece.text) for piece in side.pieces if wanted(piece)]


def _is_tag(piece: Piece) -> bool:
    return piece.kind == "tag"


def _letters(text: str) -> str:
    return letters_of(sounds_like(text))


def _shared_passages(ours: Texts, theirs: Texts) -> _Found:
    found = _Found()
    folded = [fold(text) for _, text in ours], [fold(text) for _, text in theirs]
    spelt = [[sounds_like(text) for _, text in side] for side in (ours, theirs)]
    passages = common_passages(spelt[0], spelt[1], MOST_QUOTES)
    passages += romanised_names(spelt[0], spelt[1], MOST_QUOTES - len(passages))
    for passage in passages:
        a, b = ours[passage.one], theirs[passage.other]
        fold_a, fold_b = folded[0][passage.one], folded[1][passage.other]
        span_a = passage.one_start, passage.one_end
        span_b = passage.other_start, passage.other_end
        found.quotes.append(
            Quote(
                quote(a[1], fold_a, *span_a, QUOTE_CHARS),
                quote(b[1], fold_b, *span_b, QUOTE_CHARS),
                a[0],
                b[0],
            )
        )
        found.disguises |= dict.fromkeys([*undone_in(fold_a, *span_a), *undone_in(fold_b, *span_b)])
        spans = fold_a.text[slice(*span_a)], fold_b.text[slice(*span_b)]
        found.disguises |= dict.fromkeys(spelt_otherwise(*spans))
    if not passages:
        read = [[as_read(text)[1] for _, text in side] for side in (ours, theirs)]
        for passage in common_passages(read[0], read[1], MOST_QUOTES):
            _add(found, ours[passage.one], theirs[passage.other])
    return found


def _equal(ours: Texts, theirs: Texts, key: Callable[[str], str]) -> _Found:
    """Texts of both sides with equal keys; empty ones equal nothing."""
    found = _Found()
    known: dict[str, tuple[str, str]] = {}
    for source, text in theirs:
        known.setdefault(key(text), (source, text))
    seen: set[str] = set()
    for source, text in ours:
        mark = key(text)
        if mark and mark in known and mark not in seen:
            seen.add(mark)
            _add(found, (source, text), known[mark])
    return found


def _add(found: _Found, ours: tuple[str, str], theirs: tuple[str, str]) -> None:
    """Quote two whole texts."""
    found.quotes.append(Quote(short(ours[1]), short(theirs[1]), ours[0], theirs[0]))
    found.disguises |= dict.fromkeys(disguises_of(ours[1], theirs[1]))


def disguises_of(ours: str, theirs: str) -> list[str]:
    """Disguises that were undone in two whole texts."""
    folded = fold(ours), fold(theirs)
    found = [undone for each in folded for undone in undone_in(each, 0, len(each.text))]
    if _letters(ours) == _letters(theirs):
        found += spelt_otherwise(folded[0].text, folded[1].text)
    return list(dict.fromkeys(found))


def undone_in(folded: Folded, start: int, end: int) -> Iterable[str]:
    """Disguises that were undone in a span of the folded text."""
    if not folded.undone or start >= end:
        return []
    first, last = folded.origins[start], folded.origins[end - 1] + 1
    return [str(each.disguise) for each in folded.undone if each.start < last and each.end > first]


def spelt_otherwise(ours: str, theirs: str) -> list[str]:
    """How folded texts that sound and look alike differ: by homophones, or digits for letters."""
    a, b = letters_of(ours), letters_of(theirs)
    if a == b:
        return []
    return [str(Disguise.HOMOPHONE if phonetic(a) == phonetic(b) else Disguise.LEETSPEAK)]


def _media(
    a: Shows, b: Shows, modalities: Sequence[str], alike: Sequence[tuple[str, str]]
) -> _Found:
    """Places of equal files, then those of copies."""
    ours, theirs = (
        {
            piece.payload_digest: piece.source
            for piece in reversed(side.pieces)
            if piece.kind == "media" and piece.modality in modalities
        }
        for side in (a, b)
    )
    same = [(place, theirs[digest]) for digest, place in ours.items() if digest in theirs]
    places = dict.fromkeys([*same, *alike])
    return _Found([Quote("", "", *pair) for pair in places])


def _unit(piece: Piece) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
    vector = np.asarray(piece.vector, np.float32)
    return vector / max(float(np.linalg.norm(vector)), 1e-12)


def _undone(text: str) -> str | None:
    folded = fold(text)
    return folded.text if folded.undone else None


def short(text: str) -> str:
    """A text as a quote, cut where it is long."""
    return cut(text, QUOTE_CHARS)
