"""What is answered while the collection is late or short, or a write comes in between."""

import asyncio

import pytest

from service.index.base import Change
from service.index.milvus.directory import Directory
from tests.service.index.milvus.without_server import Alone


def test_a_newer_version_is_in_the_overlay_before_the_directory_knows_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def write() -> None:
        alone = Alone()
        await alone.serve(0)
        alone.memory.insert([alone.write("s0")], ())
        await alone.serve(1)
        assert alone.index.overlay_rows == 0
        apply, kept = Directory.apply, list[int]()

        def watched(self: Directory, change: Change) -> None:
            kept.append(alone.index.overlay_rows)
            apply(self, change)

        monkeypatch.setattr(Directory, "apply", watched)
        alone.write("s0")
        assert kept == [1]

    asyncio.run(write())


def test_versions_that_come_again_after_a_restore_are_no_garbage() -> None:
    alone = Alone()
    alone.base.note_superseded(3, by=5)
    alone.base.forget_superseded()  # and version 3 is another streamer's from now on
    assert alone.base.take_garbage(10) == []
    alone.base.note_superseded(6, by=7)
    assert alone.base.take_garbage(10) == [6]
