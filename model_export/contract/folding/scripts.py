"""Folding of letters of one script that stand for those of another, and of traditional Chinese."""

import numpy as np

from model_export.contract.folding.classes import Class
from model_export.contract.folding.letters import Disguise, Letters, Runs
from model_export.contract.folding.tables import Codes, Flags, mapped, tables, translated

_RARE = np.array([ord(c) for c in "ԝԁԛһӏԍѕјʟ"], np.uint32)
"""Cyrillic letters that hardly a living language of the internet writes, but for disguise."""
_FEW_KANA = 20
"""Chinese text may show one kana (の) in so many Chinese characters."""


def one_script(letters: Letters) -> Letters:
    """Words of mixed scripts in one script: look-alikes of UTS 39 replaced.

    A word with Latin letters becomes Latin if all its other letters look like Latin ones (and are
    the fewer, where other words can't be Latin); else Cyrillic or Greek if these are no fewer and
    its Latin letters all look like theirs; else it stays. Where that happened, words made of
    look-alikes alone become Latin too, if all words of that script in the text are.
    """
    classes, codes, known = letters.classes, letters.codes, tables()
    word = (classes >= Class.LATIN) & (classes <= Class.ALPHABET)
    strange = word & (codes > 0x7F)
    if not strange.any():
        return letters
    twin = _latin_twins(letters)  # (N,)
    has_twin = strange & (twin != codes)
    is_foreign = strange & (has_twin | (classes != Class.LATIN))
    if not is_foreign.any():
        return letters
    words = Runs.of(word)
    foreign, twins = words.sums(is_foreign), words.sums(has_twin)  # (R,)
    native = words.ends - words.starts - foreign
    real = (foreign > 0) & (native == 0) & (twins < foreign)
    to_latin = (foreign > 0) & (native > 0) & (twins == foreign)
    if real.any():
        to_latin &= native > foreign
    whole = (foreign > 0) & (native == 0) & (twins == foreign)
    is_rare = bool(np.isin(codes, _RARE).any())
    if whole.any() and not real.any() and (to_latin.any() or is_rare):
        to_latin |= whole
    changed = words.spread(to_latin, len(codes)) & has_twin
    found = np.where(changed, twin, codes)
    for table, script in ((known.cyrillic, Class.CYRILLIC), (known.greek, Class.GREEK)):
        other = mapped(table, codes)
        latin = word & ~is_foreign
        is_of = words.sums(classes == script) >= np.maximum(native, 1)
        fits = is_of & ~to_latin & (native > 0) & (words.sums(latin & (other != codes)) == native)
        here = words.spread(fits, len(codes)) & latin
        changed |= here
        found = np.where(here, other, found)
    letters.report(Disguise.CONFUSABLE, changed)
    return letters.with_codes(found)


def _latin_twins(letters: Letters) -> Codes:
    """Latin letter that each looks like (N,); what was a capital is compared as one: Ν is no v."""
    known = tables()
    twin = mapped(known.latin, letters.codes)  # (N,)
    given = letters.source[letters.origins]  # (N,)
    capital = mapped(known.capital, given)
    was = (capital != given) & (mapped(known.plain, given) == letters.codes)
    return np.where(was, capital, twin)


def chinese(letters: Letters) -> Letters:
    """Simplified Chinese; Japanese and Korean texts stay, and so do kana in Japanese."""
    classes = letters.classes
    han = int((classes == Class.HAN).sum())
    other = mapped(tables().han, letters.codes)  # (N,)
    if (other != letters.codes).any():
        letters, classes = _without_kana(letters, other), letters.classes
    if not han or _is_not_chinese(letters, han):
        return letters
    simple = mapped(tables().simplified, letters.codes)  # (N,)
    changed = simple != letters.codes
    if not (changed & ~tables().ambiguous.take(letters.codes, mode="clip")).any():
        return letters
    letters.report(Disguise.TRADITIONAL, changed)
    return letters.with_codes(simple)


def _is_not_chinese(letters: Letters, han: int) -> bool:
    classes = letters.classes
    kana = int((classes == Class.KANA).sum()) + int((classes == Class.HANGUL).sum())
    if kana * _FEW_KANA > han:
        return True
    return bool(tables().japanese.take(letters.codes, mode="clip").any())


def _without_kana(letters: Letters, other: Codes) -> Letters:
    """Kana that look like Chinese characters, in texts that have no other kana; radicals."""
    classes = letters.classes
    changed = other != letters.codes
    kana = classes == Class.KANA
    if (kana & ~changed).any():
        changed &= ~kana
    else:
        changed &= ~kana | _beside(classes == Class.HAN)
    if not changed.any():
        return letters
    letters.report(Disguise.CONFUSABLE, changed)
    return letters.with_codes(np.where(changed, other, letters.codes))


def _beside(flags: Flags) -> Flags:
    found = np.zeros_like(flags)
    found[1:] |= flags[:-1]
    found[:-1] |= flags[1:]
    return found


def phonetic(folded: str) -> str:
    """Folded text with one character for all Chinese ones of a syllable, tone aside.

    It has the length of the folded text, so that its places are those of `Folded.origins`. Texts
    that are equal here and not when folded may be homophones; see the documentation for how many
    honest texts are.
    """
    return translated(folded, tables().phonetic)


def simplified(folded: str) -> str:
    """Folded text with simplified characters for all traditional ones, in Japanese texts too.

    For search alone: `fold` leaves those that have a meaning of their own, and Japanese ones.
    """
    return translated(folded, tables().simplified)


def skeleton(folded: str) -> str:
    """Folded text with letters and digits of ASCII for all characters that look like them.

    These are skeletons of UTS 39, for comparison alone: Cyrillic and Greek words are changed too.
    It has the length of the folded text.
    """
    return translated(folded, tables().skeleton)
