"""Ratings: given, listed, taken back, and removed with the streamers that they name."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from service.errors import FieldError, RatingNotFound, StreamerNotFound, TooManyRecords
from service.features.ratings.questions import Question
from service.index.filters import STREAMER_ID
from service.store.base import StreamerStore
from service.store.documents import Document, DocumentStore, Put, RevisionConflict

COLLECTION = "ratings"
MOST_RATINGS = 200_000
_AT_ONCE, _PAGE_BYTES = 100, 2 << 20
"""Ratings that are read together, and bytes after which a page ends."""


@dataclass(frozen=True)
class Rating:
    """What somebody says of a streamer as an answer to a question.

    Attributes:
        question_id: of the question.
        question: its fields.
        streamer_id: who was rated.
        rating: from 0, does not fit, to 3, just what was wanted.
        note: for people.
        key_id: of the API key that rated.
        key_name: its name.
        at: when, in seconds since 1970.
    """

    question_id: str
    question: dict[str, Any]
    streamer_id: str
    rating: int
    note: str
    key_id: str
    key_name: str
    at: float

    @property
    def document_id(self) -> str:
        """Its id in the store: of one question together, and one of each key."""
        return _document_id(self.question_id, self.streamer_id, self.key_id)


class Ratings:
    """The use-cases behind `/v1/ratings`."""

    def __init__(self, documents: DocumentStore, streamers: StreamerStore) -> None:
        """Keep ratings in `documents`, of streamers in `streamers`."""
        self._documents = documents
        self._streamers = streamers

    async def give(
        self,
        question: Question,
        streamer_id: str,
        rating: int,
        note: str | None,
        key_id: str,
        key_name: str,
    ) -> tuple[Rating, int | None]:
        """Rate a streamer for a question, in place of what this key said before.

        It is on disk when this returns. Without a note, that of the rating before stays. Of a
        streamer that is deleted meanwhile, a first rating is refused; a later one is kept, as the
        one before would be, until the streamer is erased.

        Returns:
            The rating, and the one before; None if there was none.

        Raises:
            StreamerNotFound: names those that are not stored.
            TooManyRecords: so many are kept already, and this would be one more.
            StoreUnavailable, StoreFull: nothing is known to be kept.
        """
        name = _document_id(question.question_id, streamer_id, key_id)
        while True:
            await self._check(question, streamer_id)
            (stored,) = await self._documents.get(COLLECTION, [name])
            before = None if stored is None else _rating(stored)
            if before is None and await self._documents.count(COLLECTION) >= MOST_RATINGS:
                raise TooManyRecords(
                    f"{MOST_RATINGS} ratings are kept: take old ones back first "
                    "(DELETE /v1/ratings)"
                )
            kept_note = "" if before is None else before.note
            given = Rating(
                question.question_id,
                question.fields(),
                streamer_id,
                rating,
                kept_note if note is None else note,
                key_id,
                key_name,
                time.time(),
            )
            body = json.dumps(asdict(given), ensure_ascii=False).encode()
            expected = 0 if stored is None else stored.revision
            try:
                await self._documents.change([Put(COLLECTION, name, body, expected)])
            except RevisionConflict:  # given, taken back or erased meanwhile
                continue
            break
        if before is not None:  # an erasure finds this one where it would have found that
            return given, before.rating
        try:
            await self._check(question, streamer_id)  # an erasure may have looked before this
        except StreamerNotFound:
            await self._documents.change([Put(COLLECTION, name, None)])
            raise
        return given, None

    async def take_back(self, question_id: str, streamer_id: str, key_id: str) -> Rating:
        """Remove what a key said of a streamer; what it was.

        Raises:
            RatingNotFound: it said nothing.
        """
        name = _document_id(question_id, streamer_id, key_id)
        (before,) = await self._documents.get(COLLECTION, [name])
        if before is None:
            raise RatingNotFound(
                f"the key {key_id!r} has not rated {streamer_id!r} for question {question_id!r}"
            )
        await self._documents.change([Put(COLLECTION, name, None)])
        return _rating(before)

    async def of_key(
        self, question_id: str, streamer_ids: Sequence[str], key_id: str
    ) -> list[Rating]:
        """What a key said of some streamers; nothing of those that it did not rate."""
        names = [_document_id(question_id, name, key_id) for name in dict.fromkeys(streamer_ids)]
        found = await self._documents.get(COLLECTION, names)
        return [_rating(document) for document in found if document is not None]

    async def page(
        self, question_id: str | None, after: str, limit: int
    ) -> tuple[list[Rating], str | None]:
        """Ratings, those of one question together; and what continues them, None at the end.

        Args:
            question_id: only those of this question.
            after: what continues an earlier page; empty for the first one.
            limit: most ratings; a page of large ones has fewer.
        """
        prefix = "" if question_id is None else f"{question_id}/"
        start = after or prefix or None
        found: list[Rating] = []
        size = 0
        while True:
            most = min(_AT_ONCE, limit + 1 - len(found))
            documents = await self._documents.page(COLLECTION, start, most)
            here = [d for d in documents if d.document_id.startswith(prefix)]
            for document in here:
                if len(found) == limit or size >= _PAGE_BYTES:
                    return found, start
                found.append(_rating(document))
                size, start = size + len(document.body), document.document_id
            if len(here) < most:
                return found, None

    async def are_stored(self, ratings: Sequence[Rating]) -> list[bool]:
        """Whether the streamer of each is stored now."""
        found = await self._streamers.digests([one.streamer_id for one in ratings])
        return [each is not None for each in found]

    async def forget(self, streamer_id: str) -> int:
        """Remove all ratings that name a streamer, as an answer or as a seed; how many."""
        after: str | None = None
        removed, quoted = 0, json.dumps(streamer_id).encode()
        while found := await self._documents.page(COLLECTION, after, _AT_ONCE):
            likely = [d for d in found if quoted in d.body]
            named = [d.document_id for d in likely if streamer_id in _names(_rating(d))]
            if named:
                await self._documents.change([Put(COLLECTION, name, None) for name in named])
            removed += len(named)
            after = found[-1].document_id
        return removed

    async def _check(self, question: Question, streamer_id: str) -> None:
        asked = [("/streamer_id", streamer_id)]
        for side, ids in (("positive", question.positive), ("negative", question.negative)):
            asked += [(f"/question/{side}/{place}", name) for place, name in enumerate(ids)]
        found = await self._streamers.digests([name for _, name in asked])
        missing = [each for each, is_there in zip(asked, found, strict=True) if is_there is None]
        if missing:
            names = ", ".join(repr(name) for name in dict.fromkeys(name for _, name in missing))
            raise StreamerNotFound(
                f"not stored: {names}",
                [FieldError(where, f"streamer {name!r} is not stored") for where, name in missing],
            )


def _document_id(question_id: str, streamer_id: str, key_id: str) -> str:
    return f"{question_id}/{streamer_id}/{key_id}"


def _rating(document: Document) -> Rating:
    return Rating(**json.loads(document.body))


def _names(rating: Rating) -> Sequence[object]:
    question = rating.question
    conditions = (c for part in question.get("filter", {}).values() for c in part)
    of_ids = (c for c in conditions if c["field"] == STREAMER_ID)
    filtered = (i for c in of_ids for i in (*(c.get("any") or ()), *(c.get("all") or ())))
    return [rating.streamer_id, *question["positive"], *question["negative"], *filtered]
