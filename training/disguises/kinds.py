"""Kinds of disguises by name, and a text in one of them."""

import random
from collections.abc import Callable
from typing import Literal, cast, get_args

from training.disguises import chinese, contacts, insertions, lettering, wording
from training.disguises.wording import Phrasebook, general_phrasebook

Kind = Literal[
    "translated",
    "paraphrased",
    "shuffled_sentences",
    "partial_paste",
    "shared_handle",
    "traditional",
    "homophones",
    "leetspeak",
    "homoglyphs",
    "one_homoglyph_a_word",
    "mathematical",
    "full_width",
    "spaced",
    "emoji_between",
    "punctuation_between",
    "combining",
    "zero_width",
    "bidi",
    "stolen_cover",
    "same_vectors",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""All kinds, in the order in which several are applied: what is said before how it is written."""
MEDIA_KINDS: tuple[Kind, ...] = ("stolen_cover", "same_vectors")
"""Kinds that leave texts as they are."""
TEXT_KINDS: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind not in MEDIA_KINDS)

_WAYS: dict[Kind, Callable[[str, random.Random], str]] = {
    "shuffled_sentences": wording.shuffled_sentences,
    "partial_paste": wording.partial_paste,
    "shared_handle": contacts.shared_handle,
    "traditional": chinese.traditional,
    "homophones": chinese.homophones,
    "leetspeak": lettering.leetspeak,
    "homoglyphs": lettering.homoglyphs,
    "one_homoglyph_a_word": lettering.one_homoglyph_a_word,
    "mathematical": lettering.mathematical,
    "full_width": lettering.full_width,
    "spaced": insertions.spaced,
    "emoji_between": insertions.emoji_between,
    "punctuation_between": insertions.punctuation_between,
    "combining": lettering.combining,
    "zero_width": insertions.zero_width,
    "bidi": insertions.bidi,
}


def disguise(text: str, kind: str, rng: random.Random, book: Phrasebook | None = None) -> str:
    """Text in a disguise; unchanged where the disguise finds nothing to change.

    Args:
        text: text of any language.
        kind: one of `KINDS`; those of media leave texts as they are.
        rng: source of all randomness.
        book: words for `translated` and `paraphrased`; `general_phrasebook` by default.

    Raises:
        ValueError: no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"no disguise {kind!r}; take one of {', '.join(KINDS)}")
    if kind in MEDIA_KINDS or not text.strip():
        return text
    if kind == "translated":
        return wording.translated(text, rng, book or general_phrasebook())
    if kind == "paraphrased":
        return wording.paraphrased(text, rng, book or general_phrasebook())
    return _WAYS[cast(Kind, kind)](text, rng)
