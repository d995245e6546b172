"""Copies of pictures and sounds: kept when these are decoded anyway, named as reasons."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image, ImageOps
from redis import Redis

from service.app import create_app
from service.engine.encoding.tower_vectors import THUMBNAIL, Seen, pack, unpack
from service.settings import Settings
from tests.contract.media import files
from tests.contract.media.files import saved, scene
from tests.service.conftest import put
from tests.service.towers import Counts, media

MEDIA = ("pictures", "sounds")
SCENES = [scene(seed) for seed in range(8)]


def shown(image: Image.Image, quality: int = 85) -> dict[str, str]:
    return media(saved(image, "JPEG", quality=quality), "image/jpeg")


def disguised(image: Image.Image) -> dict[str, str]:
    """Cropped, mirrored, another size and contrast, saved badly."""
    cut = image.crop((20, 10, image.width - 25, image.height)).resize((200, 170))
    return shown(ImageOps.mirror(cut).point(lambda level: level * 0.8 + 30), 40)


def videos(*covers: dict[str, str]) -> list[dict[str, Any]]:
    return [{"video_id": f"v{i}", "cover": cover} for i, cover in enumerate(covers)]


@pytest.fixture
def client(media_client: TestClient) -> TestClient:
    return media_client


def shared(client: TestClient, seed: dict[str, Any], hit: str, sequence: int = 0) -> dict[str, Any]:
    query = {"positive": [seed], "k": 20, "explain": True, "after_sequence": sequence}
    answer = client.post("/v1/similar", json=query)
    assert answer.status_code == 200, answer.text
    found = {h["streamer_id"]: h["reasons"]["shared"] for h in answer.json()["hits"]}
    return {
        kind: [{"seed": pair["seed"], "hit": pair["hit"]} for pair in pairs]
        for kind, pairs in found[hit].items()
        if kind.endswith(MEDIA)
    }


@pytest.mark.slow
def test_copies_are_named_apart_from_the_very_same(client: TestClient) -> None:
    first, second, third, other = SCENES[:4]
    profile = {"avatar": shown(first), "videos": videos(shown(second), shown(third))}
    put(client, "seed", **profile)
    live = {"live_id": "l", "frames": [shown(other), disguised(first)]}
    sequence = put(client, "copy", videos=videos(disguised(third), shown(second)), lives=[live])
    expected = {
        "pictures": [{"seed": "videos[0].cover", "hit": "videos[1].cover"}],
        "similar_pictures": [
            {"seed": "avatar", "hit": "lives[0].frames[1]"},
            {"seed": "videos[1].cover", "hit": "videos[0].cover"},
        ],
    }
    assert shared(client, {"streamer_id": "seed"}, "copy", sequence) == expected
    assert shared(client, {"profile": profile}, "copy") == expected


@pytest.mark.slow
def test_others_are_no_evidence_and_a_few_are_named(client: TestClient) -> None:
    put(client, "seed", videos=videos(*map(shown, SCENES)))
    put(client, "other", videos=videos(*(shown(scene(50 + i)) for i in range(8))))
    sequence = put(client, "copy", videos=videos(*map(disguised, SCENES)))
    assert shared(client, {"streamer_id": "seed"}, "other", sequence) == {}
    found = shared(client, {"streamer_id": "seed"}, "copy")
    assert found == {
        "similar_pictures": [
            {"seed": f"videos[{i}].cover", "hit": f"videos[{i}].cover"} for i in range(3)
        ]
    }


@pytest.mark.slow
def test_nothing_is_decoded_for_them_alone(media_bundle: Path, tmp_path: Path) -> None:
    settings = Settings(bundle=media_bundle, data_dir=tmp_path / "data")
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        counts = Counts(client)
        put(client, "seed", bio="boss", avatar=shown(SCENES[0]))
        put(client, "copy", avatar=disguised(SCENES[0]))
        assert counts() == {"text": 1, "image": 2, "image decoded": 2}
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        # All that it knows is in the store.
        counts = Counts(client)
        client.patch("/v1/streamers/seed", json={"bio": "music"}).raise_for_status()
        sequence = put(client, "seed", bio="music", avatar=shown(SCENES[0]))
        found = shared(client, {"streamer_id": "seed"}, "copy", sequence)
        assert found == {"similar_pictures": [{"seed": "avatar", "hit": "avatar"}]}
        assert counts() == {"text": 1}


@pytest.mark.slow
def test_records_of_an_earlier_release_have_no_thumbnails_until_they_are_put_again(
    media_bundle: Path, tmp_path: Path
) -> None:
    settings = Settings(bundle=media_bundle, data_dir=tmp_path / "data")
    profile = {"bio": "boss", "avatar": shown(SCENES[0])}
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        put(client, "seed", **profile)
        put(client, "copy", avatar=disguised(SCENES[0]))
        socket = tmp_path / "data" / "store" / "run" / "store.sock"
        with Redis(unix_socket_path=str(socket)) as store:
            found = unpack(store.hget("ss:record:seed", "tower_vectors") or b"")  # type: ignore[arg-type]
            kept = {key: v for key, v in found.vectors.items() if key[0] != THUMBNAIL}
            assert len(kept) == len(found.vectors) - 1 == 2
            store.hset("ss:record:seed", "tower_vectors", pack(Seen(kept, found.addresses)))
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        counts = Counts(client)
        answer = client.patch("/v1/streamers/seed", json={"tags": ["x"]}).json()
        assert shared(client, {"streamer_id": "seed"}, "copy", answer["sequence"]) == {}
        assert counts() == {}
        sequence = put(client, "seed", **profile)
        assert counts() == {"image decoded": 1}  # no tower runs
        found = shared(client, {"streamer_id": "seed"}, "copy", sequence)
        assert found == {"similar_pictures": [{"seed": "avatar", "hit": "avatar"}]}


def deduped(client: TestClient, **query: Any) -> dict[str, Any]:
    answer = client.post("/v1/dedup", json=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


PEOPLE: dict[str, dict[str, Any]] = {
    "one": {"tags": ["cooking"], "videos": videos(*map(shown, SCENES[:3]))},
    "other": {"tags": ["music"], "videos": videos(*map(disguised, SCENES[1:4]))},
    "half": {"tags": ["gaming"], "videos": videos(disguised(SCENES[0]), shown(SCENES[5]))},
    "words": {"tags": ["cooking"], "videos": videos(shown(SCENES[6]))},
}


def test_two_copies_make_near_duplicates_of_other_words(client: TestClient) -> None:
    written = [put(client, name, **profile) for name, profile in PEOPLE.items()]
    ids = ["half", "one", "other"]
    found = deduped(client, ids=ids, after_sequence=written[-1])
    (cluster,) = found["clusters"]
    assert cluster["representative"] == "one"
    assert [m["streamer_id"] for m in cluster["members"]] == ["one", "other"]
    assert [m["copies"] for m in cluster["members"]] == [2, 2]
    assert all(m["score"] < found["threshold"] for m in cluster["members"])
    assert found["unique"] == ["half"]
    feed = deduped(client, ids=[*ids[1:], "half"], mode="feed", window=2)
    assert feed["order"] == ["one", "half", "other"]
    for query in ({"threshold": found["threshold"]}, {"pictures": False}):
        assert deduped(client, ids=ids, **query)["clusters"] == []
    again = deduped(client, ids=ids, threshold=found["threshold"], pictures=True)
    (same,) = again["clusters"]
    assert [m["streamer_id"] for m in same["members"]] == ["one", "other"]
    assert {(m["joined_with"], m["kind"], m["weight"]) for m in same["members"]} == {
        ("one", "near_duplicate", None),
        ("other", "near_duplicate", None),
    }
    assert {(m["joined_with"], m["kind"]) for m in cluster["members"]} == {
        ("one", "same_media"),
        ("other", "same_media"),
    }
    assert all(m["weight"] > 0 for m in cluster["members"])


def test_profiles_that_are_not_stored_are_joined_alike(client: TestClient) -> None:
    people = [{"streamer_id": f"p{i}", **profile} for i, profile in enumerate(PEOPLE.values())]
    (cluster,) = deduped(client, profiles=people[:3])["clusters"]
    assert [m["streamer_id"] for m in cluster["members"]] == ["p0", "p1"]


@pytest.mark.slow
def test_a_write_names_who_shows_the_same_pictures(client: TestClient) -> None:
    put(client, "one", **PEOPLE["one"])
    put(client, "half", **PEOPLE["half"])
    near = client.put("/v1/streamers/other", json=PEOPLE["other"]).json()["near_duplicates"]
    assert [(n["streamer_id"], n["copies"]) for n in near] == [("one", 2)]
    assert near[0]["score"] < deduped(client, ids=["one"])["threshold"]
    counts = Counts(client)
    counts()  # since the start
    patched = client.patch("/v1/streamers/other", json={"tags": ["travel"]}).json()
    assert [(n["streamer_id"], n["copies"]) for n in patched["near_duplicates"]] == [("one", 2)]
    assert counts() == {}


def notes(seed: int, gain: float = 1, begin: int = 0, kind: str = "wav") -> dict[str, str]:
    """A second and a half of notes, 90 ms each."""
    pitches = np.repeat(np.random.default_rng(seed).uniform(200, 2000, 17), 1440)
    wave = gain * 0.4 * np.sin(2 * np.pi * np.cumsum(pitches) / 16_000)
    signal = wave[begin:].astype(np.float32)
    return media(files.encoded(signal, kind, 16_000), files.DECLARED[kind])


def test_copies_of_sounds_are_named_and_joined(client: TestClient) -> None:
    def played(*sounds: dict[str, str]) -> list[dict[str, Any]]:
        return [{"video_id": f"v{i}", "audio": sound} for i, sound in enumerate(sounds)]

    put(client, "seed", videos=played(notes(1), notes(2), notes(3)), bio="cooking")
    put(client, "other", videos=played(notes(4), notes(5)), bio="gaming")
    softer, later = notes(1, gain=0.3, kind="flac"), notes(2, begin=800)
    sequence = put(client, "copy", videos=played(later, softer, notes(6)), bio="boss music")
    assert shared(client, {"streamer_id": "seed"}, "copy", sequence) == {
        "similar_sounds": [
            {"seed": "videos[0].audio", "hit": "videos[1].audio"},
            {"seed": "videos[1].audio", "hit": "videos[0].audio"},
        ]
    }
    names = ["seed", "other", "copy"]
    by_copies = {"threshold": 1, "pictures": True, "after_sequence": sequence}
    (cluster,) = deduped(client, ids=names, **by_copies)["clusters"]
    assert {m["streamer_id"]: m["copies"] for m in cluster["members"]} == {"seed": 2, "copy": 2}
