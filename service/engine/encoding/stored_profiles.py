"""Stored streamers as the encoder reads them."""

from collections.abc import Callable, Generator, Sequence

from model_export.contract.features import Features
from service.engine.encoding.pipeline import EncodingPipeline, Shown
from service.engine.work.lanes import Lanes
from service.errors import StreamerNotFound
from service.store.base import Record, StreamerStore


def _nothing_known(_id: str, _version: int) -> None:
    return None


class StoredProfiles:
    """Reads stored profiles and what was made of them."""

    def __init__(self, store: StreamerStore, pipeline: EncodingPipeline, lanes: Lanes) -> None:
        """Read from `store` what `pipeline` encoded."""
        self._store = store
        self._pipeline = pipeline
        self._lanes = lanes

    async def get(self, streamer_id: str) -> Record:
        """The stored record.

        Raises:
            StreamerNotFound: it is not stored.
            StoreUnavailable: the store does not answer.
        """
        (record,) = await self._store.get([streamer_id])
        if record is None:
            raise StreamerNotFound(f"streamer {streamer_id!r} is not stored")
        return record

    async def parts(self, ids: Sequence[str]) -> list[list[str]]:
        """Ids in parts, in order, whose profiles may be in memory together."""
        return await self._store.chunks(ids)

    async def shown_by(
        self, ids: Sequence[str], known: Callable[[str, int], Features | None] = _nothing_known
    ) -> list[Shown | None]:
        """What stored streamers show; None of those that are not stored by this model.

        Args:
            ids: of streamers.
            known: the features of a version of a streamer, where they need not be made again.

        Raises:
            Overloaded: too much heavy work waits already.
        """
        records = await self._store.get(ids)

        def read() -> Generator[None, None, list[Shown | None]]:
            found: list[Shown | None] = []
            for record in records:
                features = None if record is None else known(record.streamer_id, record.version)
                found.append(record and self._pipeline.shown(record, features))
                yield
            return found

        return await self._lanes.run_in_slices(read())

    async def tower_vectors(self, ids: Sequence[str]) -> list[bytes]:
        """What towers made of these streamers' pieces, packed; empty for those not stored."""
        if not self._pipeline.has_towers or not ids:
            return [b""] * len(ids)
        return await self._store.tower_vectors(ids)
