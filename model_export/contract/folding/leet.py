"""Folding of leetspeak: digits and signs for letters inside words of Latin letters.

A lone digit between letters is no disguise (b2b, mp3player), and what begins or ends a word hardly
ever is (24h, ps5). A text is leetspeak if a word has two groups of such digits between its letters,
or two long words have one; then they are letters, and those at the ends of its words may be too.
"""

import numpy as np

from model_export.contract.folding.letters import Disguise, Letters, Runs
from model_export.contract.folding.tables import Flags

_MEANS = {"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "8": "b", "9": "g"}
_MEANS |= {"2": "z", "6": "g", "@": "a", "$": "s", "!": "i"}
_LETTER = np.arange(128, dtype=np.uint32)
for _char, _means in _MEANS.items():
    _LETTER[ord(_char)] = ord(_means)
_SURE = np.isin(np.arange(128), [ord(c) for c in "0134578@$!"])
_LONGEST_GROUP = 2
_LONG_WORD = 5
_MOST_SHARE = 0.7
"""Share of a word that may be digits and signs, where the text is leetspeak."""


def spelt(letters: Letters) -> Letters:
    """Words whose digits and signs stand for letters, in letters."""
    codes = letters.codes
    small = np.minimum(codes, 127)
    letter = (codes >= ord("a")) & (codes <= ord("z"))
    sign = (_LETTER[small] != small) & (codes < 127)  # (N,)
    words = Runs.of(letter | sign)
    if not sign.any() or not len(words.starts):
        return letters
    groups = Runs.of(sign)
    sizes = groups.ends - groups.starts
    padded = np.concatenate(([False], letter, [False]))
    before, after = padded[groups.starts], padded[groups.ends + 1]  # (G,)
    sure = groups.sums(_SURE[small] & sign) == sizes
    inner = before & after & sure & (sizes <= _LONGEST_GROUP)
    starts = np.zeros(len(codes), np.bool_)
    starts[groups.starts[inner]] = True
    count, spelled = words.sums(starts), words.sums(letter)  # (W,)
    length = words.ends - words.starts
    address = _is_address(codes, words)
    strong = (count >= 2) & (spelled >= 3) & ~address
    weak = (count == 1) & (length >= _LONG_WORD) & (spelled >= _LONG_WORD - 1) & ~address
    if not strong.any() and np.count_nonzero(weak) < 2:
        return letters
    chosen = (strong | weak) | ((count >= 1) & ~address & ((length - spelled) <= _MOST_SHARE * length))
    inside = words.spread(chosen, len(codes))
    changed = groups.spread(inner, len(codes)) & inside
    # At the ends of words of leetspeak, where two letters are left, or one before an o.
    outer = (before ^ after) & sure & (sizes == 1)
    last = before & (codes[groups.starts] == ord("0"))
    most = words.spread((spelled >= 2) & ~address, len(codes))
    few = words.spread((spelled >= 1) & ~address, len(codes)) & groups.spread(last, len(codes))
    changed |= groups.spread(outer, len(codes)) & (most | few) & (codes != ord("!"))
    letters.report(Disguise.LEETSPEAK, changed)
    return letters.with_codes(np.where(changed, _LETTER[small], codes))


def _is_address(codes: np.ndarray[tuple[int], np.dtype[np.uint32]], words: Runs) -> Flags:
    """Words (W,) that are the names of mail addresses: an @, and a dot after the word."""
    padded = np.concatenate((codes, [0]))
    return (words.sums(codes == ord("@")) > 0) & (padded[words.ends] == ord("."))
