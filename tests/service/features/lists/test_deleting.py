"""A deletion of a list that is interrupted leaves nothing behind, and erasure finds what was."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from service.errors import ListNotFound, NotReplicated
from service.features.lists.forgetting import forget
from service.features.lists.saved import Run, SavedList, SavedLists, runs_of
from service.store.documents import DocumentStore, Put
from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis.backup import ArchivedStore
from tests.service.unanswered import lose_answers_of_deletions

RUN = Run(0, 0.0, "k", "desk", "r", 2, 2, "m", 1)


@pytest.fixture
async def documents(tmp_path: Path) -> AsyncIterator[DocumentStore]:
    async with EmbeddedStore(tmp_path / "store") as embedded:
        store = await ArchivedStore(embedded.url).open()
        yield store.documents
        await store.close()


async def kept(lists: SavedLists, name: str) -> SavedList:
    """A list with a run."""
    saved, _ = await lists.put(name, "", {"k": 2}, ("k", "desk"), ())
    await lists.add(saved, RUN, ["a", "b"])
    return saved


@pytest.mark.anyio
async def test_a_list_whose_deletion_is_not_answered_leaves_no_run(
    documents: DocumentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists = SavedLists(documents)
    saved, other = await kept(lists, "spring"), await kept(lists, "summer")
    with monkeypatch.context() as patch:
        lose_answers_of_deletions(patch, "lists")
        with pytest.raises(NotReplicated):
            await lists.delete("spring", ())
    with pytest.raises(ListNotFound):
        await lists.delete("spring", ())
    assert await documents.page(runs_of(saved.list_id), None, 9) == []
    assert await documents.collections("lists:") == [runs_of(other.list_id)]
    assert len(await lists.runs(other)) == 1


@pytest.mark.anyio
async def test_erasure_removes_runs_that_an_earlier_release_left(documents: DocumentStore) -> None:
    lists = SavedLists(documents)
    saved, other = await kept(lists, "spring"), await kept(lists, "summer")
    await documents.change([Put("lists", "spring", None)])
    await forget(documents, "a")
    assert await documents.collections("lists:") == [runs_of(other.list_id)]
    assert await documents.page(runs_of(saved.list_id), None, 9) == []
    assert await lists.held(other, 1) == (replace(RUN, run=1), ["b"])
