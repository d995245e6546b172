"""Requests that are carried out once, however often they are sent."""

import json
from dataclasses import dataclass

from service.errors import IdempotencyKeyReused
from service.store.documents import DocumentStore, Put

KEY_DIGITS = 32
"""Of `Once.key`."""
REMEMBERED_S = 24 * 3600
"""So long the store knows what was done `Once`."""


@dataclass(frozen=True)
class Once:
    """Names a write that is done once, however often its request is sent.

    Attributes:
        key: which write it is, in hex digits.
        fingerprint: of its request; the same key with another one is a mistake of the caller's.
        answer: what the request is told beside the outcome, to be told again.
    """

    key: str
    fingerprint: str
    answer: bytes = b""

    @property
    def request(self) -> str:
        """The key and the fingerprint: which request it was."""
        return self.key + self.fingerprint

    def check(self, request: str) -> None:
        """That what a request with this key made was made by this request.

        Args:
            request: `request` of the one that made it.

        Raises:
            IdempotencyKeyReused: it was another one.
        """
        if request != self.request:
            raise IdempotencyKeyReused(IdempotencyKeyReused.example)


@dataclass(frozen=True)
class Made:
    """What an earlier request made.

    Attributes:
        made_id: of it; it may be gone. Empty: nothing was made.
        revision: of the note that says so; 0 = there is none.
    """

    made_id: str = ""
    revision: int = 0


class Requests:
    """What requests made, in a collection of its own that changes in the step that makes it."""

    def __init__(self, documents: DocumentStore, collection: str) -> None:
        """Keep it in a collection of `documents`."""
        self._documents = documents
        self._collection = collection

    async def made(self, once: Once | None) -> Made:
        """What an earlier request with this key made."""
        if once is None:
            return Made()
        (found,) = await self._documents.get(self._collection, [once.key], confirmed=True)
        return (
            Made() if found is None else Made(str(json.loads(found.body)["made"]), found.revision)
        )

    def making(self, once: Once | None, made_id: str, before: Made) -> list[Put]:
        """To be written with what a request makes: of two at once, one is refused.

        Args:
            once: names the request.
            made_id: of what it makes.
            before: what `made` told, which is gone if it was anything.
        """
        if once is None:
            return []
        body = json.dumps({"made": made_id}).encode()
        return [Put(self._collection, once.key, body, before.revision)]

    def forgetting(self, request: str) -> list[Put]:
        """To be written with the deletion of what a request made; of "" nothing."""
        return [Put(self._collection, request[:KEY_DIGITS], None)] if request else []
