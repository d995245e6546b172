"""The file of names answers as a search that looks at every streamer."""

import random
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from model_export.contract.folding import fold
from service.engine.names.file import Change, NamesFile, Progress
from service.engine.names.finder import Hit, Place, place_of, rows_of, str_of
from service.engine.names.grams import question_of, texts_of
from service.engine.names.matched import MATCHED, Matched
from service.store.base import Position

START = Place()
PLACE = Position("epoch", 7, "mark")
ALPHABET = "ab手工面 é.🌙"


class Shown(NamedTuple):
    name: str
    tags: list[str]
    bio: str


def apply(file: NamesFile, changes: Mapping[str, Shown | None], place: Position = PLACE) -> None:
    made = [Change(k, None if v is None else texts_of(*v)) for k, v in changes.items()]
    list(file.apply(made, Progress(place, None)))


def find(file: NamesFile, text: str, after: Place = START, size: int = 1000) -> list[Hit]:
    question = question_of(text)
    assert question is not None
    return rows_of(file, text, question, after, size)


def folded(text: str) -> str:
    return fold(text).text.replace("é", "e")


def plain(text: str) -> str:
    return "".join(c for c in folded(text) if c not in " .")


def matched_by(streamer_id: str, shown: Shown, text: str) -> Matched | None:
    asked, name = plain(text), plain(shown.name)
    if streamer_id == text:
        return "id"
    if name == asked:
        return "name"
    if name.startswith(asked):
        return "name_beginning"
    if asked in name:
        return "name_part"
    if any(asked in plain(tag) for tag in shown.tags):
        return "tag"
    words = folded(text).replace(".", " ").split()
    return "bio" if all(has_word(shown.bio, word) for word in words) else None


def has_word(bio: str, word: str) -> bool:
    """Words of letters are whole; where no blanks are written any part is found."""
    padded = f" {folded(bio).replace('.', ' ')} "
    parts, part = list[str](), ""
    for character in word:
        if part and (character in "手工面") != (part[-1] in "手工面"):
            parts.append(part)
            part = ""
        part += character
    for each in [*parts, part]:
        if each[0] in "手工面":
            if each not in padded:
                return False
        elif not any(each == run for run in runs_of(padded)):
            return False
    return True


def runs_of(text: str) -> list[str]:
    return "".join(" " if c in "手工面" else c for c in text).split()


def random_text(drawn: random.Random, most: int) -> str:
    return "".join(drawn.choices(ALPHABET, k=drawn.randint(0, most)))


@pytest.mark.slow
def test_it_agrees_with_looking_at_every_streamer(tmp_path: Path) -> None:
    drawn, stored = random.Random(3), dict[str, Shown]()
    file = NamesFile(tmp_path / "names.sqlite")
    for _ in range(8):
        changes: dict[str, Shown | None] = {}
        for _ in range(40):
            name = f"s{drawn.randrange(100)}"
            tags = [random_text(drawn, 4) for _ in range(drawn.randrange(3))]
            shown = Shown(random_text(drawn, 6), tags, random_text(drawn, 9))
            changes[name] = None if drawn.random() < 0.2 else shown
        apply(file, changes)
        stored = {k: v for k, v in (stored | changes).items() if v is not None}
        for _ in range(40):
            text = random_text(drawn, 4)
            if len(plain(text)) < 2:
                assert question_of(text) is None
                continue
            by = {name: matched_by(name, shown, text) for name, shown in stored.items()}
            expected = {name: how for name, how in by.items() if how is not None}
            hits = find(file, text)
            assert {hit.streamer_id: hit.matched for hit in hits} == expected, text
            order = [
                (MATCHED.index(h.matched), len(plain(stored[h.streamer_id].name))) for h in hits
            ]
            assert order == sorted(order)
            paged, after = list[Hit](), Place()
            while page := find(file, text, after, 3):
                paged += page
                after = page[-1].place
            assert paged == hits
    file.close()


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("夢の國度", "梦の国度"),  # one kana does not make a name Japanese
        ("徵信", "征信"),
        ("髙橋", "高橋"),
        ("أَحْمَد", "احمد"),
        ("کریم", "كريم"),
        ("יוֹסֵף", "יוסף"),
        ("Nguyễn Đoàn", "nguyen doan"),
        ("Łukasz", "lukasz"),
        ("Straße", "strasse"),
        ("Ёлка", "елка"),
    ],
)
def test_a_name_is_found_as_keyboards_write_it(tmp_path: Path, name: str, asked: str) -> None:
    with closing(NamesFile(tmp_path / "names.sqlite")) as file:
        apply(file, {"one": Shown(name, [], "")})
        for text in (name, asked):
            assert [hit.streamer_id for hit in find(file, text)] == ["one"]


@pytest.mark.parametrize(("name", "other"), [("がん", "かん"), ("น้ำ", "นม"), ("한글", "하글")])
def test_marks_that_are_sounds_count(tmp_path: Path, name: str, other: str) -> None:
    with closing(NamesFile(tmp_path / "names.sqlite")) as file:
        apply(file, {"one": Shown(name, [], "")})
        assert find(file, other) == []


def test_the_id_comes_first_and_once(tmp_path: Path) -> None:
    file = NamesFile(tmp_path / "names.sqlite")
    apply(file, {"luna": Shown("Luna", [], ""), "x": Shown("Luna", [], "")})
    assert [(h.streamer_id, h.matched) for h in find(file, "luna")] == [
        ("luna", "id"),
        ("x", "name"),
    ]
    assert [h.streamer_id for h in find(file, "luna", Place(), 1)] == ["luna"]
    first = find(file, "luna", Place(), 1)[0]
    assert [h.streamer_id for h in find(file, "luna", first.place)] == ["x"]
    file.close()


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("ＬＵＮＡ直播", "luna"),  # full width
        ("l u n a 直播", "luna"),  # spaced
        ("Lυnа直播", "luna"),  # Greek and Cyrillic letters
        ("小美廚房", "小美厨房"),  # traditional
        ("เสียงเพลง", "เพลง"),
        ("музыка", "МУЗЫ"),
        ("موسيقى", "سيق"),
        ("🇧🇷🎸rock", "🎸"),
    ],
)
def test_names_of_any_script_are_found_folded(tmp_path: Path, name: str, asked: str) -> None:
    file = NamesFile(tmp_path / "names.sqlite")
    apply(file, {"one": Shown(name, [], ""), "other": Shown("something else", [], "")})
    if len(plain(asked)) < 2:
        asked += "rock"
    assert [hit.streamer_id for hit in find(file, asked)] == ["one"]
    file.close()


def test_expressions_can_t_be_broken_out_of(tmp_path: Path) -> None:
    file = NamesFile(tmp_path / "names.sqlite")
    apply(file, {"one": Shown('a"b OR "c', [], 'NEAR("x" y) -z*')})
    for text in (
        'a"b',
        '" OR "',
        "NEAR(",
        "*^:{}",
        "a" * 200,
        "\x00\x01ab",
        "terms:ab",
        "-z",
        "$$",
    ):
        if question_of(text) is not None:
            find(file, text)
    assert [hit.streamer_id for hit in find(file, 'a"b or')] == ["one"]
    file.close()


def test_it_is_there_again_after_a_restart_and_knows_its_place(tmp_path: Path) -> None:
    path = tmp_path / "names.sqlite"
    file = NamesFile(path)
    assert file.progress() is None
    apply(file, {"one": Shown("luna", [], "")})
    list(file.apply([], Progress(Position("e", 9, "m"), "one")))
    file.close()
    again = NamesFile(path)
    assert again.progress() == Progress(Position("e", 9, "m"), "one")
    assert [hit.streamer_id for hit in find(again, "luna")] == ["one"]
    again.clear()
    assert again.progress() is None
    assert find(again, "luna") == []
    again.close()


@pytest.mark.parametrize("content", [b"not a file of SQLite" * 400, b""])
def test_what_is_no_such_file_is_made_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "names.sqlite"
    path.write_bytes(content)
    file = NamesFile(path)
    assert file.progress() is None
    apply(file, {"one": Shown("luna", [], "")})
    assert len(find(file, "luna")) == 1
    file.close()


def test_a_change_that_is_not_carried_out_to_its_end_changes_nothing(tmp_path: Path) -> None:
    file = NamesFile(tmp_path / "names.sqlite")
    apply(file, {"one": Shown("luna", [], "")})
    steps = file.apply([Change("one", None), Change("two", None)], Progress(PLACE, None))
    next(steps)
    steps.close()
    assert len(find(file, "luna")) == 1
    apply(file, {"one": None})
    assert find(file, "luna") == []
    file.close()


def test_nothing_of_a_purged_name_is_left_in_the_files(tmp_path: Path) -> None:
    path = tmp_path / "names.sqlite"
    file = NamesFile(path)
    apply(file, {f"s{i}": Shown(f"someone {i}", ["tag"], "words") for i in range(300)})
    apply(file, {"gone": Shown("qxqxzz", ["vjvj"], "wkwkwk")})
    apply(file, {"gone": None})
    file.ask_for_purge()
    assert file.is_purge_due()
    list(file.purge())
    assert not file.is_purge_due()
    file.close()
    left = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert b"someone" in left
    for piece in (b"qxqx", b"vjvj", b"wkwk", b"xqx", b"qx"):
        assert piece not in left
    again = NamesFile(path)
    assert len(find(again, "someone")) == 300
    again.close()


def test_places_are_read_as_they_were_written() -> None:
    for place in (Place(0, 5), Place(5, (255 << 40) + 1)):
        assert place_of(str_of(place) or "") == place
    for text in ("", "1", "9.1", "1.x", "1." + "9" * 30, "1.9999999999999999999", "-1.2"):
        assert place_of(text) is None
