"""Services with towers, as processes: what is stored is not made again, and what they need."""

import json
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from redis import Redis

from tests.bundles import write_bundle
from tests.media_towers import picture, sound
from tests.service.conftest import Serve
from tests.service.data_sets import json_line, write_data
from tests.service.process import START_S, Service, error_line, hide, run
from tests.service.towers import Counts, media, titles

pytestmark = pytest.mark.slow

WRITTEN = 500
PEOPLE = {"a": "boss", "b": "boss music", "c": "noodles", "thin": ""}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two encoders behind the same tower."""
    folder = tmp_path_factory.mktemp("towers")
    write_bundle(folder / "first", tower=True)
    write_bundle(folder / "second", tower=True, seed=1)
    return folder / "first", folder / "second"


def vectors(service: Service) -> dict[str, np.ndarray]:
    found = {}
    for name in ("a", "b", "c"):
        answer = service.client.get(f"/v1/streamers/{name}/embedding")
        found[name] = np.array(answer.json()["embedding"])
    return found


def write_all(service: Service) -> None:
    for name, bio in PEOPLE.items():
        service.put(name, bio=bio)


def test_a_restart_and_another_encoder_need_no_tower(
    bundles: tuple[Path, Path], tmp_path: Path, serve: Serve
) -> None:
    first, second = bundles
    service = serve(bundle=first)
    write_all(service)
    assert Counts(service.client)() == {"text": 3}
    before = vectors(service)
    service.stop()
    service = serve(bundle=first)
    service.client.patch("/v1/streamers/a", json={"tags": ["x"]}).raise_for_status()
    service.put("b", bio=PEOPLE["b"])
    assert Counts(service.client)() == {}
    np.testing.assert_array_equal(vectors(service)["b"], before["b"])
    service.stop()
    service = serve("--reencode", bundle=second)
    assert Counts(service.client)() == {}
    again = vectors(service)
    assert not np.allclose(again["b"], before["b"], atol=0.1)
    service.stop()
    # As if it had been written by the second encoder from the start.
    fresh = serve(bundle=second, data_dir=tmp_path / "fresh")
    write_all(fresh)
    for name, expected in vectors(fresh).items():
        if name != "a":  # it got a tag
            np.testing.assert_array_equal(again[name], expected)


def test_a_store_of_an_earlier_release_has_none_and_gets_them(
    bundles: tuple[Path, Path], tmp_path: Path, serve: Serve
) -> None:
    service = serve(bundle=bundles[0])
    write_all(service)
    before = vectors(service)
    with Redis(unix_socket_path=str(tmp_path / "data" / "store" / "run" / "store.sock")) as store:
        for name in PEOPLE:
            store.hdel(f"ss:record:{name}", "tower_vectors")
        assert store.hexists("ss:record:a", "profile")
        service.stop()
        service = serve("--reencode", bundle=bundles[1])
        assert Counts(service.client)() == {"text": 3}
        assert store.hexists("ss:record:a", "tower_vectors")
        assert not store.hexists("ss:record:thin", "tower_vectors")
    service.stop()
    service = serve("--reencode", bundle=bundles[0])
    assert Counts(service.client)() == {}
    for name, vector in vectors(service).items():
        np.testing.assert_array_equal(vector, before[name])


def test_embed_gives_what_the_service_stores(
    media_bundle: Path, tmp_path: Path, serve: Serve
) -> None:
    shown = {
        "text": {"bio": "boss music", "videos": titles("noodles", "cooking", "noodles")},
        "red": {"avatar": media(picture("red")), "bio": "boss"},
        "blue": {"lives": [{"live_id": "l", "frames": [media(picture("blue"))]}]},
        "loud": {"videos": [{"video_id": "v", "audio": media(sound(440), "audio/wav")}]},
    }
    profiles = [{"streamer_id": name, **profile} for name, profile in shown.items()]
    data = write_data(tmp_path / "set", [json_line(p) for p in profiles])
    out = tmp_path / "vectors.npz"
    done = run("embed", "--bundle", media_bundle, "--data", data, "--out", out)
    assert done.returncode == 0, done.stderr
    service = serve(bundle=media_bundle)
    assert {r["outcome"] for r in service.bulk(profiles)} == {"created"}
    with np.load(out) as made:
        for name, vector in zip(made["ids"].tolist(), made["vectors"], strict=True):
            answer = service.client.get(f"/v1/streamers/{name}/embedding").json()
            np.testing.assert_allclose(vector, answer["embedding"], rtol=0, atol=5e-5)


def test_doctor_tells_of_towers_and_of_what_they_need(
    media_bundle: Path, bundle: Path, tmp_path: Path
) -> None:
    def towers(bundle: Path, **variables: str) -> dict[str, str]:
        arguments = ("doctor", "--json", "--bundle", bundle, "--data-dir", tmp_path, "--port", 0)
        checks = json.loads(run(*arguments, **variables).stdout)["checks"]
        return next(check for check in checks if check["name"] == "towers")

    found = towers(media_bundle)
    assert found["status"] == "ok"
    assert "test-text reads text (bio, videos); test-image reads image (avatar, " in found["detail"]
    assert towers(bundle)["detail"].startswith("none in the bundle")
    for module, extra in (("PIL", "images"), ("tokenizers", "text-tower")):
        (tmp_path / module).mkdir()
        found = towers(media_bundle, **hide(tmp_path / module, module))
        assert found["status"] == "fail"
        assert f"pip install 'similar-streamer[{extra}]'" in found["detail"]
    (tmp_path / "av").mkdir()
    arguments = ("serve", "--bundle", media_bundle, "--data-dir", tmp_path / "d", "--port", 0)
    said = error_line(run(*arguments, **hide(tmp_path / "av", "av")))
    assert "pip install 'similar-streamer[audio]'" in said


def test_questions_are_answered_while_many_are_written(
    bundles: tuple[Path, Path], serve: Serve
) -> None:
    # No deadline of the service comes before what is asserted below.
    service = serve(bundle=bundles[0], STREAMER_WORK__DEADLINE_MS=str(START_S * 1000))
    last = service.put("a", bio="boss")
    profiles = [
        {"streamer_id": f"s{i}", "videos": titles(*(f"w{i} x{j}" for j in range(20)))}
        for i in range(WRITTEN)
    ]
    done = threading.Event()

    def write() -> list[dict[str, Any]]:
        try:
            return service.bulk(profiles)
        finally:
            done.set()

    waited: list[float] = []
    with (
        ThreadPoolExecutor(1) as pool,
        httpx.Client(base_url=service.url, timeout=START_S, trust_env=False) as client,
    ):
        started = time.monotonic()
        writing = pool.submit(write)
        while not done.is_set():
            begin = time.monotonic()
            profile = {"bio": f"boss {len(waited)}"}  # never seen before
            seeds = {"positive": [{"profile": profile}], "after_sequence": last}
            client.post("/v1/similar", json=seeds).raise_for_status()
            waited.append(time.monotonic() - begin)
        assert {r["outcome"] for r in writing.result()} == {"created"}
        took = time.monotonic() - started
    assert len(waited) > 10
    assert statistics.median(waited) < max(2, took / 10)
    counts = Counts(service.client)()
    assert counts["text"] == 1 + WRITTEN * 20 + len(waited)
