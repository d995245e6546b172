"""Erasure of the copies of a streamer's profile that watchlists have as seeds."""

from dataclasses import replace

from service.features.watchlists.records import (
    LISTS,
    SEEDS,
    SEEDS_OF,
    TALLIES,
    WATCHLIST,
    Seeds,
    Tally,
    news_of,
)
from service.features.watchlists.seeds import SeedReader
from service.store.documents import Document, DocumentStore, Put, RevisionConflict

_PAGE = 100


class SeedCopies:
    """Copies of profiles in watchlists."""

    def __init__(self, documents: DocumentStore) -> None:
        """Of the lists in `documents`."""
        self._documents = documents

    async def erase(self, streamer_id: str) -> None:
        """Remove those of a streamer: as a seed its id stays, and matches nobody.

        Where it was cleared, it is so no longer.

        Raises:
            Unavailable: the store can't do it at the moment.
        """
        after: str | None = None
        while page := await self._documents.page(LISTS, after, _PAGE):
            for found in page:
                await self._erase_in(found, streamer_id)
            after = page[-1].document_id

    async def erase_gone(self, list_id: str, seeds: Seeds, reader: SeedReader) -> bool:
        """Remove from a list those of who is not stored any more since its seeds were read.

        Returns:
            Whether there were any.

        Raises:
            Unavailable: the store can't do it at the moment.
        """
        gone = await reader.not_stored(seeds)
        for streamer_id in gone:
            (found,) = await self._documents.get(LISTS, [list_id])
            await self._erase_in(found, streamer_id)
        return bool(gone)

    async def _erase_in(self, found: Document | None, streamer_id: str) -> None:
        while found is not None:
            list_id = found.document_id
            (stored,) = await self._documents.get(SEEDS, [list_id])
            seeds = None if stored is None else SEEDS_OF.validate_json(stored.body)
            erased = None if seeds is None else _without(seeds, streamer_id)
            if erased is None:
                return
            known = WATCHLIST.validate_json(found.body)
            known = replace(known, version=erased.version)
            puts = [
                Put(LISTS, list_id, known.dump(), found.revision),
                Put(SEEDS, list_id, erased.dump()),
                Put(TALLIES, list_id, Tally(known.version).dump()),
            ]
            try:
                await self._documents.change(puts, [news_of(list_id)])
                return
            except RevisionConflict:  # somebody changed the list meanwhile
                (found,) = await self._documents.get(LISTS, [list_id])


def _without(seeds: Seeds, streamer_id: str) -> Seeds | None:
    """The next version without what is kept of a streamer; None if nothing is."""
    both = (*seeds.positive, *seeds.negative)
    is_seed = any(s.streamer_id == streamer_id and s.profile is not None for s in both)
    if not is_seed and streamer_id not in seeds.cleared:
        return None
    cleared = {name: each for name, each in seeds.cleared.items() if name != streamer_id}
    positive, negative = (
        [
            replace(seed, profile=None, embedding="") if seed.streamer_id == streamer_id else seed
            for seed in sign
        ]
        for sign in (seeds.positive, seeds.negative)
    )
    version = seeds.version + 1
    return replace(seeds, version=version, positive=positive, negative=negative, cleared=cleared)
