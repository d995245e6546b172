"""The store's interface for small records of people: cases, lists, watchlists and their like.

A *document* is a JSON object in a *collection*, which needs no declaration. A collection may have
an append-only log of its own, such as who decided what. Several changes, entries of logs and events
of the feed are one atomic step.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from service.store.events import NewEvent

PROJECTIONS = "projections"
"""A collection of this name, or of one that begins so with a colon, is in no copy of the store: it
tells what this one has elsewhere."""
DELIVERING, MATCHING = "webhooks:leader", "watchlists:log"
"""Collections in which processes tell all the time that they are there, and how far; in no copy of
the store either, where they would mean nothing."""
WEBHOOKS = "webhooks"
"""Targets of events: what a copy has of them is off in the store that it is restored into."""


class Document(NamedTuple):
    """What is stored.

    Attributes:
        document_id: its id in its collection.
        revision: of its last change; no other change of any document has the same.
        body: a JSON object.
    """

    document_id: str
    revision: int
    body: bytes


class Put(NamedTuple):
    """A change of one document.

    Attributes:
        collection: where it is, such as `cases`, or `cases:3f2a` for what belongs to one case.
        document_id: its id there.
        body: a JSON object; None deletes the document.
        expected: the revision that must be stored; 0 = none may be, None = any may.
    """

    collection: str
    document_id: str
    body: bytes | None
    expected: int | None = None


class Unchanged(NamedTuple):
    """A document that stays as it is, and without which nothing is changed.

    Attributes:
        collection: where it is.
        document_id: its id there.
        expected: the revision that must be stored; None = any may, but one must.
    """

    collection: str
    document_id: str
    expected: int | None = None


class Append(NamedTuple):
    """An entry for the log of a collection.

    Attributes:
        collection: whose log it is.
        body: a JSON object.
        most: so many entries the log keeps, about; 0 = all.
    """

    collection: str
    body: bytes
    most: int = 0


class Entry(NamedTuple):
    """An entry of a log.

    Attributes:
        number: its place, from 1 without gaps; the first ones may not be kept.
        at: seconds since 1970 by the store's clock.
        body: a JSON object.
    """

    number: int
    at: float
    body: bytes


class RevisionConflict(Exception):
    """A document has another revision than a change expected; nothing was changed.

    Attributes:
        document_id: which document.
        found: its revision; 0 = there is none.
    """

    def __init__(self, document_id: str, found: int) -> None:
        """Tell what was found."""
        super().__init__(f"{document_id} has revision {found}")
        self.document_id = document_id
        self.found = found


class DocumentStore(Protocol):
    """Keeps documents. All methods raise StoreUnavailable when the store does not answer."""

    async def change(
        self,
        puts: Sequence[Put | Unchanged],
        appends: Sequence[Append] = (),
        events: Sequence[NewEvent] = (),
        drops: Sequence[str] = (),
    ) -> list[int]:
        """Change documents, write entries, tell events, drop collections: all of it or nothing.

        It is on disk when this returns.

        Args:
            puts: changes of documents.
            appends: entries of logs.
            events: of the feed.
            drops: collections that are deleted, with their logs; others than those of `puts` and
                `appends`. So what belongs to a document goes with it.

        Returns:
            The new revision of each put; 0 for a deletion, and for what is kept.

        Raises:
            RevisionConflict: a document has not the revision that was expected.
            StoreFull: nothing was changed, since disk or memory is full.
        """
        ...

    async def get(
        self, collection: str, ids: Sequence[str], *, confirmed: bool = ...
    ) -> list[Document | None]:
        """Documents by id, as of one moment.

        Args:
            collection: of the documents.
            ids: of the documents.
            confirmed: what is found is as safe as a write that was acknowledged.
        """
        ...

    async def page(self, collection: str, after: str | None, limit: int) -> list[Document]:
        """Up to `limit` documents in order of their ids' bytes, those behind `after`."""
        ...

    async def collections(self, begin: str) -> list[str]:
        """The names of all collections that begin so."""
        ...

    async def count(self, collection: str) -> int:
        """How many documents a collection has."""
        ...

    async def entries(self, collection: str, after: int, limit: int) -> list[Entry]:
        """Up to `limit` entries of a collection's log behind a number."""
        ...

    async def last_entry(self, collection: str) -> int:
        """The number of the last entry of a collection's log; 0 = it has none."""
        ...

    async def drop(self, collection: str) -> None:
        """Delete a collection's documents and its log."""
        ...
