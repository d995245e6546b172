"""What towers made is stored: nothing of it is made again by a restart or for another encoder."""

from pathlib import Path

import numpy as np
import pytest
from redis import Redis

from tests.bundles import write_bundle
from tests.service.conftest import Serve
from tests.service.process import Service

PEOPLE = {"a": "boss", "b": "boss music", "c": "noodles", "thin": ""}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two encoders behind the same tower."""
    folder = tmp_path_factory.mktemp("towers")
    write_bundle(folder / "first", tower=True)
    write_bundle(folder / "second", tower=True, seed=1)
    return folder / "first", folder / "second"


def encoded(service: Service) -> int:
    (tower,) = service.client.get("/readyz").json()["towers"]
    return tower["encoded"]


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
    assert encoded(service) == 3
    before = vectors(service)
    service.stop()
    service = serve(bundle=first)
    service.client.patch("/v1/streamers/a", json={"tags": ["x"]}).raise_for_status()
    service.put("b", bio=PEOPLE["b"])
    assert encoded(service) == 0
    np.testing.assert_array_equal(vectors(service)["b"], before["b"])
    service.stop()
    service = serve("--reencode", bundle=second)
    assert encoded(service) == 0
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
        assert encoded(service) == 3
        assert store.hexists("ss:record:a", "tower_vectors")
        assert not store.hexists("ss:record:thin", "tower_vectors")
    service.stop()
    service = serve("--reencode", bundle=bundles[0])
    assert encoded(service) == 0
    for name, vector in vectors(service).items():
        np.testing.assert_array_equal(vector, before[name])
