"""Reading stored streamers."""

from service.engine.encoding.stored_profiles import StoredProfiles
from service.store.base import Record, StreamerStore


class Streamers:
    """What is stored, one streamer or all of them page by page."""

    def __init__(self, store: StreamerStore, stored: StoredProfiles) -> None:
        """Read from `store`; `stored` reads single streamers."""
        self._store = store
        self._stored = stored

    async def get(self, streamer_id: str) -> Record:
        """The stored record.

        Raises:
            StreamerNotFound: it is not stored.
            StoreUnavailable: the store does not answer.
        """
        return await self._stored.get(streamer_id)

    async def page(self, after: str, limit: int) -> list[Record]:
        """Up to `limit` records in byte order of their ids, after `after`."""
        records = await self._store.get(await self._store.list_ids(after, limit))
        return [record for record in records if record is not None]
