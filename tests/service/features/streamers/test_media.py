"""Pictures and sounds by their bytes: read once, refused by name, never decoded for nothing."""

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from service.app import create_app
from service.settings import Media, Settings
from tests.bundles import write_bundle
from tests.contract.media.files import encoded, png, saved, tone, wav
from tests.media_towers import blank, picture, sound
from tests.service.conftest import put, wait_until_visible
from tests.service.data_sets import NDJSON
from tests.service.http.test_bad_input import pointers, problem
from tests.service.towers import Counts, media, titles

RED, BLUE = media(picture("red")), media(picture("blue"))
TONE = media(sound(440), "audio/wav")


@pytest.fixture
def client(media_client: TestClient) -> TestClient:
    return media_client


@pytest.fixture(scope="module")
def shared(media_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service for tests that count nothing; none writes the streamer `s`."""
    settings = Settings(bundle=media_bundle, data_dir=tmp_path_factory.mktemp("data"))
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        yield client


@pytest.fixture
def counts(client: TestClient) -> Counts:
    return Counts(client)


def video(number: int = 0, **shown: Any) -> dict[str, Any]:
    return {"video_id": f"v{number}", **shown}


def modalities(client: TestClient, streamer_id: str) -> dict[str, str]:
    found = client.get(f"/v1/streamers/{streamer_id}").json()["modalities"]
    return {name: status for name, status in found.items() if status != "absent"}


def test_pictures_and_sounds_find_their_like(client: TestClient) -> None:
    put(client, "red", avatar=RED)
    put(client, "reddish", videos=[video(cover=media(picture("#e01010", "JPEG"), "image/jpeg"))])
    put(client, "blue", avatar=BLUE)
    put(client, "loud", videos=[video(audio=TONE)])
    assert modalities(client, "reddish") == {"covers": "used"}
    assert modalities(client, "loud") == {"audio": "used"}
    last = put(client, "deep", videos=[video(audio=media(sound(430), "audio/wav"))])
    wait_until_visible(client, last)
    for asked, expected in (("red", "reddish"), ("loud", "deep")):
        hits = client.get(f"/v1/streamers/{asked}/similar").json()["hits"]
        assert hits[0]["streamer_id"] == expected
        assert hits[0]["score"] > 0.99
    query = {"positive": [{"profile": {"avatar": media(picture("#ff0402"))}}], "k": 1}
    (hit,) = client.post("/v1/similar", json=query).json()["hits"]
    assert hit["streamer_id"] == "red"


def test_a_changed_bio_decodes_no_picture(client: TestClient, counts: Counts) -> None:
    shown = [video(0, title="boss", cover=BLUE, audio=TONE), video(1, title="boss", cover=RED)]
    put(client, "a", bio="boss", avatar=RED, videos=shown)
    everything = {"text": 1, "image": 2, "image decoded": 2, "audio": 1, "audio decoded": 1}
    assert counts() == everything
    client.patch("/v1/streamers/a", json={"bio": "music"}).raise_for_status()
    assert counts() == {"text": 1}
    put(client, "a", bio="music", avatar=BLUE, videos=shown)
    client.post("/v1/cold-start", json={"streamer_id": "a"}).raise_for_status()
    assert counts() == {}
    lines = [{"streamer_id": f"s{i}", "bio": "boss", "avatar": RED} for i in range(5)]
    client.post("/v1/streamers:bulk", content="\n".join(map(json.dumps, lines)), headers=NDJSON)
    assert counts() == {}  # others have shown all of it


def test_nothing_is_decoded_again_after_a_restart(media_bundle: Path, tmp_path: Path) -> None:
    settings = Settings(bundle=media_bundle, data_dir=tmp_path / "data")
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        put(client, "a", bio="boss", avatar=RED, videos=[video(audio=TONE)])
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        counts = Counts(client)
        client.patch("/v1/streamers/a", json={"tags": ["x"]}).raise_for_status()
        client.post("/v1/cold-start", json={"streamer_id": "a"}).raise_for_status()
        assert counts() == {}
        put(client, "b", avatar=RED)
        assert counts() == {"image": 1, "image decoded": 1}


SHADES = Image.linear_gradient("L").resize((20, 20))
JPEG = saved(Image.new("RGB", (300, 300), "red"), "JPEG")
BAD = [
    ("bomb", png(40_000, 40_000, b""), "image/png", "send at most 25,000,000 pixels"),
    ("truncated", JPEG[: len(JPEG) // 2], "image/jpeg", "is truncated or damaged"),
    ("another type", JPEG, "image/png", "is declared image/png but its bytes are JPEG"),
    ("no picture", b"rubbish", "image/png", "send JPEG, PNG, WebP or GIF"),
    ("a sound", sound(440), "audio/wav", "can't be read as 'audio/wav'"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "content_type", "said"), [b[1:] for b in BAD], ids=[b[0] for b in BAD]
)
def test_a_bad_picture_is_named(
    shared: TestClient, data: bytes, content_type: str, said: str
) -> None:
    profile = {"bio": "boss", "videos": [video(cover=media(data, content_type))]}
    body = problem(shared.put("/v1/streamers/s", json=profile), 422, "invalid_request")
    assert pointers(body) == ["/videos/0/cover/data"]
    assert said in body["detail"]
    assert shared.get("/v1/streamers/s").status_code == 404


BAD_SOUNDS = [
    ("no length", wav(np.zeros(0, np.int16), 8000), "audio/wav", "holds no sound"),
    ("too short", sound(440, seconds=0.05), "audio/wav", "send at least 0.1 s"),
    ("odd rate", sound(440, rate_hz=3000), "audio/wav", "send 4,000 to 192,000 Hz"),
    ("another type", sound(440), "audio/flac", "is declared audio/flac but its bytes are wav"),
    ("a picture", picture("red"), "image/png", "can't be read as 'image/png'"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "content_type", "said"), [b[1:] for b in BAD_SOUNDS], ids=[b[0] for b in BAD_SOUNDS]
)
def test_a_bad_sound_is_named(
    shared: TestClient, data: bytes, content_type: str, said: str
) -> None:
    profile = {"lives": [{"live_id": "l", "audio": media(data, content_type)}]}
    body = problem(shared.put("/v1/streamers/s", json=profile), 422, "invalid_request")
    assert pointers(body) == ["/lives/0/audio/data"]
    assert said in body["detail"]


def test_all_bad_parts_are_named_together(shared: TestClient) -> None:
    bad = media(b"rubbish")
    frames = {"live_id": "l", "frames": [RED, bad]}
    profile = {"avatar": bad, "videos": [video(cover=BLUE), video(1, cover=bad)], "lives": [frames]}
    body = problem(shared.put("/v1/streamers/s", json=profile), 422, "invalid_request")
    expected = ["/avatar/data", "/lives/0/frames/1/data", "/videos/1/cover/data"]
    assert sorted(pointers(body)) == expected
    query = {"positive": [{"vector": [1.0] * 128}, {"profile": {"avatar": bad}}]}
    body = problem(shared.post("/v1/similar", json=query), 422, "invalid_request")
    assert pointers(body) == ["/positive/1/profile/avatar/data"]
    body = problem(
        shared.post("/v1/dedup", json={"profiles": [{"streamer_id": "x", "avatar": bad}]}),
        422,
        "invalid_request",
    )
    assert pointers(body) == ["/profiles/0/avatar/data"]
    body = problem(
        shared.post("/v1/cold-start", json={"profile": {"avatar": bad}}), 422, "invalid_request"
    )
    assert pointers(body) == ["/profile/avatar/data"]


def test_a_bad_picture_spoils_its_own_line_only(client: TestClient) -> None:
    bad = media(b"rubbish")
    lines = [
        {"streamer_id": "a", "avatar": RED},
        {"streamer_id": "b", "avatar": bad},
        {"streamer_id": "c", "videos": [video(), video(1, cover=bad)]},
        {"streamer_id": "d", "videos": [video(audio=TONE)]},
    ]
    answer = client.post(
        "/v1/streamers:bulk", content="\n".join(map(json.dumps, lines)), headers=NDJSON
    )
    results = [json.loads(line) for line in answer.text.splitlines()]
    assert [r["outcome"] for r in results] == ["created", "error", "error", "created"]
    assert pointers(results[1]["error"]) == ["/avatar/data"]
    assert pointers(results[2]["error"]) == ["/videos/1/cover/data"]


@pytest.mark.parametrize("order", ["wrong first", "right first"])
def test_a_wrong_type_spoils_nobody_else_with_the_same_bytes(
    client: TestClient, order: str
) -> None:
    lines = [
        {"streamer_id": "wrong", "avatar": media(JPEG, "image/png")},
        {"streamer_id": "right", "avatar": media(JPEG, "image/jpeg")},
    ]
    if order == "right first":
        lines.reverse()
    answer = client.post(
        "/v1/streamers:bulk", content="\n".join(map(json.dumps, lines)), headers=NDJSON
    )
    results = {r["streamer_id"]: r for r in map(json.loads, answer.text.splitlines())}
    assert results["right"]["outcome"] == "created"
    assert pointers(results["wrong"]["error"]) == ["/avatar/data"]
    assert "is declared image/png" in results["wrong"]["error"]["detail"]


def test_the_same_bytes_as_picture_and_as_sound_are_read_as_each(shared: TestClient) -> None:
    profile = {"avatar": RED, "videos": [video(audio={**RED, "content_type": "audio/wav"})]}
    body = problem(shared.put("/v1/streamers/s", json=profile), 422, "invalid_request")
    assert pointers(body) == ["/videos/0/audio/data"]


def test_base64_rubbish_is_no_picture(shared: TestClient) -> None:
    profile = {"avatar": {"data": "!!!", "content_type": "image/png"}}
    body = problem(shared.put("/v1/streamers/s", json=profile), 422, "invalid_request")
    assert pointers(body) == ["/avatar/data"]


def animation() -> bytes:
    frames = [SHADES.convert("RGB"), Image.new("RGB", SHADES.size, "blue")]
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:])


ODD = [
    ("animated", animation(), "image/gif"),
    ("cmyk", saved(SHADES.convert("CMYK"), "JPEG"), "image/jpeg"),
    (
        "16 bit",
        saved(SHADES.convert("I").point(lambda level: level * 256).convert("I;16"), "PNG"),
        "image/png",
    ),
    ("alpha", saved(Image.merge("LA", (SHADES, SHADES)), "PNG"), "image/png"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("data", "content_type"), [o[1:] for o in ODD], ids=[o[0] for o in ODD])
def test_odd_pictures_are_read(shared: TestClient, data: bytes, content_type: str) -> None:
    put(shared, "odd", avatar=media(data, content_type))
    assert modalities(shared, "odd") == {"avatar": "used"}


@pytest.mark.parametrize("colour", ["black", "#0a84ff"])
def test_a_picture_of_one_colour_shows_nothing(
    client: TestClient, counts: Counts, colour: str
) -> None:
    camera_off = media(blank(colour), "image/jpeg")
    put(client, "s", bio="boss", avatar=camera_off)
    assert modalities(client, "s") == {"bio": "used", "avatar": "uninformative"}
    assert counts() == {"text": 1, "image decoded": 1}
    put(client, "nothing-else", avatar=camera_off)
    assert client.get("/v1/streamers/nothing-else").json()["status"] == "insufficient_content"


@pytest.mark.slow
def test_an_hour_and_an_odd_rate_are_heard(shared: TestClient) -> None:
    hour = encoded(np.pad(tone(1, 4000), (0, 3599 * 4000)), "flac", 4000)
    odd = sound(440, rate_hz=11_017)
    for name, data, kind in (("hour", hour, "audio/flac"), ("odd", odd, "audio/wav")):
        put(shared, name, videos=[video(audio=media(data, kind))])
        assert modalities(shared, name) == {"audio": "used"}


def test_silence_shows_nothing_and_is_listened_to_once(client: TestClient, counts: Counts) -> None:
    silent = video(audio=media(sound(0), "audio/wav"))
    put(client, "s", bio="boss", videos=[silent])
    assert modalities(client, "s") == {"bio": "used", "audio": "uninformative"}
    assert counts() == {"text": 1, "audio decoded": 1}
    client.patch("/v1/streamers/s", json={"bio": "music"}).raise_for_status()
    assert counts() == {"text": 1}
    put(client, "nothing-else", videos=[silent])
    assert client.get("/v1/streamers/nothing-else").json()["status"] == "insufficient_content"


def test_the_newest_64_videos_are_read(client: TestClient, counts: Counts) -> None:
    covers = [media(picture(f"#{i:02x}0000")) for i in range(65)]
    dated = [
        video(i, cover=cover, published_at=f"2026-01-01T{i // 60:02}:{i % 60:02}:00Z")
        for i, cover in enumerate(covers)
    ]
    put(client, "s", videos=dated)
    assert counts() == {"image": 64, "image decoded": 64}
    put(client, "oldest", avatar=covers[0])
    assert counts() == {"image": 1, "image decoded": 1}


@pytest.mark.parametrize("hosts", [(), ("media.example.org",)])
def test_an_address_that_may_not_be_asked_is_refused_by_name(
    media_bundle: Path, tmp_path: Path, hosts: tuple[str, ...]
) -> None:
    settings = Settings.model_validate(
        {"bundle": media_bundle, "data_dir": tmp_path / "d", "media": {"url_hosts": hosts}}
    )
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        profile = {"videos": [video(cover={"url": "https://elsewhere.example.org/a"})]}
        body = problem(client.put("/v1/streamers/s", json=profile), 422, "url_refused")
        assert pointers(body) == ["/videos/0/cover/url"]
        assert "STREAMER_MEDIA__URL_HOSTS" in body["detail"]
        profile["videos"] = [video(title="boss", audio={"url": "https://127.0.0.1/a"})]
        body = problem(client.put("/v1/streamers/s", json=profile), 422, "url_refused")
        assert pointers(body) == ["/videos/0/audio/url"]


def test_what_no_tower_reads_is_stored_as_it_is(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", tower=True)
    with TestClient(
        create_app(Settings(bundle=tmp_path / "b", data_dir=tmp_path / "d")),
        base_url="http://localhost",
    ) as client:
        put(client, "s", avatar=media(b"rubbish"), videos=[video(cover={"url": "https://a.org/b"})])
        assert modalities(client, "s") == {"avatar": "unsupported", "covers": "unsupported"}


def test_media_of_a_model_without_such_towers_are_no_obstacle(
    media_bundle: Path, tmp_path: Path
) -> None:
    write_bundle(tmp_path / "b", tower=True, seed=1)
    before = {
        "bio": "boss",
        "avatar": media(b"rubbish"),
        "videos": [video(cover=RED), video(1, cover={"url": "https://a.example.org/b"})],
    }
    with TestClient(
        create_app(Settings(bundle=tmp_path / "b", data_dir=tmp_path / "d")),
        base_url="http://localhost",
    ) as client:
        put(client, "s", **before)
    settings = Settings(bundle=media_bundle, data_dir=tmp_path / "d", reencode=True)
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        counts = Counts(client)
        assert counts() == {"image": 1, "image decoded": 2}
        expected = {"bio": "used", "avatar": "unsupported", "covers": "used"}
        assert modalities(client, "s") == expected
        client.patch("/v1/streamers/s", json={"bio": "music"}).raise_for_status()
        assert modalities(client, "s") == expected
        body = problem(client.put("/v1/streamers/s", json=before), 422, "invalid_request")
        assert pointers(body) == ["/avatar/data", "/videos/1/cover/url"]
        address = {"url": "https://b.example.org/b", "data": None, "content_type": None}
        new = {"avatar": address, "videos": titles("boss")}
        body = problem(client.patch("/v1/streamers/s", json=new), 422, "url_refused")
        assert pointers(body) == ["/avatar/url"]


def test_bytes_that_are_not_kept(media_bundle: Path, tmp_path: Path) -> None:
    settings = Settings(
        bundle=media_bundle, data_dir=tmp_path / "data", media=Media(keep_bytes=False)
    )
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        counts = Counts(client)
        shown = {"avatar": RED, "videos": [video(audio=TONE)], "tags": ["cooking"]}
        put(client, "a", **shown)
        assert modalities(client, "a") == {"avatar": "used", "audio": "used", "tags": "used"}
        counts()
        stored = client.get("/v1/streamers/a").json()["profile"]
        digest = hashlib.sha256(base64.b64decode(RED["data"])).hexdigest()
        assert stored["avatar"] == {"sha256": digest}
        assert stored["videos"][0]["audio"].keys() == {"sha256"}
        # The profile with its bytes is known again, and what was stored may be sent back.
        line = json.dumps({"streamer_id": "a", **shown})
        answer = client.post("/v1/streamers:bulk?skip_unchanged=true", content=line, headers=NDJSON)
        assert json.loads(answer.text)["outcome"] == "unchanged"
        before = client.get("/v1/streamers/a/embedding").json()["embedding"]
        client.patch("/v1/streamers/a", json={"name": "n"}).raise_for_status()
        last = put(client, "a", **{k: v for k, v in stored.items() if k != "streamer_id"})
        assert modalities(client, "a") == {"avatar": "used", "audio": "used", "tags": "used"}
        after = client.get("/v1/streamers/a/embedding").json()["embedding"]
        assert after == pytest.approx(before, abs=1e-5)
        # What this streamer has not shown before is unsupported, in each process, beside somebody
        # who sends it.
        lines = [{"streamer_id": "b", "avatar": {"sha256": digest}, "tags": ["cooking"]}]
        lines += [{"streamer_id": "c", "avatar": BLUE}]
        client.post("/v1/streamers:bulk", content="\n".join(map(json.dumps, lines)), headers=NDJSON)
        unknown = {"sha256": 64 * "0"}
        last = put(client, "d", avatar=unknown, tags=["cooking"])
        assert modalities(client, "d") == {"avatar": "unsupported", "tags": "used"}
        assert modalities(client, "b") == {"avatar": "unsupported", "tags": "used"}
        assert modalities(client, "c") == {"avatar": "used"}
        assert counts() == {"image": 1, "image decoded": 1}  # of c
        wait_until_visible(client, last)
        assert client.get("/v1/streamers/a/similar").status_code == 200
        # New bytes, or an address, replace what is stored of the old ones.
        client.patch("/v1/streamers/a", json={"avatar": BLUE}).raise_for_status()
        stored = client.get("/v1/streamers/a").json()["profile"]
        digest = hashlib.sha256(base64.b64decode(BLUE["data"])).hexdigest()
        assert stored["avatar"] == {"sha256": digest}
        address = {"avatar": {"url": "https://elsewhere.example.org/a"}}
        problem(client.patch("/v1/streamers/a", json=address), 422, "url_refused")
