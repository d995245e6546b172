"""Copies of profiles: valid, with other ids and names, and with what they took alone."""

import base64
import random
from typing import Any

import pytest

from model_export.contract.streamer import StreamerProfile
from training.disguises import KINDS, MEDIA_KINDS, copy_of, fits, with_handle
from training.disguises.pictures import jpeg
from training.world.media.pictures import draw_placeholder

WORDS = {
    "bio": "每天直播做饭和旅行，喜欢请点个关注！一起学习新的料理，感谢大家支持。",
    "tags": ["做饭", "旅行", "料理", "直播", "新手"],
    "category": "美食",
    "language": "zh",
}
COVERS = [{"vector": [float(i + j) for j in range(8)], "space": "covers"} for i in range(4)]


def profile() -> dict[str, Any]:
    videos = [
        {"video_id": f"v{i}", "title": f"今天做饭第{i}集：家里的小锅", "cover": cover}
        for i, cover in enumerate(COVERS)
    ]
    return {"streamer_id": "original", "name": "小厨", **WORDS, "videos": videos}


def stranger() -> dict[str, Any]:
    videos = [{"video_id": "x1", "title": "goal of the week"}]
    return {"streamer_id": "stranger", "name": "Kim", "bio": "football and chess", "videos": videos}


@pytest.mark.parametrize(
    "kind", [k for k in KINDS if k not in ("leetspeak", "mathematical", "full_width")]
)
def test_copies_are_valid_profiles_of_another_account(kind: Any) -> None:
    original = with_handle(profile(), random.Random(0)) if kind == "shared_handle" else profile()
    assert fits(original, kind)
    for seed in range(20):
        made = copy_of(original, [kind], random.Random(seed), stranger())
        assert made == copy_of(original, [kind], random.Random(seed), stranger())
        StreamerProfile.model_validate(made)
        assert made["streamer_id"] != "original"
        assert made["name"] == "Kim"
        ids = {v["video_id"] for v in made.get("videos", [])}
        assert ids.isdisjoint({"v0", "v1", "v2", "v3", "x1"})


def test_media_kinds_take_pictures_and_no_words() -> None:
    for kind in MEDIA_KINDS:
        made = copy_of(profile(), [kind], random.Random(5), stranger())
        assert made["bio"] == "football and chess"
        covers = [v["cover"]["vector"] for v in made["videos"] if "cover" in v]
        known = [cover["vector"] for cover in COVERS]
        assert len(covers) >= 2
        assert all((vector in known) == (kind == "same_vectors") for vector in covers)


def test_words_are_taken_without_pictures() -> None:
    made = copy_of(profile(), ["zero_width"], random.Random(1), stranger())
    assert not any("cover" in video for video in made.get("videos", []))
    assert "football" not in str(made)


def test_stolen_bytes_are_other_bytes_of_a_picture() -> None:
    data = base64.b64encode(jpeg(draw_placeholder(2, "cover"), 80)).decode()
    videos = [
        {"video_id": f"v{i}", "cover": {"data": data, "content_type": "image/jpeg"}} for i in (1, 2)
    ]
    original = {"streamer_id": "a", "videos": videos}
    assert fits(original, "stolen_cover")
    assert not fits(original, "same_vectors")
    made = StreamerProfile.model_validate(copy_of(original, ["stolen_cover"], random.Random(0)))
    shown = [v.cover.data for v in made.videos if v.cover]
    assert len(shown) == 2
    assert data not in shown


def test_a_shared_handle_needs_one_to_share() -> None:
    assert not fits(profile(), "shared_handle")
    with pytest.raises(ValueError, match="plant one `with_handle`"):
        copy_of(profile(), ["shared_handle"], random.Random(0), stranger())


@pytest.mark.parametrize("kinds", [[], ["wig"], ["bidi", "wig"]])
def test_unknown_kinds_are_refused(kinds: Any) -> None:
    with pytest.raises(ValueError, match="kinds: needs one or more of translated"):
        copy_of(profile(), kinds, random.Random(0))


def test_disguises_that_would_change_nothing_do_not_fit() -> None:
    assert not fits(stranger(), "homophones")
    assert fits(stranger(), "leetspeak")
    assert not fits(profile(), "leetspeak")
    assert not fits({"streamer_id": "a", "bio": "hi"}, "spaced")
    assert fits({"streamer_id": "a", "tags": ["gothic rock", "ambient"]}, "spaced")
