"""Erasures that are cut short, or come while the store is copied."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.engine.spaces.chunk_codec import unpacked_ids
from service.errors import SpaceNotFound, StoreUnavailable
from service.features.spaces import following, receiving
from service.features.spaces.following import SpaceFollower
from service.files.checksummed import ChecksummedFolder, FolderWriter, creating
from service.settings import Settings
from service.store.redis.spaces import copies
from service.store.redis.spaces.folder import ChunkFolder
from service.store.redis.spaces.store import RedisSpaces
from service.store.spaces import ErasedRow, Erasures, GenerationRecord
from tests.service.features.spaces.hand_overs import (
    HandOver,
    hand_over_of,
    promote,
    send,
    served,
    space_of,
    store_streamers,
)
from tests.service.http.test_bad_input import problem
from tests.service.process import wait_until


@pytest.fixture
def with_folder(bundle: Path, tmp_path: Path) -> Iterator[TestClient]:
    settings = Settings.model_validate(
        {
            "bundle": bundle,
            "data_dir": tmp_path / "data",
            "spaces": {"chunks_dir": tmp_path / "shared"},
        }
    )
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        yield client


@pytest.mark.slow
def test_what_an_erasure_left_in_the_folder_goes_when_it_is_asked_for_again(
    with_folder: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = with_folder
    handed = hand_over_of(client, store_streamers(client))
    send(client, "g0", handed.npz()).raise_for_status()
    (folder,) = (tmp_path / "shared").iterdir()
    with monkeypatch.context() as patched:

        def fail(self: ChunkFolder, chunks_id: str, names: Sequence[str]) -> None:
            raise StoreUnavailable("the folder is out of reach")

        patched.setattr(ChunkFolder, "remove", fail)
        problem(client.delete("/v1/spaces/als/users/观众-7"), 503, "store_unavailable")
    assert "观众-7" in unpacked_ids((folder / "u0.ids").read_bytes())
    erased = client.delete("/v1/spaces/als/users/观众-7").raise_for_status().json()
    assert erased["generations"] == 0
    left = {path.name for path in folder.iterdir()}
    assert left == {"s0.ids", "s0.vectors"}
    assert space_of(client)["generations"][0]["counts"]["erased_users"] == 1


@pytest.mark.slow
def test_a_copy_has_nothing_of_who_was_erased_meanwhile(
    client: TestClient, handed: HandOver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spaces = client.app_state["services"].spaces  # type: ignore[index]
    for name in ("g0", "g1"):
        send(client, name, handed.npz()).raise_for_status()
    copy, erased = copies._copy, ["观众-7"]

    async def copied(store: RedisSpaces, record: GenerationRecord, folder: FolderWriter) -> bool:
        done = await copy(store, record, folder)
        if erased:
            await spaces.erase_user("als", erased.pop())
        return done

    async def copy_all() -> None:
        with creating(tmp_path / "copy", {}) as folder:
            await copies.copy_spaces(spaces._store, folder)

    monkeypatch.setattr(copies, "_copy", copied)
    assert client.portal is not None
    client.portal.call(copy_all)
    made = ChecksummedFolder(tmp_path / "copy")
    made.check()
    assert len(made.files) == 3  # of two generations, and their records
    assert {path.name for path in made.path.iterdir()} == {*made.files, "manifest"}
    for name in made.files.keys() - {copies.SPACES}:
        assert "观众-7" not in unpacked_ids(dict(copies._chunks(made, name))["u0.ids"])


@pytest.mark.slow
def test_erasures_are_followed_while_a_generation_is_read_anew(
    client: TestClient, handed: HandOver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Notes that a replica was too late for stopped it from following all later ones."""
    send(client, "g0", handed.npz(), promote="true").raise_for_status()
    active = client.app_state["services"].spaces.active  # type: ignore[index]
    noted, read, asked, may_end = RedisSpaces.erased, following.load, [0], [Event(), Event()]

    async def without_some(self: RedisSpaces, chunks_id: str) -> dict[int, ErasedRow]:
        return {n: row for n, row in (await noted(self, chunks_id)).items() if n not in (1, 4)}

    async def later(*arguments: Any) -> Any:
        made = await read(*arguments)
        asked[0] += 1
        if asked[0] <= len(may_end):
            await asyncio.to_thread(may_end[asked[0] - 1].wait)
        return made

    def erase(*numbers: int) -> None:
        for number in numbers:
            client.delete(f"/v1/spaces/als/users/观众-{number}").raise_for_status()

    def wait_until_hidden(*numbers: int) -> None:
        hidden = {f"观众-{number}" for number in numbers}
        wait_until(lambda: hidden <= active.get("als").erased_users, f"{hidden} are hidden")

    monkeypatch.setattr(RedisSpaces, "erased", without_some)
    monkeypatch.setattr(following, "load", later)
    try:
        erase(7)
        wait_until(lambda: asked[0] == 1, "it is being read anew")
        erase(8, 9)
        wait_until_hidden(8, 9)
        erase(10)  # of which there will be no note once it is read
        may_end[0].set()
        wait_until(lambda: asked[0] == 2, "it is being read anew once more")
        erase(11)
        wait_until_hidden(8, 9, 11)
    finally:
        for event in may_end:
            event.set()
    gone = {f"观众-{number}" for number in range(7, 11)}
    wait_until(lambda: gone.isdisjoint(active.get("als").generation.user_ids), "it is read anew")
    wait_until_hidden(11)  # who was there when it was read
    erase(12)
    wait_until_hidden(11, 12)


@pytest.mark.slow
def test_a_generation_is_read_anew_by_one_task_at_a_time(
    client: TestClient, handed: HandOver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reading that still told of its end forgot the next one, beside which another began."""
    send(client, "g0", handed.npz(), promote="true").raise_for_status()
    follower = client.app_state["services"].spaces._follower  # type: ignore[index]
    read, tell, tellers, readings = following.load, SpaceFollower.note, list[asyncio.Task](), [0]
    may_read, may_tell = Event(), Event()

    async def without_any(self: RedisSpaces, chunks_id: str) -> dict[int, ErasedRow]:
        return {}

    async def later(*arguments: Any) -> Any:
        readings[0] += 1
        if readings[0] == 2:
            await asyncio.to_thread(may_read.wait)
        return await read(*arguments)

    async def tell_later(self: SpaceFollower) -> None:
        task = asyncio.current_task()
        if task is not None and task.get_name() == "load als" and not tellers:
            tellers.append(task)
            await asyncio.to_thread(may_tell.wait)
        await tell(self)

    async def readings_after_the_first() -> int:
        await asyncio.wait(tellers)
        await follower.refresh()
        return sum(task.get_name() == "load als" for task in asyncio.all_tasks())

    monkeypatch.setattr(RedisSpaces, "erased", without_any)
    monkeypatch.setattr(following, "load", later)
    monkeypatch.setattr(SpaceFollower, "note", tell_later)
    try:
        for number in (1, 2):
            client.delete(f"/v1/spaces/als/users/观众-{number}").raise_for_status()
            wait_until(lambda: readings[0] == number, "it is being read anew")  # noqa: B023
            wait_until(lambda: bool(tellers), "the first reading has ended")
        may_tell.set()
        assert client.portal is not None
        assert client.portal.call(readings_after_the_first) == 1
    finally:
        may_read.set()
        may_tell.set()
    gone = {"观众-1", "观众-2"}
    wait_until(lambda: gone.isdisjoint(follower._active.get("als").generation.user_ids), "both go")


async def erase_both(client: TestClient) -> None:
    spaces = client.app_state["services"].spaces  # type: ignore[index]
    await spaces.erase_streamer("s003")
    with suppress(SpaceNotFound):  # of which the first generation is being received
        await spaces.erase_user("als", "观众-7")


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["it is received", "it is kept"])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_hand_over_that_is_being_received_brings_nobody_back(
    client: TestClient,
    handed: HandOver,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
    is_first: bool,
) -> None:
    given = handed.with_nearest()
    if not is_first:
        send(client, "g0", given.npz()).raise_for_status()
    write, read, reads = receiving.write_chunks, RedisSpaces.erasures, list[int]()

    async def written(*arguments: Any) -> Any:
        made = await write(*arguments)
        if moment == "it is received":
            await erase_both(client)
        return made

    async def known(self: RedisSpaces) -> Erasures:
        found = await read(self)
        reads.append(found.count)
        if moment == "it is kept" and len(reads) == 2:
            await erase_both(client)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(receiving, "write_chunks", written)
        patched.setattr(RedisSpaces, "erasures", known)
        made = send(client, "g1", given.turned(1).npz(), force="true").raise_for_status().json()
    assert reads[-1] == reads[0] + 2
    told = {name: made["counts"][name] for name in ("streamers", "users", "with_neighbours")}
    assert told == {"streamers": 79, "users": 119, "with_neighbours": 59}
    promote(client, "g1")
    assert served(client, "s003")["vector"] is None
    assert served(client, "s004")["vector"] == given.turned(1).vectors[4].tolist()
    generation = client.app_state["services"].spaces.active.get("als").generation  # type: ignore[index]
    assert "s003" not in generation.streamer_ids
    assert len(generation.streamer_ids) == 79
    assert "观众-7" not in generation.user_ids
    # Whoever hands them over from now on has to leave them out.
    later = send(client, "g2", given.npz()).raise_for_status().json()
    assert later["counts"]["users"] == 120


@pytest.mark.slow
def test_a_hand_over_is_refused_where_nobody_knows_any_more_who_was_erased_meanwhile(
    client: TestClient, handed: HandOver, monkeypatch: pytest.MonkeyPatch
) -> None:
    spaces = client.app_state["services"].spaces  # type: ignore[index]
    write, chunks_ids = receiving.write_chunks, list[str]()

    async def written(store: RedisSpaces, chunks_id: str, *arguments: Any) -> Any:
        made = await write(store, chunks_id, *arguments)
        chunks_ids.append(chunks_id)
        await erase_both(client)
        await store._client.ask("DEL", store._erasures)
        return made

    monkeypatch.setattr(receiving, "write_chunks", written)
    answer = send(client, "g0", handed.npz())
    assert "rows were erased" in problem(answer, 409, "hand_over_under_way")["detail"]
    assert space_of(client) is None
    assert client.portal is not None
    assert client.portal.call(spaces._store.chunk_names, chunks_ids[0]) == []
