"""Streamers of the store, matched with watchlists."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from model_export.contract.evidence import Side
from model_export.contract.streamer import StreamerProfile
from service.engine.evidence.stored_sides import StoredSides
from service.engine.watchlists.content import content_of
from service.engine.watchlists.matcher import Hit, Matcher
from service.engine.work.lanes import Lane, Lanes
from service.errors import ModelChanged
from service.store.base import Record, StreamerStore

AT_ONCE = 200
"""Streamers that are read together."""


@dataclass(frozen=True)
class Found:
    """A stored streamer that matches a list.

    Attributes:
        hit: what it matches.
        streamer_id: who it is.
        digest: SHA-256 of its profile.
        content: digest of what the evidence reads of that.
        sequence: of the write that was matched.
    """

    hit: Hit
    streamer_id: str
    digest: str
    content: str
    sequence: int


class Matching:
    """Reads streamers and matches them."""

    def __init__(
        self, store: StreamerStore, sides: StoredSides, lanes: Lanes, model_version: str
    ) -> None:
        """Read from `store` what `sides` makes comparable; work in `lanes`."""
        self._store = store
        self._sides = sides
        self._lanes = lanes
        self._model_version = model_version

    async def matches(
        self, ids: Sequence[str], matcher: Matcher, *, keeps: bool = False
    ) -> list[Found]:
        """What streamers match, as they are stored now; those that are gone match nothing.

        Args:
            ids: of the streamers.
            matcher: of lists.
            keeps: whether others will soon compare the same streamers.

        Raises:
            ModelChanged: a streamer was encoded for another model.
            Unavailable: the store does not answer, or too much work waits already.
        """
        if not matcher.lists:  # nobody has to be read
            return []
        found: list[Found] = []
        for start in range(0, len(ids), AT_ONCE):
            for part in await self._store.chunks(ids[start : start + AT_ONCE]):
                records = [record for record in await self._store.get(part) if record is not None]
                sides: list[Side] = []
                work = self._matched(records, sides, matcher)
                found += await self._lanes.run_in_slices(work, Lane.BULK)
                if keeps:
                    for record, side in zip(records, sides, strict=True):
                        self._sides.keep(record.streamer_id, record.version, side)
        return found

    def _matched(
        self, records: Sequence[Record], sides: list[Side], matcher: Matcher
    ) -> Generator[None, None, list[Found]]:
        """Adds the sides of the records to `sides`."""
        for record in records:
            if record.embedding and record.model_version != self._model_version:
                raise ModelChanged(
                    f"streamer {record.streamer_id!r} was encoded by {record.model_version}, and "
                    f"this process compares by {self._model_version}"
                )
            sides.append(self._sides.side_of(record))
            yield
        hits = yield from matcher.match([record.streamer_id for record in records], sides)
        found: list[Found] = []
        contents: dict[int, str] = {}
        for hit in hits:
            record = records[hit.written]
            if hit.written not in contents:
                profile = StreamerProfile.model_validate_json(record.profile)
                contents[hit.written] = content_of(profile)
            content = contents[hit.written]
            if not matcher.is_exempt(hit.list_id, record.streamer_id, content):
                found.append(Found(hit, record.streamer_id, record.digest, content, record.version))
            yield
        return found
