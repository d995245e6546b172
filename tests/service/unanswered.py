"""Changes of documents that are made, and whose answer is lost."""

from collections.abc import Sequence
from typing import Any

import pytest

from service.errors import NotReplicated
from service.store.documents import Put, Unchanged
from service.store.redis.documents.store import RedisDocuments


def lose_answers_of_deletions(patch: pytest.MonkeyPatch, collection: str) -> None:
    """Deletions in a collection are made, and whoever asks for one goes no further."""
    change = RedisDocuments.change

    async def without_an_answer(
        self: RedisDocuments, puts: Sequence[Put | Unchanged], *more: Any, **named: Any
    ) -> list[int]:
        done = await change(self, puts, *more, **named)
        deleted = (put for put in puts if isinstance(put, Put) and put.body is None)
        if any(put.collection == collection for put in deleted):
            raise NotReplicated(NotReplicated.example)
        return done

    patch.setattr(RedisDocuments, "change", without_an_answer)
