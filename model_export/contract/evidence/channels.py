"""Channels of evidence and their comparison levels.

Each channel compares one kind of content of two profiles and gives one of its levels, the strongest
agreement first. A channel that either side does not show has no level: it is absent, which is not
the same as a difference.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

ABSENT: Final = -1
"""In place of a level where either side does not show what the channel compares."""

Levels = NDArray[np.int8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Channel:
    """A channel.

    Attributes:
        name: of the channel, in answers and in the bundle.
        levels: names of its levels, the strongest agreement first.
        agreeing: how many of them, from the first, count as agreement.
    """

    name: str
    levels: tuple[str, ...]
    agreeing: int


TEXT = Channel(
    "text", ("whole", "many_names", "most", "names", "passage", "part", "little", "none"), 6
)
NAMES = Channel("names", ("same_rare", "same_common", "similar", "other"), 3)
CONTACTS = Channel("contacts", ("same", "same_common", "other"), 2)
TITLES = Channel("titles", ("most", "several", "one", "none"), 3)
TAGS = Channel("tags", ("many_rare", "rare", "some", "common", "none"), 4)
CATEGORY = Channel("category_language", ("rare", "common", "none"), 2)
PICTURES = Channel("pictures", ("several", "one", "none"), 2)
SOUNDS = Channel("sounds", ("several", "one", "none"), 2)
VECTORS = Channel("vectors", ("several", "one", "none"), 2)
EMBEDDING = Channel("embedding", ("0.95", "0.85", "0.7", "0.5", "0.3", "lower"), 3)

CHANNELS: Final = (
    TEXT, NAMES, CONTACTS, TITLES, TAGS, CATEGORY, PICTURES, SOUNDS, VECTORS, EMBEDDING,
)  # fmt: skip
"""All channels, in the order of the columns of a table of levels."""
NAMES_OF_CHANNELS: Final = tuple(channel.name for channel in CHANNELS)
MEDIA: Final = frozenset({"pictures", "sounds", "vectors"})
DIRECT: Final = frozenset({"text", "contacts", "titles"}) | MEDIA
"""Channels that compare content itself. The others compare what many accounts share, such as a
topic or a name, and alone make nobody a copy."""
IDENTITY: Final = frozenset({"contacts"}) | MEDIA
"""Channels that tell an operator. Where one of them speaks for a pair, bits against it do not
count: who opens another account with other words, and one handle or cover in common, is no less its
operator for that. Words alone are held against all that differs: branches of a franchise, streamers
of an agency and fans have theirs in common."""
STYLE_CHANNELS: Final = frozenset({"embedding", "tags", "category_language"})
"""Channels by which two accounts are of one style."""

RARE_BITS = 7.0
"""A key that fewer than one of 128 streamers shows is rare."""
SHINGLES_PER_LETTER = 3
"""Each letter is in so many shingles, so that their bits count it so often."""
FEWEST_RARE = 6
"""Rare shingles of a text that is copied as a whole, or all of a shorter one. A phrase that many
show, such as `follow me for more`, has as many bits as a short text of one's own, since its
shingles are counted one by one; but none of them is rare."""
MANY_NAMES, FEWEST_NAMES = 4.0, 2.0
"""Words that nobody else shows and that tell a translation: names in common, and numbers."""
BITS_OF_UNIQUE = 4.0
"""What sixteen times as many show as the rarest key that was counted is no name at all."""
COSINES = (0.95, 0.85, 0.7, 0.5, 0.3)


def rare_from(channel: str, unknown_bits: float) -> float:
    """Bits from which a key of a channel is rare.

    A text has many keys, of which some are rare by chance: only those that fewer than one of 256
    streamers shows, or at most three of those that were counted where these are few. So the text
    of a ring that was counted with all its accounts is rare in a large data set.
    """
    return min(unknown_bits - 1.5, RARE_BITS + 1) if channel == TEXT.name else RARE_BITS


def uniqueness(bits: Floats, unknown_bits: float) -> Floats:
    """How far keys worth these bits (N,) are those of one account alone, 0 to 1."""
    return np.clip((bits - (unknown_bits - BITS_OF_UNIQUE)) / BITS_OF_UNIQUE, 0, 1)


def text_levels(
    containment: Floats,
    bits: Floats,
    rare: Floats,
    fewest: NDArray[np.int64],
    words: Floats,
    scripts: NDArray[np.bool_],
    other_titles: NDArray[np.bool_],
) -> Levels:
    """Levels of the text channel.

    Args:
        containment: (P,), bits of the shared shingles as a share of those of the side with fewer.
        bits: (P,), bits of the shared shingles, each letter counted once.
        rare: (P,), how many rare shingles are shared, of samples as many as these stand for.
        fewest: (P,), how many shingles the side with fewer shows.
        words: (P,), how many rare words are shared, see `shared_keys.Overlap`.
        scripts: (P,), whether the two are written in different scripts: of a translation names are
            left, and little else is shared by chance.
        other_titles: (P,), whether both show titles and none in common: with half of a text, so do
            the shops of a chain.
    """
    own = rare >= np.minimum(fewest, FEWEST_RARE)
    return _first(
        own & (containment >= 0.8) & (bits >= 15),
        scripts & (words >= MANY_NAMES),
        own & (containment >= np.where(other_titles, 0.6, 0.5)) & (bits >= 30),
        scripts & (words >= FEWEST_NAMES),
        (containment >= 0.15) & (bits >= 80),
        (containment >= 0.25) & (bits >= 15),
        containment >= 0.08,
    )


def name_levels(same: NDArray[np.bool_], bits: Floats, dice: Floats) -> Levels:
    """Levels of the names: equal after folding, with the bits of the name, or similar (Dice)."""
    return _first(same & (bits >= RARE_BITS), same, dice >= 0.6)


def contact_levels(rare: NDArray[np.int64], bits: Floats) -> Levels:
    """Levels of the contacts, by the rare shared ones (P,) and the bits of all (P,)."""
    return _first(rare > 0, bits > 0)


def title_levels(rare: NDArray[np.int64], fewest: NDArray[np.int64]) -> Levels:
    """Levels of the titles.

    Who copies takes most of them; fans and re-posters share one or two, whatever else they show.

    Args:
        rare: how many rare ones both show (P,).
        fewest: how many the side with fewer shows (P,).
    """
    return _first((rare >= 2) & (2 * rare >= fewest), rare >= 2, rare == 1)


def tag_levels(bits: Floats) -> Levels:
    """Levels of the tags, by the bits of the shared ones (P,)."""
    return _first(bits >= 25, bits >= 12, bits >= 5, bits > 0)


def category_levels(bits: Floats) -> Levels:
    """Levels of category and language, by the bits of the shared ones (P,)."""
    return _first(bits >= RARE_BITS, bits > 0)


def count_levels(shared: NDArray[np.int64]) -> Levels:
    """Levels of pictures, sounds and vectors, by the number of copies (P,)."""
    return _first(shared >= 2, shared == 1)


def embedding_levels(cosines: Floats) -> Levels:
    """Levels of the embedding, by cosine (P,)."""
    return _first(*(cosines >= limit for limit in COSINES))


def _first(*conditions: NDArray[np.bool_]) -> Levels:
    """The place of the first condition that holds; their number where none does."""
    found = np.full(conditions[0].shape, len(conditions), np.int8)
    for place in range(len(conditions) - 1, -1, -1):  # of few pairs, a tenth of `np.select`
        np.putmask(found, conditions[place], place)
    return found
