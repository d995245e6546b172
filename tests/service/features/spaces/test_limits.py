"""What a hand-over may take, each by a setting: bytes, disk, rows, spaces; what is left of it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.features.spaces.checking import Checker
from service.settings import Settings
from service.settings.spaces import Spaces
from tests.service.features.spaces.hand_overs import (
    NDJSON,
    STREAMERS,
    USERS,
    HandOver,
    send,
    space_of,
)
from tests.service.http.test_bad_input import problem

MIB = 1 << 20
LIMITS = Spaces(
    max_spaces=1,
    max_streamers=STREAMERS,
    max_users=USERS,
    spool_bytes=MIB,
    upload_limit_bytes=2 * MIB,
    min_known=0,
)


@pytest.fixture
def limited(bundle: Path, tmp_path: Path) -> Iterator[TestClient]:
    settings = Settings(bundle=bundle, data_dir=tmp_path / "data", spaces=LIMITS)
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        yield client
    assert [file.name for file in (tmp_path / "data" / "spaces").iterdir()] == ["place"]


@pytest.mark.parametrize("declared", [True, False])
def test_bytes_of_an_upload_and_of_the_disk(limited: TestClient, declared: bool) -> None:
    for size, status, code in ((3 * MIB, 413, "body_too_large"), (3 * MIB // 2, 507, "spool_full")):
        body = b"\n" * size
        parts = body if declared else iter([body[:MIB], body[MIB:]])
        detail = problem(send(limited, "g0", parts, NDJSON), status, code)["detail"]
        assert code != "spool_full" or "STREAMER_SPACES__SPOOL_BYTES" in detail
    assert space_of(limited) is None


@pytest.mark.slow
def test_streamers_users_and_spaces(limited: TestClient, handed: HandOver) -> None:
    one_more = handed.but(ids=[*handed.ids, "more"], vectors=handed.vectors[[*range(STREAMERS), 0]])
    users = handed.but(
        user_ids=[*handed.user_ids, "more"], user_vectors=handed.user_vectors[[*range(USERS), 0]]
    )
    for given, setting in ((one_more, "MAX_STREAMERS"), (users, "MAX_USERS")):
        for body, kind in ((given.npz(), "application/x-npz"), (given.lines(), NDJSON)):
            detail = problem(send(limited, "g0", body, kind), 422, "invalid_request")["detail"]
            assert f"STREAMER_SPACES__{setting}" in detail
    assert space_of(limited) is None
    send(limited, "g0", handed.npz()).raise_for_status()
    found = problem(send(limited, "g0", handed.npz(), space="other"), 422, "invalid_request")
    assert "STREAMER_SPACES__MAX_SPACES" in found["detail"]
    send(limited, "g1", handed.npz()).raise_for_status()


def test_what_a_killed_process_left_of_an_upload_goes_with_the_next_one(
    client: TestClient, handed: HandOver
) -> None:
    """When the service started again it was too young to be given up."""
    folder = client.app_state["services"].spaces._receiver._spool.folder  # type: ignore[index]
    left, under_way = folder / "1b60.part", folder / "2c71.part"
    long = [folder / "3d82.upload", folder / "3d82.streamers"]  # it is still being read
    for path in (left, under_way, *long):
        path.write_bytes(bytes(1000))
    for path in (left, long[0]):
        os.utime(path, (0, 0))
    send(client, "g1", handed.npz()).raise_for_status()
    assert not left.exists()
    for path in (under_way, *long):
        path.unlink()


@pytest.mark.slow
def test_a_hand_over_that_takes_long_is_not_given_up_by_the_next_one(
    client: TestClient, handed: HandOver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = client.app_state["services"].spaces._receiver  # type: ignore[index]
    check, kept = Checker.check, list[set[str]]()

    async def takes_long(self: Checker, given: Any, before: Any) -> list[dict[str, Any]]:
        files = {path for path in receiver._spool.folder.iterdir() if "." in path.name}
        for path in files:
            os.utime(path, (0, 0))
        await receiver.sweep()
        kept.append({path.suffix for path in files if path.exists()})
        return await check(self, given, before)

    monkeypatch.setattr(Checker, "check", takes_long)
    send(client, "g0", handed.npz()).raise_for_status()
    assert ".upload" in kept[0]
    assert {path.name for path in receiver._spool.folder.iterdir()} == {"place"}
