"""Hand-overs of which the store does not say whether it keeps them."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.errors import NotReplicated, ServiceError, StoreFull
from service.store.redis.spaces.store import RedisSpaces
from tests.service.features.spaces.hand_overs import HandOver, promote, send, served, space_of
from tests.service.http.test_bad_input import problem


def test_a_generation_is_whole_where_the_answer_is_lost_after_it_was_kept(
    client: TestClient, handed: HandOver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        change = RedisSpaces.change

        async def without_an_answer(self: RedisSpaces, changed: Any) -> bool:
            assert await change(self, changed)
            raise NotReplicated(NotReplicated.example)

        patch.setattr(RedisSpaces, "change", without_an_answer)
        problem(send(client, "g0", handed.npz()), 503, "not_replicated")
    problem(send(client, "g0", handed.npz()), 409, "generation_exists")
    assert promote(client, "g0")["serving"] == "g0"
    assert served(client, "s003")["vector"] == handed.vectors[3].tolist()


@pytest.mark.slow
@pytest.mark.parametrize(("error", "are_dropped"), [(StoreFull, True), (NotReplicated, False)])
def test_chunks_go_at_once_where_the_store_has_said_no_and_expire_otherwise(
    client: TestClient,
    handed: HandOver,
    monkeypatch: pytest.MonkeyPatch,
    error: type[ServiceError],
    are_dropped: bool,
) -> None:
    names: list[str] = []
    put_chunk = RedisSpaces.put_chunk

    async def noted(self: RedisSpaces, chunks_id: str, name: str, data: bytes) -> None:
        names.append(chunks_id)
        await put_chunk(self, chunks_id, name, data)

    async def refused(self: RedisSpaces, changed: Any) -> bool:
        raise error(error.example)

    monkeypatch.setattr(RedisSpaces, "put_chunk", noted)
    monkeypatch.setattr(RedisSpaces, "change", refused)
    problem(send(client, "g0", handed.npz()), error.status, error.code)
    assert space_of(client) is None
    store: RedisSpaces = client.app_state["services"].spaces._store  # type: ignore[index]
    assert client.portal is not None
    left = client.portal.call(store.chunk_names, names[0])
    assert bool(left) is not are_dropped
