"""What a folded text reads as where its words are hidden: by sound, in fancy letters, apart.

For the keys of texts alone, since other places are in it than in the text. Linear in its length.
"""

import re

from model_export.contract.folding.classes import Class
from model_export.contract.folding.romanised import sounded
from model_export.contract.folding.tables import codes_of, mapped, tables, text_of, translated

_CHINESE = re.compile("[\u3400-\u9fff]+")
_KANA = re.compile("[\u3041-\u3096\u30a1-\u30fa]")
_ADORNED = {**dict.fromkeys(map(ord, "丨丶丿乀乁亅乛彡灬"), " "), ord("の"): "的"}
"""Strokes that adorn names, and are hardly a word; and what is written for 的."""
_FEWEST_RUNS, _LONGEST_RUN = 6, 3
_ACCENT = re.compile("[\u00e0-\u01dc]")
_FANCY = re.compile("[\u0180-\u1fff\u20a0-\u20cf\ua000-\uabff\ufb00-\ufdff]")
"""Some of what fancy lettering is made of, all of which mixes it with these."""
_RUN = re.compile(r"([^\W\d_])\1+")
_STRETCHED, _FEWEST_STRETCHED = 3, 3
_WIDEST_DOUBLED, _SHORTEST_DOUBLED = 4, 24
_FEWEST_MIXED, _LETTERS_PER_MIX = 4, 6


def read(folded: str) -> str:
    """A folded text as it is read.

    Pinyin and Bopomofo become the Chinese characters of `phonetic`, words that mix scripts
    (`₩ɆⱠ₵Ø₥Ɇ`) the Latin letters that theirs look like. Of doubled and stretched letters one stays.
    """
    plain = translated(folded, tables().unaccented) if _ACCENT.search(folded) else folded
    return _once(_in_plain_letters(sounded(plain) or folded))


def without_others(folded: str) -> str | None:
    """The Chinese characters of a text in which other things part them; None of other texts.

    Letters, digits, 丶, or their own pinyin stand between runs of three or fewer. In Japanese, kana
    do.
    """
    if folded.isascii():
        return None
    text = folded.translate(_ADORNED)
    runs = _CHINESE.findall(text)
    is_parted = len(runs) >= _FEWEST_RUNS and sum(map(len, runs)) <= _LONGEST_RUN * len(runs)
    return "".join(runs) if is_parted and 2 * len(_KANA.findall(text)) <= len(runs) else None


def _in_plain_letters(text: str) -> str:
    if _FANCY.search(text) is None:
        return text
    codes, known = codes_of(text), tables()
    plain = mapped(known.fancy, codes)  # (N,)
    classes = known.classes_of(codes)
    inside = ((classes == Class.LATIN) & (codes < 0x80)) | (plain != codes)
    mixed = int((inside[1:] & inside[:-1] & (classes[1:] != classes[:-1])).sum())
    is_mixed = mixed >= _FEWEST_MIXED and mixed * _LETTERS_PER_MIX >= int(inside.sum())
    return text_of(plain) if is_mixed else text


def _once(text: str) -> str:
    sizes = [len(match[0]) for match in _RUN.finditer(text)]
    doubled = sum(size for size in sizes if size <= _WIDEST_DOUBLED)
    is_doubled = 2 * doubled > max(len(text), _SHORTEST_DOUBLED)
    long = sum(size >= _STRETCHED for size in sizes)
    return _RUN.sub(r"\1", text) if is_doubled or long >= _FEWEST_STRETCHED else text
