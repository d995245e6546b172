"""Pictures and sounds: read by towers once, refused by field, never decoded for nothing."""

import base64
import hashlib
import io
import json
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Serve
from tests.support.api import Api, wrong_fields
from tests.support.bundles import write_bundle
from tests.support.media_towers import blank, picture, sound


def media(data: bytes, content_type: str = "image/png") -> dict[str, str]:
    return {"data": base64.b64encode(data).decode(), "content_type": content_type}


def video(number: int = 0, **shown: Any) -> dict[str, Any]:
    return {"video_id": f"v{number}", **shown}


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def announced(width: int, height: int) -> bytes:
    """A PNG that says it is so large, and holds nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = chunk(b"IDAT", zlib.compress(b""))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + rows + chunk(b"IEND", b"")


RED, BLUE = media(picture("red")), media(picture("blue"))
TONE = media(sound(440), "audio/wav")
RUBBISH = media(b"rubbish")
SHADES = Image.linear_gradient("L").resize((20, 20))
JPEG = saved(Image.new("RGB", (300, 300), "red"), "JPEG")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media") / "bundle"
    write_bundle(folder, tower=True, media=True)
    return folder


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return {"STREAMER_MEDIA__URL_HOSTS": "media.example.org,*.cdn.example.org"}


class Counts:
    """What the towers did since this was asked last; what they did not is left out."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._before: Mapping[str, int] = {}
        self()

    def __call__(self) -> dict[str, int]:
        """By what was read; for what was decoded, `image decoded`."""
        now: dict[str, int] = {}
        for tower in self._api.ok("GET", "/readyz")["towers"]:
            now[tower["reads"]] = tower["encoded"]
            now[f"{tower['reads']} decoded"] = tower["decoded"]
        news = {name: count - self._before.get(name, 0) for name, count in now.items()}
        self._before = now
        return {name: count for name, count in news.items() if count}


@pytest.fixture
def counts(api: Api) -> Counts:
    return Counts(api)


def modalities(api: Api, streamer_id: str) -> dict[str, str]:
    found = api.ok("GET", f"/v1/streamers/{streamer_id}")["modalities"]
    return {name: status for name, status in found.items() if status != "absent"}


def vector(api: Api, streamer_id: str) -> np.ndarray:
    return np.array(api.ok("GET", f"/v1/streamers/{streamer_id}/embedding")["embedding"])


def test_pictures_and_sounds_find_their_like(api: Api) -> None:
    green, greenish = picture("#00ff00"), picture("#10f010", "JPEG")
    last = api.write(
        [
            {"streamer_id": "green", "avatar": media(green)},
            {"streamer_id": "greenish", "videos": [video(cover=media(greenish, "image/jpeg"))]},
            {"streamer_id": "navy", "avatar": media(picture("navy"))},
            {"streamer_id": "loud", "videos": [video(audio=media(sound(1000), "audio/wav"))]},
            {
                "streamer_id": "deep",
                "lives": [{"live_id": "l", "audio": media(sound(990), "audio/wav")}],
            },
        ]
    )
    assert modalities(api, "greenish") == {"covers": "used"}
    assert modalities(api, "deep") == {"audio": "used"}
    for asked, expected in (("green", "greenish"), ("loud", "deep")):
        params = {"k": 1, "after_sequence": last}
        (hit,) = api.ok("GET", f"/v1/streamers/{asked}/similar", params=params)["hits"]
        assert hit["streamer_id"] == expected
        assert hit["score"] > 0.99
    query = {"positive": [{"profile": {"avatar": media(picture("#02fc04"))}}], "k": 1}
    (hit,) = api.ok("POST", "/v1/similar", query)["hits"]
    assert hit["streamer_id"] == "green"


def test_only_what_is_new_is_decoded_and_encoded(api: Api, counts: Counts) -> None:
    cover, other = media(picture("#102030")), media(picture("#302010"))
    tone = media(sound(523), "audio/wav")
    shown = [video(0, title="boss kappa", cover=cover, audio=tone), video(1, cover=other)]
    api.put_streamer("reused", bio="noodles kappa", avatar=other, videos=shown)
    everything = {"text": 2, "image": 2, "image decoded": 2, "audio": 1, "audio decoded": 1}
    assert counts() == everything
    api.ok("PATCH", "/v1/streamers/reused", {"bio": "music kappa"})
    assert counts() == {"text": 1}
    api.ok("PATCH", "/v1/streamers/reused", {"attributes": {"x": 1}})
    api.put_streamer("reused", bio="music kappa", avatar=cover, videos=shown)
    api.ok("POST", "/v1/cold-start", {"streamer_id": "reused"})
    assert counts() == {}
    fresh = {"bio": "music kappa", "avatar": cover, "videos": shown}
    api.write({"streamer_id": f"reused-{i}", **fresh} for i in range(5))
    api.ok("POST", "/v1/similar", {"positive": [{"profile": fresh}]})
    assert counts() == {}  # others have shown all of it
    assert np.allclose(vector(api, "reused"), vector(api, "reused-3"), atol=5e-5)


def test_towers_read_what_they_are_for(api: Api, counts: Counts) -> None:
    api.put_streamer("tower-a", bio="gaming cooking")
    api.put_streamer("tower-b", bio="GAMING COOKING")
    last = api.put_streamer("tower-c", tags=["guitar"])  # tags are not for this tower
    assert counts() == {"text": 2}
    assert vector(api, "tower-a") @ vector(api, "tower-b") == pytest.approx(1, abs=0.01)
    params = {"k": 1, "after_sequence": last}
    (hit,) = api.ok("GET", "/v1/streamers/tower-a/similar", params=params)["hits"]
    assert hit["streamer_id"] == "tower-b"
    ready_made = {"avatar": {"vector": [1.0], "space": "test-text"}}
    problem = api.refused(
        "PUT", "/v1/streamers/tower-d", ready_made, status=422, code="invalid_request"
    )
    assert wrong_fields(problem) == ["/avatar/vector"]


def test_a_restart_and_another_encoder_need_no_tower(
    serve: Serve, bundle: Path, tmp_path: Path
) -> None:
    second = tmp_path / "second"
    write_bundle(second, tower=True, media=True, seed=1)
    service = serve(bundle=bundle)
    service.api.put_streamer("a", bio="boss music", avatar=RED, videos=[video(audio=TONE)])
    before = vector(service.api, "a")
    service.stop()
    service = serve("--reencode", bundle=second)
    counts = Counts(service.api)
    assert [tower["encoded"] for tower in service.api.ok("GET", "/readyz")["towers"]] == [0] * 3
    service.api.ok("PATCH", "/v1/streamers/a", {"attributes": {"x": 1}})
    assert not np.allclose(vector(service.api, "a"), before, atol=0.1)
    assert counts() == {}
    service.api.put_streamer("fresh", bio="boss music", avatar=RED, videos=[video(audio=TONE)])
    assert {"text": 1, "image": 1, "audio": 1}.items() <= counts().items()
    assert np.allclose(vector(service.api, "a"), vector(service.api, "fresh"), atol=5e-5)


BAD: list[tuple[str, dict[str, str]]] = [
    ("/avatar/data", media(announced(40_000, 40_000))),
    ("/avatar/data", media(JPEG[: len(JPEG) // 2], "image/jpeg")),
    ("/avatar/data", media(picture("teal", "JPEG"), "image/png")),
    ("/avatar/data", media(sound(440), "audio/wav")),
    ("/avatar/data", RUBBISH),
    ("/videos/0/cover/data", RUBBISH),
    ("/lives/0/frames/1/data", media(b"\x89PNG\r\n\x1a\n")),
    ("/lives/0/audio/data", media(sound(440, seconds=0), "audio/wav")),
    ("/lives/0/audio/data", media(sound(440, seconds=0.05), "audio/wav")),
    ("/lives/0/audio/data", media(sound(440, rate_hz=3000), "audio/wav")),
    ("/lives/0/audio/data", media(sound(447), "audio/flac")),
    ("/videos/0/audio/data", media(picture("red"))),
    ("/videos/0/audio/data", media(picture("red"), "audio/wav")),
]


def profile_with(pointer: str, shown: dict[str, str]) -> dict[str, Any]:
    """A good profile but for one part."""
    _, field, *rest = pointer.split("/")
    if field == "avatar":
        return {"bio": "boss", "avatar": shown}
    if field == "videos":
        return {"bio": "boss", "videos": [{"video_id": "v", rest[1]: shown}]}
    part = {"frames": [RED, shown]} if rest[1] == "frames" else {rest[1]: shown}
    return {"bio": "boss", "lives": [{"live_id": "l", **part}]}


@pytest.mark.parametrize(("pointer", "shown"), BAD)
def test_a_picture_or_sound_that_can_not_be_read_is_named(
    api: Api, pointer: str, shown: dict[str, str]
) -> None:
    path, body = "/v1/streamers/bad", profile_with(pointer, shown)
    problem = api.refused("PUT", path, body, status=422, code="invalid_request")
    assert wrong_fields(problem) == [pointer]
    api.refused("GET", path, status=404, code="streamer_not_found")


def test_all_bad_parts_are_named_together_wherever_a_profile_may_be(api: Api) -> None:
    frames = {"live_id": "l", "frames": [RED, RUBBISH]}
    videos = [video(cover=BLUE), video(1, cover=RUBBISH)]
    bad = {"avatar": RUBBISH, "videos": videos, "lives": [frames]}
    expected = ["/avatar/data", "/lives/0/frames/1/data", "/videos/1/cover/data"]
    for method, path, body, before in (
        ("PUT", "/v1/streamers/bad-parts", bad, ""),
        ("POST", "/v1/similar", {"positive": [{"profile": bad}]}, "/positive/0/profile"),
        ("POST", "/v1/cold-start", {"profile": bad}, "/profile"),
        ("POST", "/v1/dedup", {"profiles": [{"streamer_id": "x", **bad}]}, "/profiles/0"),
    ):
        problem = api.refused(method, path, body, status=422, code="invalid_request")
        assert sorted(wrong_fields(problem)) == [before + pointer for pointer in expected]
    lines = [
        {"streamer_id": "line-a", "avatar": RED},
        {"streamer_id": "line-b", "avatar": RUBBISH},
        {"streamer_id": "line-c", "avatar": media(JPEG, "image/png")},
        {"streamer_id": "line-d", "avatar": media(JPEG, "image/jpeg")},  # the same bytes
        {"streamer_id": "line-e", "videos": videos},
        {"streamer_id": "line-f", "videos": [video(audio=TONE)]},
    ]
    results = api.bulk(lines)
    assert [r["streamer_id"] for r in results if r["outcome"] == "created"] == [
        *("line-a", "line-d", "line-f")
    ]
    refused = {r["streamer_id"]: wrong_fields(r["error"]) for r in results if "error" in r}
    assert refused == {
        "line-b": ["/avatar/data"],
        "line-c": ["/avatar/data"],
        "line-e": ["/videos/1/cover/data"],
    }


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (saved(SHADES.convert("CMYK"), "JPEG"), "image/jpeg"),
        (saved(SHADES.convert("I").point(lambda x: x * 256).convert("I;16"), "PNG"), "image/png"),
        (saved(Image.merge("LA", (SHADES, SHADES)), "PNG"), "image/png"),
        (saved(SHADES.convert("RGB"), "WEBP"), "image/webp"),
        (
            saved(SHADES, "GIF", save_all=True, append_images=[Image.new("L", (20, 20))]),
            "image/gif",
        ),
        (sound(440, rate_hz=11_017), "audio/wav"),
        (sound(440, seconds=60), "audio/wav"),
    ],
    ids=["cmyk", "16 bit", "alpha", "webp", "animated", "odd rate", "minute"],
)
def test_odd_pictures_and_sounds_are_read(api: Api, data: bytes, content_type: str) -> None:
    shown = media(data, content_type)
    if content_type.startswith("image"):
        told = api.put("/v1/streamers/odd", json={"avatar": shown}).json()
        assert (told["modalities"]["avatar"], told["status"]) == ("used", "indexed")
    else:
        told = api.put("/v1/streamers/odd", json={"videos": [video(audio=shown)]}).json()
        assert (told["modalities"]["audio"], told["status"]) == ("used", "indexed")


def test_one_colour_and_silence_show_nothing_and_are_decoded_once(api: Api, counts: Counts) -> None:
    off = media(blank("#0a84ff"), "image/jpeg")
    silent = [video(audio=media(sound(0), "audio/wav"))]
    assert api.put_streamer("off", avatar=off, videos=silent, bio="unheard of")
    expected = {"avatar": "uninformative", "audio": "uninformative", "bio": "used"}
    assert modalities(api, "off") == expected
    assert counts() == {"text": 1, "image decoded": 1, "audio decoded": 1}
    api.ok("PATCH", "/v1/streamers/off", {"bio": None})
    assert api.ok("GET", "/v1/streamers/off")["status"] == "insufficient_content"
    assert counts() == {}


def test_the_newest_64_videos_are_read(api: Api, counts: Counts) -> None:
    covers = [media(picture(f"#{i:02x}0077")) for i in range(65)]
    dated = [
        video(i, cover=cover, published_at=f"2026-01-01T{i // 60:02}:{i % 60:02}:00Z")
        for i, cover in enumerate(covers)
    ]
    api.put_streamer("newest", videos=dated)
    assert counts() == {"image": 64, "image decoded": 64}
    api.put_streamer("oldest", avatar=covers[0])
    assert counts() == {"image": 1, "image decoded": 1}


# Copies


def test_two_copies_of_pictures_make_a_near_duplicate(api: Api) -> None:
    rng = np.random.default_rng(3)
    scenes = [
        Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8)).resize((96, 64))
        for _ in range(2)
    ]
    covers = [video(i, cover=media(saved(scene, "PNG"))) for i, scene in enumerate(scenes)]
    smaller = [saved(scene.resize((72, 48)), "JPEG") for scene in scenes]
    copies = [video(i, cover=media(file, "image/jpeg")) for i, file in enumerate(smaller)]
    api.put_streamer("copied", videos=covers)
    told = api.ok("PUT", "/v1/streamers/copier", {"videos": copies}, 201)
    (near,) = [n for n in told["near_duplicates"] if n["streamer_id"] == "copied"]
    assert (near["copies"], near["kind"]) == (2, "same_media")
    told = api.ok("PUT", "/v1/streamers/copier", {"videos": copies[:1]})
    assert max((near["copies"] for near in told["near_duplicates"]), default=0) < 2


# Addresses


@pytest.mark.parametrize(
    "url",
    [
        "https://elsewhere.example.org/a",
        "https://example.org/a",
        "https://cdn.example.org/a",
        "https://media.example.org.evil.com/a",
        "https://media.example.org:8443/a",
        "https://user:secret@media.example.org/a",
        "https://media.example.org@evil.com/a",
        "https://127.0.0.1/a",
        "https://2130706433/a",
        "https://[::1]/a",
        "https://[::ffff:169.254.169.254]/a",
        "https://localhost/a",
    ],
)
def test_an_address_that_may_not_be_asked_is_refused_by_field(api: Api, url: str) -> None:
    for pointer, body in (
        ("/videos/0/cover/url", {"videos": [video(cover={"url": url})]}),
        ("/lives/0/audio/url", {"lives": [{"live_id": "l", "audio": {"url": url}}]}),
    ):
        path = "/v1/streamers/asked"
        problem = api.refused("PUT", path, body, status=422, code="url_refused")
        assert wrong_fields(problem) == [pointer]
        assert "secret" not in json.dumps(problem)
        api.refused("GET", path, status=404, code="streamer_not_found")
    query = {"positive": [{"profile": {"avatar": {"url": url}}}]}
    problem = api.refused("POST", "/v1/similar", query, status=422, code="url_refused")
    assert wrong_fields(problem) == ["/positive/0/profile/avatar/url"]
    (line,) = api.bulk([{"streamer_id": "asked", "avatar": {"url": url}}])
    assert (line["error"]["code"], wrong_fields(line["error"])) == ("url_refused", ["/avatar/url"])


# What is kept


def test_bytes_that_are_not_kept_are_known_by_their_digest(serve: Serve, bundle: Path) -> None:
    api = serve(bundle=bundle, STREAMER_MEDIA__KEEP_BYTES="false").api
    counts = Counts(api)

    def digest(shown: dict[str, str]) -> dict[str, str]:
        return {"sha256": hashlib.sha256(base64.b64decode(shown["data"])).hexdigest()}

    shown = {"avatar": RED, "videos": [video(audio=TONE)], "tags": ["cooking"]}
    used = {"avatar": "used", "audio": "used", "tags": "used"}
    api.put_streamer("a", **shown)
    assert modalities(api, "a") == used
    stored = api.ok("GET", "/v1/streamers/a")["profile"]
    assert stored["avatar"] == digest(RED)
    assert stored["videos"][0]["audio"] == digest(TONE)
    # The profile with its bytes is known again, and what was stored may be sent back.
    params, line = {"skip_unchanged": True}, json.dumps({"streamer_id": "a", **shown})
    headers = {"Content-Type": "application/x-ndjson"}
    answer = api.post("/v1/streamers:bulk", content=line, headers=headers, params=params)
    assert answer.json()["outcome"] == "unchanged"
    before = vector(api, "a")
    counts()
    api.ok("PATCH", "/v1/streamers/a", {"name": "n"})
    del stored["streamer_id"]
    api.put_streamer("a", **stored)
    assert modalities(api, "a") == used
    assert np.allclose(vector(api, "a"), before, atol=1e-5)
    assert counts() == {}
    # What somebody has not shown is unsupported, also where another one has.
    api.write(
        [
            {"streamer_id": "b", "avatar": digest(RED), "tags": ["cooking"]},
            {"streamer_id": "c", "avatar": {"sha256": 64 * "0"}, "tags": ["cooking"]},
        ]
    )
    for name in ("b", "c"):
        assert modalities(api, name) == {"avatar": "unsupported", "tags": "used"}
    # New bytes, or an address, replace what is stored of the old ones.
    api.ok("PATCH", "/v1/streamers/a", {"avatar": BLUE})
    assert api.ok("GET", "/v1/streamers/a")["profile"]["avatar"] == digest(BLUE)
    address = {"avatar": {"url": "https://elsewhere.example.org/a"}}
    api.refused("PATCH", "/v1/streamers/a", address, status=422, code="url_refused")
