"""Folding of single characters: invisible ones, compatibility forms, accents put on letters."""

import re
import unicodedata

import numpy as np

from model_export.contract.folding.classes import Class
from model_export.contract.folding.letters import Disguise, Letters, Runs
from model_export.contract.folding.tables import Flags, codes_of, mapped, tables, text_of

_OVERRIDE = 0x202E
_LINE_ENDS = (0x0A, 0x0D, 0x85, 0x2029)
"""No override goes on behind them (Unicode, annex 9)."""
_MOST_OVERRIDES = 100
_MOST_CLUSTERS = 10_000
"""Clusters of letters and marks that are composed one by one; a text of more is stripped."""
_CLUSTER = re.compile(
    r"[^\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f\u3099\u309a]"
    r"[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f\u3099\u309a]+"
    r"|[\u1100-\u115e][\u1161-\u11a7][\u11a8-\u11ff]?|[\uac00-\ud7a3][\u11a8-\u11c2]"
)
_UPRIGHT = str.maketrans("ɐqɔpǝɟⅎƃɓᵷɥᴉıɾʞןɯuԁdbɹᴚʇ⊥n∩ʌʍʎ⅄", "abcdeffggghiijklmnppqrrttuuvwyy")
_TURNED = codes_of("ɐɔǝɟⅎƃᵷɥᴉɾʞןɯɹᴚʇ⊥∩ʌʍʎ⅄")
_NEVER_TURNED = codes_of("acefghjkmrtvwy")
_FEWEST = 3
"""Turned letters, or letters of flags, from which they are a disguise."""
_FLAG_OF_A = 0x1F1E6
_KEYCAP = 0x20E3
_VOICED = (0x3099, 0x309A)
_STACKED = 2
"""Uncomposed accents from which those of a text are a disguise; one may stress a word."""


def visible(letters: Letters) -> Letters:
    """Without invisible characters; what was written backwards by an override is turned round.

    Joiners of Arabic and Indic scripts and of emoji, and marks of direction in texts that need
    them, go without being a disguise.
    """
    hidden = letters.classes >= Class.ZERO_WIDTH  # (N,)
    if not hidden.any():
        return letters
    letters, turned = _turned(letters)
    classes = letters.classes
    hidden = classes >= Class.ZERO_WIDTH
    shown = np.flatnonzero(~hidden)
    if len(shown):
        after = np.minimum(np.searchsorted(shown, np.arange(len(hidden))), len(shown) - 1)
        before = np.maximum(after - 1, 0)
        joins = _joins(classes[shown[before]]) & _joins(classes[shown[after]])
        letters.report(Disguise.ZERO_WIDTH, (classes == Class.ZERO_WIDTH) & joins)
    if not letters.has(Class.RIGHT_TO_LEFT):
        letters.report(Disguise.BIDI, (classes == Class.BIDI) | turned)
    return letters.kept(~hidden)


def _joins(classes: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> Flags:
    return (classes >= Class.DIGIT) & (classes <= Class.HANGUL)


def _turned(letters: Letters) -> tuple[Letters, Flags]:
    """With what overrides turn round the other way, and which characters these are (N,)."""
    starts = np.flatnonzero(letters.codes == _OVERRIDE)[:_MOST_OVERRIDES]
    changed = np.zeros(len(letters.codes), np.bool_)
    if not len(starts):
        return letters, changed
    codes = letters.codes.copy()
    is_end = ((codes >= 0x202A) & (codes <= _OVERRIDE)) | np.isin(codes, _LINE_ENDS)
    ends = np.flatnonzero(is_end)
    for start in map(int, starts):
        place = int(np.searchsorted(ends, start, side="right"))
        end = int(ends[place]) if place < len(ends) else len(codes)
        if (letters.classes[start:end] == Class.RIGHT_TO_LEFT).any():
            continue  # is shown from right to left anyway
        codes[start + 1 : end] = codes[start + 1 : end][::-1]
        changed[start + 1 : end] = True
        letters.turn(start + 1, end)
    return letters.with_codes(codes), changed


def upright(letters: Letters) -> Letters:
    """Lines written upside down from their end, upright; and words that flags of one letter spell.

    Upside down is a line with turned letters that has no letter which is none when it is turned.
    """
    letters = _spelt_by_flags(letters)
    turned = np.isin(letters.codes, _TURNED)  # (N,)
    if turned.sum() < _FEWEST:
        return letters
    codes = letters.codes.copy()
    changed, latin = np.zeros_like(turned), letters.classes == Class.LATIN
    ends = np.append(np.flatnonzero(np.isin(codes, _LINE_ENDS)), len(codes))
    found = np.unique(np.searchsorted(ends, np.flatnonzero(turned)))[:_MOST_OVERRIDES]
    for place in found.tolist():
        line = slice(int(ends[place - 1]) + 1 if place else 0, int(ends[place]))
        count = int(turned[line].sum())
        if count < _FEWEST or 3 * count < latin[line].sum():
            continue
        if not np.isin(codes[line], _NEVER_TURNED).any():
            codes[line] = codes_of(text_of(codes[line]).translate(_UPRIGHT))[::-1]
            changed[line] = True
            letters.turn(line.start, line.stop)
    letters.report(Disguise.CONFUSABLE, changed)
    return letters.with_codes(codes)


def _spelt_by_flags(letters: Letters) -> Letters:
    """Regional indicators as letters where they stand alone: two together are a flag."""
    flags = (letters.codes >= _FLAG_OF_A) & (letters.codes < _FLAG_OF_A + 26)
    if flags.sum() < _FEWEST:
        return letters
    together = flags[1:] & flags[:-1] & (np.diff(letters.origins) == 1)
    flags[1:] &= ~together
    flags[:-1] &= ~together
    if flags.sum() < _FEWEST:
        return letters
    letters.report(Disguise.MATHEMATICAL, flags)
    return letters.with_codes(np.where(flags, letters.codes - _FLAG_OF_A + ord("a"), letters.codes))


def plain(letters: Letters) -> Letters:
    """Compatibility forms and capitals as plain small letters."""
    known = tables()
    style = known.style.take(letters.codes, mode="clip")  # (N,)
    if style.any():
        letters.report(Disguise.FULL_WIDTH, style == 1)
        letters.report(Disguise.MATHEMATICAL, _not_alone(letters, style == 2))
    lengths = known.lengths.take(letters.codes, mode="clip")  # (N,)
    codes = mapped(known.plain, letters.codes)
    longer = lengths > 1
    if not longer.any():
        return letters.with_codes(codes)
    origins = np.repeat(letters.origins, lengths)  # (M,)
    ends = np.cumsum(lengths, dtype=np.int64)
    within = np.arange(len(origins)) - np.repeat(ends - lengths, lengths)  # (M,)
    first = np.repeat(known.first.take(letters.codes, mode="clip"), lengths)  # (M,)
    is_part = np.repeat(longer, lengths)  # (M,)
    codes = np.repeat(codes, lengths)
    codes[is_part] = known.expansions[(first + within)[is_part]]
    return Letters(codes, origins, letters.source, letters.undone, letters.turned)


def _not_alone(letters: Letters, styled: Flags) -> Flags:
    """Without single circled digits, which number the points of a list."""
    digits = styled & (tables().classes.take(mapped(tables().plain, letters.codes), mode="clip")
                       == Class.DIGIT)  # fmt: skip
    beside = np.zeros_like(styled)
    beside[1:] |= styled[:-1]
    beside[:-1] |= styled[1:]
    return styled & (~digits | beside)


def unmarked(letters: Letters) -> Letters:
    """Composed letters, without marks that no alphabet puts there.

    A text is disguised if two of its letters bear marks with which they don't compose (of Yoruba's
    dotted letters and of Turkish i aside); then all separate marks and accents go. So do the
    accents of a word of which most letters have one. Marks of other scripts on letters that have
    none go always.
    """
    classes = letters.classes
    marks = classes == Class.MARK
    others = classes == Class.OTHER_MARK
    if others.any():
        alien = others & _joins(_bases(classes))
        letters.report(Disguise.COMBINING, alien)
        letters, marks = letters.kept(~alien), marks[~alien]
    jamo = (letters.codes >= 0x1100) & (letters.codes <= 0x11FF)
    if marks.any() or jamo.any():
        letters, is_disguised = _composed(letters, marks)
        return _unaccented(letters, is_disguised)
    return _unaccented(letters, False)


def _bases(
    classes: np.ndarray[tuple[int], np.dtype[np.uint8]],
) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """Class of the last character before each that is no mark; of itself at the start."""
    bare = (classes != Class.MARK) & (classes != Class.OTHER_MARK)
    place = np.maximum.accumulate(np.where(bare, np.arange(len(classes)), 0))
    return classes[place]


def _composed(letters: Letters, marks: Flags) -> tuple[Letters, bool]:
    loose = marks & (letters.codes != _VOICED[0]) & (letters.codes != _VOICED[1])
    codes, keep = letters.codes.copy(), letters.codes != _KEYCAP
    keep |= ~marks
    stacked = 0
    clusters = list(_clusters(letters))
    if len(clusters) <= _MOST_CLUSTERS:
        for start, end, whole in clusters:
            stacked += _uncomposed(whole)
            codes[start : start + len(whole)] = codes_of(whole)
            keep[start + len(whole) : end] = False
    if stacked < _STACKED and len(clusters) <= _MOST_CLUSTERS:
        return letters.with_codes(codes).kept(keep), False
    letters.report(Disguise.COMBINING, loose & (letters.codes != _KEYCAP))
    return letters.kept(~loose), True


def _clusters(letters: Letters) -> list[tuple[int, int, str]]:
    text = text_of(letters.codes)
    found: list[tuple[int, int, str]] = []
    for match in _CLUSTER.finditer(text):
        whole = unicodedata.normalize("NFC", match[0].replace("\u20e3", ""))
        found.append((match.start(), match.end(), whole))
        if len(found) > _MOST_CLUSTERS:
            break
    return found


def _uncomposed(cluster: str) -> int:
    """Marks of a composed cluster that no alphabet leaves separate."""
    rest = [c for c in cluster[1:] if 0x0300 <= ord(c) < 0x0370 or ord(c) > 0x1AAF]
    if not rest or ord(cluster[0]) in range(0x1100, 0x1200) or not cluster[0].isalnum():
        return 0
    base = unicodedata.normalize("NFD", cluster[0])
    is_dotted = "\u0323" in base or (cluster[0] == "i" and rest == ["\u0307"])
    return max(0, len(rest) - is_dotted)


def _unaccented(letters: Letters, everywhere: bool) -> Letters:
    bare = mapped(tables().unaccented, letters.codes)  # (N,)
    accented = bare != letters.codes
    if not accented.any():
        return letters
    words = Runs.of(letters.classes == Class.LATIN)
    sizes, count = words.ends - words.starts, words.sums(accented)
    is_odd = (sizes >= 4) & (count * 5 > sizes * 3)
    odd = accented if everywhere else words.spread(is_odd, len(accented)) & accented
    if not odd.any():
        return letters
    letters.report(Disguise.COMBINING, odd)
    return letters.with_codes(np.where(odd, bare, letters.codes))
