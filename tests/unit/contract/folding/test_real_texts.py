"""Honest texts of real creators: how many look disguised, and how many fall together."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_export.contract.folding import Disguise, find_contacts, fold, phonetic

SHARED = Path(__file__).parents[5] / "shared"
DATA = Path(os.environ.get("STREAMER_DATA") or SHARED / "data")
LABELS = DATA.parent / "data-labels"
pytestmark = pytest.mark.real_data


def texts(folder: Path) -> Iterator[str]:
    """Names, bios and titles of a data set."""
    if not folder.is_dir():
        pytest.skip(f"there is no data set {folder}")
    for line in (folder / "streamers.jsonl").read_text(encoding="utf-8").splitlines():
        profile = json.loads(line)
        for item in (profile, *profile.get("videos", ())):
            yield from (item[field] for field in ("name", "bio", "title") if item.get(field))


def compact(text: str) -> str:
    return "".join(c for c in text if c.isalnum())


@pytest.mark.parametrize(
    ("name", "most"), [("facebook", 0.003), ("lastfm", 0.01), ("movielens", 0.01)]
)
def test_honest_names_hardly_ever_look_disguised(name: str, most: float) -> None:
    found = [fold(text) for text in texts(DATA / name)]
    kinds = Counter(d for each in found for d in {u.disguise for u in each.undone})
    kinds.pop(Disguise.TRADITIONAL, None)
    assert sum(kinds.values()) <= most * len(found), kinds


def test_honest_chinese_titles_hardly_ever_look_disguised() -> None:
    found = [fold(text) for text in texts(LABELS / "bilibili")]
    kinds = Counter(d for each in found for d in {u.disguise for u in each.undone})
    # One title in twenty is spaced, 让 我 看 看, as a style: that is undone, and no error.
    assert kinds.pop(Disguise.SPACED) <= 0.06 * len(found)
    assert sum(kinds.values()) <= 0.01 * len(found), kinds


def test_honest_texts_do_not_fall_together() -> None:
    different = {compact(text.casefold()) for text in texts(LABELS / "bilibili")}
    folded = {compact(fold(text).text) for text in different}
    sounds = {phonetic(text) for text in folded}
    assert len(different) - len(folded) <= 0.001 * len(different)
    assert len(folded) - len(sounds) <= 0.001 * len(different)


def test_real_titles_name_few_contacts() -> None:
    """Titles of the most popular videos name none but mentions; each find was read by a person."""
    shown = [text for text in texts(LABELS / "bilibili") if find_contacts(text)]
    assert len(shown) <= 0.005 * sum(1 for _ in texts(LABELS / "bilibili")), shown[:20]
