"""Folding of leetspeak: digits and signs for letters inside words of Latin letters.

A lone digit between letters is no disguise (b2b, mp3player), and what begins or ends a word hardly
ever is (24h, ps5). A text is leetspeak if a word has two groups of such digits, one of them between
its letters, or two long words have one; then all digits beside letters are letters, but for units.
"""

import numpy as np

from model_export.contract.folding.letters import Disguise, Letters, Runs
from model_export.contract.folding.tables import Flags

_MEANS = {"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "8": "b"}
_MEANS_TOO = {"@": "a", "$": "s", "!": "i", "2": "z", "6": "g", "9": "g"}
_LETTER = np.arange(128, dtype=np.uint32)
for _char, _means in {**_MEANS, **_MEANS_TOO}.items():
    _LETTER[ord(_char)] = ord(_means)
_IS_SIGN = np.arange(128) != _LETTER
_IS_LETTER = np.array([chr(code).isalpha() and chr(code).islower() for code in range(128)])
_IS_SURE = np.isin(np.arange(128), [ord(c) for c in "0134578@$!"])
_LONGEST_GROUP = 5
_WEAK = 2
_UNITS = [ord(c) for c in "kdvxp"]
_LONG_WORD = 5


def spelt(letters: Letters) -> Letters:
    """Words whose digits and signs stand for letters, in letters."""
    codes = letters.codes
    small = np.minimum(codes, 127).astype(np.uint8)
    sign = _IS_SIGN.take(small)  # (N,)
    if not sign.any():
        return letters
    letter = _IS_LETTER.take(small)
    groups = Runs.of(sign)
    padded = np.concatenate(([False], letter, [False]))
    before, after = padded[groups.starts], padded[groups.ends + 1]  # (G,)
    sizes = groups.ends - groups.starts
    sure = groups.sums(_IS_SURE.take(small)) == sizes
    inner = before & after & sure & (sizes <= _LONGEST_GROUP)
    if not inner.any():
        return letters
    words = Runs.of(letter | sign)
    place = np.zeros(len(codes), np.int32)
    place[words.starts] = 1
    word_of = np.cumsum(place, dtype=np.int32)[groups.starts] - 1  # (G,)
    size = len(words.starts)
    length = words.ends - words.starts  # (W,)
    spelled = length - np.bincount(word_of, sizes, size).astype(np.int64)
    count = np.bincount(word_of[inner], minlength=size)
    trailing = np.bincount(word_of[before & ~after & sure & (sizes == 1)], minlength=size)
    usable = ~_is_address(codes, words)
    strong = (count >= 1) & (count + trailing >= 2) & (spelled >= 3) & usable
    weak = (count == 1) & (length >= _LONG_WORD) & (spelled >= 3) & usable & ~strong
    if not strong.any() and np.count_nonzero(weak) < _WEAK:
        return letters
    # In a text of leetspeak, other words are too, but for units (4k) and rounds (5v5).
    first = codes[np.minimum(groups.ends, len(codes) - 1)]
    unit = ~before & after & np.isin(first, _UNITS) & (spelled[word_of] == 1)
    means = sure & (before | after) & ~unit & usable[word_of] & (codes[groups.starts] != ord("!"))
    is_round = np.bincount(word_of[unit], minlength=size) > 0
    means &= ~is_round[word_of] & (sizes <= _LONGEST_GROUP)
    changed = groups.spread(means | (inner & usable[word_of]), len(codes))
    letters.report(Disguise.LEETSPEAK, changed)
    return letters.with_codes(np.where(changed, _LETTER.take(small), codes))


def _is_address(codes: np.ndarray[tuple[int], np.dtype[np.uint32]], words: Runs) -> Flags:
    """Words (W,) that are the names of mail addresses: an @, and a dot after the word."""
    at = codes == ord("@")
    if not at.any():
        return np.zeros(len(words.starts), np.bool_)
    padded = np.concatenate((codes, [0]))
    return (words.sums(at) > 0) & (padded[words.ends] == ord("."))
