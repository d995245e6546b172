"""Near-duplicates of a list: as clusters, or spread out in a feed."""

import base64
import io
import wave
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.support.api import Api
from tests.support.bundles import CALIBRATION, TOPICS, write_bundle
from tests.support.media_towers import WIDTH, image_spec

BIO = "手工面条每周五一个新食谱，想学做饭的朋友常来坐坐，厨房里天天都有好味道"
TITLES = ["今天教大家三步做出葱油拌面", "外婆留下来的老面馒头配方"]
DEFAULT_THRESHOLD = 0.8
MAX_ITEMS = 12


def titled(*titles: str) -> list[dict[str, Any]]:
    return [{"video_id": f"v{i}", "title": title} for i, title in enumerate(titles)]


ORIGINAL = {"bio": BIO, "tags": ["cooking"], "videos": titled(*TITLES), "name": "面条师傅"}
DISGUISED = {
    "bio": " ".join("手工麵條每週五一個新食譜，想學做飯的朋友常來坐坐，廚房裡天天都有好味道"),
    "tags": ["cooking"],
    "videos": titled(*("😀".join(title) for title in TITLES)),
    "name": "guitarist",
}
STRANGERS: list[dict[str, Any]] = [
    {"bio": "acoustic guitar and old songs until two in the morning", "tags": ["music"]},
    {"bio": "горы, палатки и костёр каждую субботу вечером", "tags": ["travel"]},
]


def covers(*seeds: int) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for seed in seeds:
        vector = np.random.default_rng(seed).normal(size=WIDTH).tolist()
        made.append(
            {"video_id": f"v{seed}", "cover": {"vector": vector, "space": image_spec().name}}
        )
    return made


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It reads pictures and sounds."""
    folder = tmp_path_factory.mktemp("bundle") / "bundle"
    write_bundle(folder, media=True)
    return folder


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return {
        "STREAMER_LIMITS__MAX_DEDUP_ITEMS": str(MAX_ITEMS),
        "STREAMER_LIMITS__VISIBLE_TIMEOUT_MS": "100",
    }


@pytest.fixture(scope="module")
def stored(api: Api) -> Api:
    """A service with a streamer, its copy in disguise, two strangers, and who shows nothing."""
    shown = {"a": ORIGINAL, "b": DISGUISED, "x0": STRANGERS[0], "x1": STRANGERS[1], "bare": {}}
    api.write([{"streamer_id": name, **profile} for name, profile in shown.items()])
    return api


def dedup(api: Api, profiles: dict[str, dict[str, Any]] | None = None, **query: Any) -> Any:
    if profiles is not None:
        query["profiles"] = [{"streamer_id": n, **profile} for n, profile in profiles.items()]
    return api.ok("POST", "/v1/dedup", query)


def members(answer: dict[str, Any]) -> list[list[str]]:
    for cluster in answer["clusters"]:
        assert cluster["representative"] == cluster["members"][0]["streamer_id"]
    return [[m["streamer_id"] for m in cluster["members"]] for cluster in answer["clusters"]]


def test_a_disguised_copy_is_joined_with_its_original(stored: Api) -> None:
    names = ["x0", "a", "bare", "x1", "b", "gone"]
    found = dedup(stored, ids=names)
    assert found["mode"] == "clusters"
    assert members(found) == [["a", "b"]]
    assert (found["unique"], found["not_comparable"]) == (["x0", "x1"], ["bare"])
    assert found["not_stored"] == ["gone"]
    assert found["threshold"] == pytest.approx(DEFAULT_THRESHOLD)
    assert (found["complete"], found["model_version"]) == (True, "test-0")
    compared = stored.ok(
        "POST", "/v1/compare", {"a": {"streamer_id": "a"}, "b": {"streamer_id": "b"}}
    )
    assert "evidence.json" in compared["warnings"][0]  # which the bundle does not have
    for member, other in zip(found["clusters"][0]["members"], "ba", strict=True):
        assert (member["joined_with"], member["kind"]) == (other, "near_duplicate")
        assert member["weight"] == pytest.approx(compared["weight"], abs=1e-6)
        assert member["probability"] == pytest.approx(compared["probability"], abs=1e-6)
        assert (member["score"] < DEFAULT_THRESHOLD, member["copies"]) == (True, 0)
    # Asked for by a score, nobody is joined by evidence.
    by_score = dedup(stored, ids=names, threshold=0.99)
    assert (by_score["clusters"], by_score["unique"]) == ([], ["x0", "a", "x1", "b"])


def test_profiles_are_compared_as_stored_ones_and_not_stored(stored: Api) -> None:
    shown = {"p0": STRANGERS[0], "p1": ORIGINAL, "p2": {}, "p3": DISGUISED}
    found = dedup(stored, shown)
    assert members(found) == [["p1", "p3"]]
    assert (found["unique"], found["not_comparable"], found["not_stored"]) == (["p0"], ["p2"], [])
    by_id = dedup(stored, ids=["a", "b"])["clusters"][0]["members"]
    for one, other in zip(found["clusters"][0]["members"], by_id, strict=True):
        assert one["weight"] == pytest.approx(other["weight"], abs=1e-6)
        assert one["score"] == pytest.approx(other["score"], abs=1e-3)
    stored.refused("GET", "/v1/streamers/p1", status=404, code="streamer_not_found")


def test_pictures_join_where_they_are_to_count(api: Api) -> None:
    shown = {
        "a": {**STRANGERS[0], "videos": covers(1, 2, 3)},
        "b": {**STRANGERS[1], "videos": covers(3, 1, 2)},
        "c": ORIGINAL,
        "d": DISGUISED,
        "e": {"bio": "ranked match", "videos": covers(7, 8, 9)},
    }
    found = dedup(api, shown)
    assert members(found) == [["a", "b"], ["c", "d"]]
    assert [c["members"][0]["kind"] for c in found["clusters"]] == ["same_media", "near_duplicate"]
    assert members(dedup(api, shown, pictures=True)) == [["a", "b"], ["c", "d"]]
    assert members(dedup(api, shown, pictures=False)) == [["c", "d"]]


def media(content: bytes, kind: str) -> dict[str, str]:
    return {"data": base64.b64encode(content).decode(), "content_type": kind}


def scene(seed: int, *, disguised: bool = False) -> dict[str, str]:
    """A picture of clouds, like no other; in disguise cropped, mirrored and saved badly."""
    height, width = 240, 320
    waves = np.fft.rfft2(np.random.default_rng(seed).normal(size=(height, width, 3)), axes=(0, 1))
    high, wide = np.fft.fftfreq(height)[:, None, None], np.fft.rfftfreq(width)[None, :, None]
    waves /= np.maximum(np.hypot(high, wide), 1 / width) ** 1.4
    clouds = np.fft.irfft2(waves, s=(height, width), axes=(0, 1))
    clouds = 128 + 45 * (clouds - clouds.mean()) / clouds.std()
    image = Image.fromarray(clouds.clip(0, 255).astype(np.uint8))
    if disguised:
        image = ImageOps.mirror(image.crop((20, 10, 295, 240)).resize((200, 170)))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=40 if disguised else 85)
    return media(file.getvalue(), "image/jpeg")


def notes(seed: int, gain: float = 1) -> dict[str, str]:
    """A second and a half of notes, 90 ms each."""
    pitches = np.repeat(np.random.default_rng(seed).uniform(200, 2000, 17), 1440)
    sound = gain * 0.4 * np.sin(2 * np.pi * np.cumsum(pitches) / 16_000)
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(16_000)
        written.writeframes((sound * 32767).astype("<i2").tobytes())
    return media(file.getvalue(), "audio/wav")


COPIES: dict[str, list[dict[str, Any]]] = {
    "pictures": [
        {"bio": "raid", "videos": [{"video_id": f"v{i}", "cover": scene(i)} for i in (0, 1, 2)]},
        {
            "bio": "beach",
            "videos": [{"video_id": f"v{i}", "cover": scene(i, disguised=True)} for i in (1, 2, 3)],
        },
        {
            "bio": "soup",
            "videos": [
                {"video_id": "v0", "cover": scene(0, disguised=True)},
                {"video_id": "v5", "cover": scene(5)},
            ],
        },
    ],
    "sounds": [
        {"bio": "raid", "videos": [{"video_id": f"v{i}", "audio": notes(i)} for i in (1, 2, 3)]},
        {
            "bio": "beach",
            "videos": [{"video_id": f"v{i}", "audio": notes(i, gain=0.3)} for i in (2, 1, 6)],
        },
        {"bio": "soup", "videos": [{"video_id": f"v{i}", "audio": notes(i)} for i in (4, 5)]},
    ],
}


@pytest.mark.parametrize("kind", COPIES)
def test_two_copies_of_media_make_near_duplicates(api: Api, kind: str) -> None:
    shown = {f"{kind}-{i}": profile for i, profile in enumerate(COPIES[kind])}
    one, other, alone = shown
    sequence = api.write([{"streamer_id": name, **profile} for name, profile in shown.items()])
    for query in ({"profiles": shown}, {"ids": list(shown), "after_sequence": sequence}):
        found = dedup(api, **query, threshold=0.99, pictures=True)
        assert (members(found), found["unique"]) == ([[one, other]], [alone])
        for member in found["clusters"][0]["members"]:
            assert (member["copies"], member["weight"]) == (2, None)
            assert member["score"] < found["threshold"]
        assert members(dedup(api, **query, threshold=0.99)) == []
        by_evidence = dedup(api, **query)["clusters"][0]["members"][0]
        assert (by_evidence["streamer_id"], by_evidence["joined_with"]) == (one, other)
        assert by_evidence["kind"] == "same_media"
        assert by_evidence["weight"] > 0
    sides = {"a": {"streamer_id": one}, "b": {"profile": shown[other]}}
    compared = api.ok("POST", "/v1/compare", sides)
    (channel,) = [c for c in compared["channels"] if c["channel"] == kind]
    assert (compared["verdict"], channel["state"]) == ("same_media", "agrees")
    assert len(channel["quotes"]) == 2
    wanted = {"must": [{"field": "streamer_id", "any": [other]}]}
    query = {"positive": [{"streamer_id": one}], "explain": True, "filter": wanted}
    (hit,) = api.ok("POST", "/v1/similar", query)["hits"]
    places = {(pair["seed"], pair["hit"]) for pair in hit["reasons"]["shared"][f"similar_{kind}"]}
    expected = {"pictures": {(1, 0), (2, 1)}, "sounds": {(0, 1), (1, 0)}}[kind]
    field = "cover" if kind == "pictures" else "audio"
    assert places == {(f"videos[{i}].{field}", f"videos[{j}].{field}") for i, j in expected}


ALIKE = {
    "whole": {"bio": TOPICS["music"]},
    "same": {"bio": TOPICS["music"]},
    "more": {"bio": f"{TOPICS['music']} {TOPICS['travel']}"},
    "other": {"bio": TOPICS["gaming"]},
}


def cosines(api: Api) -> dict[tuple[str, str], float]:
    """The content cosines of `ALIKE`, as questions for similar streamers tell them."""
    api.write([{"streamer_id": name, **profile} for name, profile in ALIKE.items()])
    found: dict[tuple[str, str], float] = {}
    for seed in ALIKE:
        wanted = [{"field": "streamer_id", "any": list(ALIKE)}]
        query = {"positive": [{"streamer_id": seed}], "explain": True, "filter": {"must": wanted}}
        for hit in api.ok("POST", "/v1/similar", query)["hits"]:
            found[seed, hit["streamer_id"]] = hit["reasons"]["content_similarity"]
    return found


@pytest.mark.parametrize("by_id", [True, False])
def test_a_threshold_joins_by_the_content_cosine(api: Api, by_id: bool) -> None:
    known = cosines(api)
    limit = known["whole", "more"]
    assert 0.1 < limit < 0.99
    list_of: dict[str, Any] = {"ids": list(ALIKE)} if by_id else {"profiles": ALIKE}
    joined = dedup(api, **list_of, threshold=limit - 1e-3)
    assert members(joined) == [["whole", "same", "more"]]
    assert joined["unique"] == ["other"]
    assert joined["threshold"] == pytest.approx(limit - 1e-3)
    for member, best in zip(joined["clusters"][0]["members"], (1, 1, limit), strict=True):
        assert member["score"] == pytest.approx(best, abs=1e-3)
        assert (member["weight"], member["probability"]) == (None, None)
    apart = dedup(api, **list_of, threshold=limit + 1e-3)
    assert (members(apart), apart["unique"]) == ([["whole", "same"]], ["more", "other"])
    assert members(dedup(api, **list_of, threshold=1)) == [["whole", "same"]]


@pytest.mark.parametrize("mode", ["clusters", "feed"])
def test_a_precision_becomes_the_threshold_that_promises_it(api: Api, mode: str) -> None:
    strict, lax = CALIBRATION.content.curves[0].knots
    for knot, joined in ((strict, ["whole", "same"]), (lax, ["whole", "same", "more"])):
        found = dedup(api, ALIKE, mode=mode, min_precision=knot.at_least)
        assert found["threshold"] == pytest.approx(knot.score)
        assert members(found) == [joined]


# Feeds


def test_a_feed_keeps_near_duplicates_apart(stored: Api) -> None:
    order = ["a", "b", "x0", "x1", "bare", "gone"]
    feed = dedup(stored, ids=order, mode="feed")
    assert feed["order"] == ["a", "x0", "x1", "b", "bare"]
    assert (feed["mode"], feed["too_close"], feed["held_back"]) == ("feed", 0, [])
    assert feed["not_stored"] == ["gone"]
    assert members(feed) == [["a", "b"]]
    assert dedup(stored, ids=order, mode="feed", window=2)["order"] == [
        "a",
        "x0",
        "b",
        "x1",
        "bare",
    ]
    capped = dedup(stored, ids=order, mode="feed", max_per_cluster=1)
    assert (capped["order"], capped["held_back"]) == (["a", "x0", "x1", "bare"], ["b"])
    close = dedup(stored, ids=["a", "b", "x0"], mode="feed")
    assert (close["order"], close["too_close"]) == (["a", "x0", "b"], 1)
    apart = dedup(stored, ids=order, mode="feed", threshold=0.99)
    assert apart["order"] == order[:-1]


WORDS = [word for text in TOPICS.values() for word in text.split()[:2]]


@pytest.mark.parametrize("seed", range(12))
def test_any_feed_loses_nobody_and_is_apart_where_it_can_be(api: Api, seed: int) -> None:
    random = Random(seed)
    labels = [random.randrange(random.randint(1, 6)) for _ in range(random.randint(1, MAX_ITEMS))]
    window, most = random.randint(2, 4), random.choice([None, 1, 2, 3])
    shown = {f"{i:02d}": {"bio": WORDS[label]} for i, label in enumerate(labels)}
    feed = dedup(api, shown, mode="feed", threshold=0.99, window=window, max_per_cluster=most)
    assert sorted(feed["order"] + feed["held_back"]) == list(shown)
    kept = {label: [n for n in feed["order"] if labels[int(n)] == label] for label in set(labels)}
    for label, names in kept.items():
        # Each cluster in its own order, its first ones kept.
        assert names == [n for n in shown if labels[int(n)] == label][:most]
    place = {name: i for i, name in enumerate(feed["order"])}
    close = sum(place[b] - place[a] < window for names in kept.values() for a, b in pairwise(names))
    assert (close == 0) == (feed["too_close"] == 0)
    sizes = sorted(map(len, kept.values()))
    # As in the scheduling of tasks with a cool-down.
    if (sizes[-1] - 1) * window + sizes.count(sizes[-1]) <= len(feed["order"]):
        assert feed["too_close"] == 0


# Errors

TWO = {"profiles": [{"streamer_id": "a", "bio": "soup"}, {"streamer_id": "b", "bio": "raid"}]}


@pytest.mark.parametrize(
    ("pointers", "body"),
    [
        ([""], {}),
        ([""], {**TWO, "ids": ["a"]}),
        ([""], {**TWO, "threshold": 0.5, "min_precision": 0.5}),
        (["/ids"], {"ids": []}),
        (["/ids"], {"ids": [f"s{i}" for i in range(MAX_ITEMS + 1)]}),
        (["/ids/1"], {"ids": ["a", "not an id"]}),
        # What is wrong with a list is told at once, whichever write is waited for.
        (["/ids/2", "/ids/3"], {"ids": ["a", "b", "a", "b"], "after_sequence": 2**40}),
        (["/profiles/1"], {"profiles": [TWO["profiles"][0]] * 2}),
        (["/profiles"], {"profiles": [{"streamer_id": f"s{i}"} for i in range(MAX_ITEMS + 1)]}),
        (
            ["/profiles/1/nmae"],
            {"profiles": [{"streamer_id": "a"}, {"streamer_id": "b", "nmae": ""}]},
        ),
        (
            ["/profiles/0/avatar/vector"],
            {
                "profiles": [
                    {"streamer_id": "a", "avatar": {"vector": [1], "space": image_spec().name}}
                ]
            },
        ),
        (["/mode"], {**TWO, "mode": "list"}),
        (["/threshold"], {**TWO, "threshold": 0}),
        (["/threshold"], {**TWO, "threshold": 1.1}),
        (["/min_precision"], {**TWO, "min_precision": 0}),
        (["/window", "/max_per_cluster"], {**TWO, "window": 5, "max_per_cluster": 1}),
        (["/window"], {**TWO, "mode": "feed", "window": 1}),
        (["/max_per_cluster"], {**TWO, "mode": "feed", "max_per_cluster": 0}),
    ],
)
def test_lists_that_are_wrong(api: Api, pointers: list[str], body: dict[str, Any]) -> None:
    problem = api.refused("POST", "/v1/dedup", body, status=422, code="invalid_request")
    assert [error["pointer"] for error in problem["errors"]] == pointers


def test_lists_that_have_no_answer(stored: Api) -> None:
    asked = stored.refused(
        "POST", "/v1/dedup", {"ids": ["y", "z"]}, status=404, code="streamer_not_found"
    )
    assert [error["pointer"] for error in asked["errors"]] == ["/ids/0", "/ids/1"]
    body = {"ids": ["a"], "min_precision": 0.99}
    asked = stored.refused("POST", "/v1/dedup", body, status=422, code="precision_not_promised")
    assert [error["pointer"] for error in asked["errors"]] == ["/min_precision"]
    body = {"ids": ["a"], "after_sequence": 2**40}
    stored.refused("POST", "/v1/dedup", body, status=503, code="not_yet_visible")
    other = stored.with_key("search", "explain", "streamers:read")
    other.refused("POST", "/v1/dedup", {"ids": ["a"]}, status=403, code="missing_scope")
    assert stored.with_key("duplicates").ok("POST", "/v1/dedup", {"ids": ["a"]})["unique"] == ["a"]


def test_a_list_waits_for_a_write(api: Api) -> None:
    written = api.ok("PUT", "/v1/streamers/just-written", {"bio": "soup"}, 201)["sequence"]
    found = dedup(api, ids=["just-written"], after_sequence=written)
    assert (found["unique"], found["not_stored"]) == (["just-written"], [])
