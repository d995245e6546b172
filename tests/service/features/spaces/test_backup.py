"""Spaces in backups, and what `verify` says of them."""

import asyncio
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from service.engine.spaces.streamer_neighbours import unpacked_neighbours
from service.files.checksummed import ChecksummedFolder
from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis.backup import ArchivedStore
from service.store.spaces import GenerationRecord, SpaceChange, SpaceRecord
from tests.service.conftest import Serve
from tests.service.features.spaces.hand_overs import (
    USERS,
    hand_over_of,
    send,
    served,
    space_of,
    store_streamers,
)
from tests.service.process import run, wait_until

pytestmark = pytest.mark.slow


def damage(data: Path) -> None:
    """Turn one byte of a chunk."""

    async def turn() -> None:
        async with EmbeddedStore(data / "store") as embedded:
            with Redis.from_url(embedded.url) as client:
                known: Any = client
                (key, *_) = known.keys("ss:space:chunks:*")
                chunk = bytearray(known.hget(key, "u0.vectors"))
                chunk[len(chunk) // 2] ^= 255
                known.hset(key, "u0.vectors", bytes(chunk))

    asyncio.run(turn())


def test_a_restore_leaves_the_chunks_of_the_store_before_alone(tmp_path: Path) -> None:
    """Rows may have been erased from them since the backup, and it may be interrupted."""
    known = GenerationRecord("g", "a1", 1.0, True, False, [], 2, 1, 0, False, 1, 0, 4, "", "key")
    record = SpaceRecord("als", [known], ["g"])
    shared = tmp_path / "shared"

    async def opened(url: str, prefix: str) -> ArchivedStore:
        return await ArchivedStore(url, chunks_dir=shared, prefix=prefix).open()

    async def scenario() -> None:
        async with EmbeddedStore(tmp_path / "store") as embedded:
            async with aclosing(await opened(embedded.url, "ss:")) as store:
                await store.spaces.put_chunk("a1", "s0.ids", b"all of them")
                await store.spaces.change(SpaceChange("als", b"", record.to_json(), ("a1", 1)))
                await store.back_up(tmp_path / "copy")
                await store.spaces.put_chunk("a1", "s0.ids", b"but one")
            source = ChecksummedFolder(tmp_path / "copy")
            async with aclosing(await opened(embedded.url, "after:")) as store:
                await store.restore(source)
                text = await store.spaces.get("als")
                (generation,) = SpaceRecord.of_json(text).generations
                assert replace(generation, chunks_id="a1") == known
                found = await store.spaces.chunks(generation.chunks_id, ["s0.ids"])
                assert found == [b"all of them"]
            names = {generation.chunks_id, "a1"}
            assert {path.name for path in shared.iterdir()} == names
            assert (shared / "a1" / "s0.ids").read_bytes() == b"but one"
            async with aclosing(await opened(embedded.url, "interrupted:")) as store:
                store.spaces.change = interrupted
                with pytest.raises(asyncio.CancelledError):
                    await store.restore(source)
            assert {path.name for path in shared.iterdir()} == names

    async def interrupted(change: SpaceChange) -> bool:
        raise asyncio.CancelledError

    asyncio.run(scenario())


def test_spaces_are_copied_put_back_and_verified(serve: Serve, tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    service = serve()
    client: Any = service.client
    handed = hand_over_of(client, store_streamers(client))
    send(client, "g0", handed.npz(), promote="true").raise_for_status()
    near = handed.with_nearest()
    send(client, "g1", near.turned(1).npz(), promote="true").raise_for_status()
    client.delete("/v1/spaces/als/users/观众-5").raise_for_status()
    before = space_of(client)
    assert run("backup", "--data-dir", data, "--out", copy).returncode == 0
    client.post("/v1/spaces/als:rollback").raise_for_status()
    client.delete("/v1/spaces/als/generations/g1").raise_for_status()
    send(client, "g2", handed.turned(2).npz()).raise_for_status()
    assert service.stop() == 0
    done = run("restore", copy, "--data-dir", data)
    assert done.returncode == 0, done.stderr
    service = serve()
    client = service.client
    wait_until(lambda: space_of(client)["serving"] == "g1", "what was copied is served")
    after = space_of(client)
    for shown in (before, after):
        shown["active"].pop("age_s")
    assert after == before
    assert served(client, "s004")["vector"] == handed.turned(1).vectors[4].tolist()
    assert after["generations"][0]["counts"]["users"] == USERS - 1
    assert service.stop() == 0
    done = run("verify", "--data-dir", data)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        "spaces    2 generations: 398 streamers, 398 with a vector: no differences" in done.stdout
    )
    damage(data)
    done = run("verify", "--data-dir", data)
    assert done.returncode == 1
    assert "has a damaged chunk u0.vectors" in done.stdout
    assert "als/g" in done.stdout


def test_chunks_of_a_shared_folder_are_copied_put_back_and_verified(
    serve: Serve, tmp_path: Path
) -> None:
    data, copy, folder = tmp_path / "data", tmp_path / "copy", tmp_path / "shared"
    settings = {"STREAMER_SPACES__CHUNKS_DIR": str(folder)}
    service = serve(**settings)
    client: Any = service.client
    handed = hand_over_of(client, store_streamers(client)).with_nearest()
    send(client, "g0", handed.npz(), promote="true").raise_for_status()
    assert run("backup", "--data-dir", data, "--out", copy, **settings).returncode == 0
    client.delete("/v1/spaces/als/generations/g0").raise_for_status()
    assert list(folder.iterdir()) == []
    assert service.stop() == 0
    done = run("restore", copy, "--data-dir", data, **settings)
    assert done.returncode == 0, done.stderr
    (chunks,) = folder.iterdir()
    done = run("verify", "--data-dir", data, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "spaces    1 generations: 200 streamers" in done.stdout
    neighbours = (chunks / "s0.neighbours").read_bytes()
    (chunks / "s0.ids").unlink()
    (chunks / "s0.neighbours").unlink()
    done = run("verify", "--data-dir", data, **settings)
    assert "lacks the chunk s0.ids" in done.stdout
    assert "lacks the chunk s0.neighbours" in done.stdout
    (chunks / "s0.neighbours").write_bytes(neighbours[:-1])
    done = run("verify", "--data-dir", data, **settings)
    assert "has a damaged chunk s0.neighbours" in done.stdout
    (chunks / "s0.neighbours").write_bytes(unpacked_neighbours(neighbours).without(1))
    done = run("verify", "--data-dir", data, **settings)
    assert "has neighbours of 59 of 79 streamers, and tells of 60 of 80" in done.stdout
