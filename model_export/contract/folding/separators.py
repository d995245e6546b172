"""Folding of what stands between the characters of words: emoji, punctuation, blanks.

A text is segments (letters and digits) and separators; a lone letter of another script is one.
Segments of one or two characters in a row, with separators of one kind between them, are a chain;
long enough chains lose their separators. Blanks at the bounds of words stay.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_export.contract.folding.classes import Class
from model_export.contract.folding.letters import Disguise, Letters, Places, Runs
from model_export.contract.folding.tables import Flags, mapped, tables

_SHORT = 2
_SIGNS = 3
"""Emoji or signs between short segments from which they are a disguise."""
_MOST_BLANKS = 8
"""Blanks between the words of spaced text; more are layout."""
_LINKS = {
    Class.LATIN: 3,
    Class.CYRILLIC: 3,
    Class.GREEK: 3,
    Class.ALPHABET: 3,
    Class.HAN: 2,
    Class.KANA: 3,
    Class.HANGUL: 4,
    Class.RIGHT_TO_LEFT: 3,
}
"""Blanks between single letters from which they are spaced; other scripts never are."""
_NEVER = 1 << 30
_NEEDED = np.array([_LINKS.get(Class(i), _NEVER) for i in range(len(Class))])

_KINDS = (Class.BLANK, Class.LIST, Class.EMOJI)
_BITS = 21
_PACKED = np.zeros(len(Class), np.int64)
for _place, _kind in enumerate(_KINDS):
    _PACKED[_kind] = 1 << (_BITS * _place)


@dataclass
class _Split:
    """Segments (S,) and the separators (S - 1,) between them.

    Attributes:
        segments: runs of content.
        between: runs of separators.
        sizes: characters of each segment.
        wordy: segments with a letter.
        kinds: per class, characters of each separator.
    """

    segments: Runs
    between: Runs
    sizes: Places
    wordy: Flags
    kinds: dict[Class, Places]

    @property
    def lengths(self) -> Places:
        return self.between.ends - self.between.starts


def _split(letters: Letters) -> _Split:
    classes = letters.classes
    content = ((classes >= Class.DIGIT) | (classes == Class.OTHER)) & ~_alien(letters)
    segments = Runs.of(content)
    between = Runs(segments.ends[:-1], segments.starts[1:])
    total = np.zeros(len(classes) + 1, np.int64)
    np.cumsum(_PACKED.take(classes), out=total[1:])
    counts = total[between.ends] - total[between.starts]  # (S - 1,) one count in each 20 bits
    kinds = {kind: (counts >> (_BITS * i)) & ((1 << _BITS) - 1) for i, kind in enumerate(_KINDS)}
    signs = between.ends - between.starts - sum(kinds.values())
    brackets = classes == Class.BRACKET
    if brackets.any():
        signs -= between.sums(brackets)
    return _Split(
        segments,
        between,
        segments.ends - segments.starts,
        segments.sums(classes > Class.DIGIT) > 0,
        {**kinds, Class.PUNCTUATION: signs},
    )


def _alien(letters: Letters) -> Flags:
    """Letters of a rarer script between two of a usual one (N,), as `ᐧ` and `ꓸ`, are signs."""
    classes, codes = letters.classes, letters.codes
    found = classes == Class.LETTER
    if found.any():
        usual = (classes >= Class.LATIN) & (classes < Class.LETTER)
        found &= mapped(tables().skeleton, codes) == codes  # what looks like a letter is one
        found[:1] = found[-1:] = False
        found[1:] &= usual[:-1]
        found[:-1] &= usual[1:]
    return found


def joined(letters: Letters) -> Letters:
    """Words whose characters were separated."""
    split = _split(letters)
    if len(split.sizes) < 3:
        return letters
    blanks, lengths = split.kinds[Class.BLANK], split.lengths
    short = split.wordy & (split.sizes <= _SHORT)
    both = short[1:] & short[:-1]  # (S - 1,)
    single = split.wordy & (split.sizes == 1)
    singles = single[1:] & single[:-1]
    signs = split.kinds[Class.PUNCTUATION] + split.kinds[Class.LIST]
    dotted = (signs == lengths) & (lengths <= _SHORT)
    dotted &= singles | (
        (split.kinds[Class.LIST] == 0) & _alike(letters.codes[split.between.starts])
    )
    emoji, bounds = split.kinds[Class.EMOJI], blanks > 0
    drop = np.zeros(len(letters.codes), np.bool_)
    needed = np.full(len(split.sizes), _SIGNS)
    for disguise, pure, link in (
        (Disguise.EMOJI_BETWEEN, both & (emoji == lengths), both & (emoji + blanks == lengths)),
        (Disguise.PUNCTUATION_BETWEEN, both & dotted, both & (blanks == lengths)),
    ):
        chosen = _chains(pure, pure | (link & bounds), needed)
        apart = split.between.spread(chosen, len(drop)) & (letters.classes != Class.BLANK)
        letters.report(disguise, apart)
        drop |= apart
    spaced = singles & (blanks == lengths) & (lengths <= _MOST_BLANKS)
    pure = spaced & (lengths == 1)
    if pure.any():
        chosen = _chains(pure, spaced, _NEEDED[letters.classes[split.segments.starts]]) & pure
        apart = split.between.spread(chosen, len(drop))
        letters.report(Disguise.SPACED, apart)
        drop |= apart
    return letters.kept(~drop) if drop.any() else letters


def _alike(signs: NDArray[np.uint32]) -> Flags:
    """Signs (S - 1,) that the one before or after repeats."""
    same = signs[1:] == signs[:-1]
    found = np.zeros(len(signs), np.bool_)
    found[1:] |= same
    found[:-1] |= same
    return found


def _chains(pure: Flags, link: Flags, needed: NDArray[np.int64]) -> Flags:
    """Links (S - 1,) of chains that have enough pure ones.

    Args:
        pure: separators that are of the kind.
        link: separators over which a chain goes on, pure ones among them.
        needed: pure links that a chain with this segment needs (S,).
    """
    chains = Runs.of(link)
    if not len(chains.starts):
        return link
    counts = chains.sums(pure)  # (C,)
    # Segment i stands before separator i; a chain of separators [a, b) has segments a..b.
    starts = chains.starts
    most = np.maximum.reduceat(np.maximum(needed[:-1], needed[1:]) * link, starts)  # (C,)
    return chains.spread(counts >= most, len(link))
