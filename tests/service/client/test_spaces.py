"""Spaces by the client and by the command, of a running service."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from service.client import AsyncClient, Client, Conflict, NotFound
from service.client.spaces import calls
from tests.service.features.spaces.hand_overs import (
    STREAMERS,
    USERS,
    HandOver,
    hand_over_of,
    store_streamers,
)
from tests.service.process import Service, error_line, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stocked(
    bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, HandOver]]:
    with Service(bundle, tmp_path_factory.mktemp("spaces") / "data") as service:
        service.wait_until_ready()
        client = service.client
        yield service, hand_over_of(client, store_streamers(client))  # type: ignore[arg-type]


def files_of(handed: HandOver, folder: Path) -> tuple[Path, Path]:
    archive, lines = folder / "vectors.npz", folder / "vectors.jsonl"
    archive.write_bytes(handed.with_nearest().npz())
    lines.write_bytes(handed.turned(1).lines())
    return archive, lines


def test_a_switch_that_is_sent_again_has_a_name() -> None:
    for call in (calls.promote("a", "g0", True), calls.roll_back("a")):
        assert re.fullmatch('"[0-9a-f-]{36}"', call.headers["Idempotency-Key"])
        assert call.is_repeatable


def test_the_client_hands_over_and_switches(
    stocked: tuple[Service, HandOver], tmp_path: Path
) -> None:
    service, handed = stocked
    archive, lines = files_of(handed, tmp_path)
    with Client(service.url) as client:
        made = client.spaces.hand_over("a", "g0", archive, promote=True)
        assert (made.state, made.counts.users) == ("active", USERS)
        assert made.counts.with_neighbours == STREAMERS * 3 // 4
        with pytest.raises(Conflict, match="choose another name"):
            client.spaces.hand_over("a", "g0", archive)
        assert client.spaces.hand_over("a", "g1", lines).state == "checked"
        assert client.spaces.promote("a", "g1").previous == "g0"
        own = client.spaces.own_vector("a", handed.ids[3])
        assert own.is_established
        assert own.generation == "g1"
        np.testing.assert_allclose(own.vector or [], handed.turned(1).vectors[3])
        assert client.spaces.erase_user("a", "观众-1").generations == 2
        assert client.spaces.roll_back("a").serving == "g0"
        client.spaces.delete("a", "g1")
        assert [g.generation for g in client.spaces.get("a").generations] == ["g0"]
        client.spaces.delete("a", "g0")
        assert list(client.spaces.all()) == []
        with pytest.raises(NotFound):
            client.spaces.get("a")
        with pytest.raises(ValueError, match="npz"):
            client.spaces.hand_over("a", "g0", tmp_path / "vectors.csv")


def test_so_does_the_one_for_asyncio(stocked: tuple[Service, HandOver], tmp_path: Path) -> None:
    service, handed = stocked
    archive, _ = files_of(handed, tmp_path)

    async def hand_over() -> str:
        async with AsyncClient(service.url) as client:
            made = await client.spaces.hand_over("b", "g0", archive, promote=True)
            return made.state

    assert asyncio.run(hand_over()) == "active"


def test_the_command(stocked: tuple[Service, HandOver], tmp_path: Path) -> None:
    service, handed = stocked
    archive, lines = files_of(handed, tmp_path)
    shuffled = tmp_path / "shuffled.npz"
    shuffled.write_bytes(handed.shuffled().npz())

    def space(*words: object) -> str:
        done = run("space", *words, "--url", service.url)
        assert done.returncode == 0, done.stderr
        return done.stdout

    done = run("space", "put", "c", "g0", archive, "--promote", "--url", service.url)
    assert done.returncode == 0, done.stderr
    assert "g0 is active: 80 streamers (60 with neighbours), 120 users" in done.stderr
    assert done.stdout.startswith("check\tverdict\tdetail\nwidth\tpassed\tvectors have 12 numbers")
    space("put", "c", "g1", lines)
    space("put", "c", "g2", shuffled)
    rows = [line.split("\t") for line in space("list", "c").splitlines()[1:]]
    assert [(row[1], row[2], row[6]) for row in rows] == [
        ("g2", "refused", "neighbourhoods,audiences"),
        ("g1", "checked", ""),
        ("g0", "active", ""),
    ]
    assert space("promote", "c", "g1").splitlines()[1] == "c\tg1\tg0"
    refused = run("space", "promote", "c", "g2", "--url", service.url)
    assert "do the rows still belong to their ids?" in error_line(refused)
    shown = json.loads(space("rollback", "c", "--json"))
    assert shown["active"]["generation"] == "g0"
    user = handed.user_ids[0]
    assert space("erase", "c", user).splitlines()[1] == f"c\t{user}\t3"
    assert space("delete", "c", "g1").splitlines()[1] == "c\tg1"
    missing = run("space", "put", "c", "g9", tmp_path / "none.npz", "--url", service.url)
    assert "none.npz can't be used (No such file or directory)" in error_line(missing)
    assert run("space", "put", "c", "g9", "vectors.csv").returncode == 2
