"""Reading stored streamers."""

from collections.abc import Sequence

from service.engine.encoding.stored_profiles import StoredProfiles
from service.store.base import ProfilePage, Record, StoredProfile, StreamerStore


class Streamers:
    """What is stored, one streamer or all of them page by page."""

    def __init__(self, store: StreamerStore, stored: StoredProfiles, page_bytes: int) -> None:
        """Read from `store`.

        Args:
            store: of the records.
            stored: reads single streamers.
            page_bytes: most bytes of profiles on one page, but for the first one.
        """
        self._store = store
        self._stored = stored
        self._page_bytes = page_bytes

    async def get(self, streamer_id: str) -> Record:
        """The stored record.

        Raises:
            StreamerNotFound: it is not stored.
            StoreUnavailable: the store does not answer.
        """
        return await self._stored.get(streamer_id)

    async def page(self, after: str, limit: int) -> ProfilePage:
        """Up to `limit` profiles in byte order of their ids, after `after`; fewer if they are long.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        return await self._store.page(after, limit, self._page_bytes)

    async def some(self, ids: Sequence[str]) -> list[StoredProfile | None]:
        """Profiles of the first of these ids, as many as fit on a page; None of those not stored.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        parts = await self._store.chunks(ids, self._page_bytes)
        return await self._store.profiles(parts[0]) if parts else []
