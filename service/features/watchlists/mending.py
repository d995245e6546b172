"""Lists of which a copy of the store has parts of two versions.

A list, its seeds and its tally are written in one step, so no store has them apart. A backup that
was made of documents that changed all the time may, and what is restored from it would neither be
matched nor swept for ever.
"""

import logging
from collections.abc import Collection
from dataclasses import replace

from service.features.watchlists.records import (
    BEYOND,
    LISTS,
    SEEDS,
    SEEDS_OF,
    SWEPT,
    TALLIES,
    TALLY,
    WATCHLIST,
    Tally,
    news_of,
)
from service.store.documents import Document, DocumentStore, Put, RevisionConflict

_log = logging.getLogger(__name__)


async def mend(documents: DocumentStore, unready: Collection[str], ready: Collection[str]) -> None:
    """Make whole lists that are in parts, and tell which; others stay as they are.

    Args:
        documents: of the lists.
        unready: lists whose seeds may be of another version, or missing.
        ready: lists of which only the tally may be.

    Raises:
        Unavailable: the store does not answer.
    """
    torn = [*unready]
    if ready:
        names = [*ready]
        lists, tallies = [await documents.get(each, names) for each in (LISTS, TALLIES)]
        torn += [
            name
            for name, found, tally in zip(names, lists, tallies, strict=True)
            if found is not None and WATCHLIST.validate_json(found.body).version != _tallied(tally)
        ]
    for list_id in torn:
        await _mend(documents, list_id)


async def _mend(documents: DocumentStore, list_id: str) -> None:
    ((found,), (stored,), (tally,)) = [
        await documents.get(each, [list_id]) for each in (LISTS, SEEDS, TALLIES)
    ]
    if found is None:
        return
    known = WATCHLIST.validate_json(found.body)
    if stored is None:
        also = [Put(each, list_id, None) for each in (TALLIES, BEYOND, SWEPT)]
        puts = [Put(LISTS, list_id, None, found.revision), Put(SEEDS, list_id, None, 0), *also]
        told = "had no seeds, and is deleted: make it anew where it is needed"
    else:
        seeds = SEEDS_OF.validate_json(stored.body)
        if known.version == seeds.version == _tallied(tally):
            return
        version = 1 + max(known.version, seeds.version)
        counts = len(seeds.positive), len(seeds.negative)
        whole = replace(known, version=version, positive=counts[0], negative=counts[1])
        puts = [
            Put(LISTS, list_id, whole.dump(), found.revision),
            Put(SEEDS, list_id, replace(seeds, version=version).dump(), stored.revision),
            Put(TALLIES, list_id, Tally(version).dump(), 0 if tally is None else tally.revision),
        ]
        told = (
            f"had settings of version {known.version} and seeds of version {seeds.version}, and is "
            "swept with these seeds: look at its name, mode and probability"
        )
    try:
        await documents.change(puts, [news_of(list_id)])
    except RevisionConflict:
        return  # it was changed while it was read
    _log.warning(
        "watchlist %s (%s) %s; so a backup has it that was made while it was changed",
        list_id,
        known.name,
        told,
    )


def _tallied(tally: Document | None) -> int | None:
    """The version of a list that a tally is of."""
    return None if tally is None else TALLY.validate_json(tally.body).version
