"""The watchlists of the store, ready to be matched."""

import asyncio
import json
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from service.engine.evidence.engine import Evidence
from service.engine.watchlists.matcher import ListSeeds, Matcher
from service.engine.work.lanes import Lane, Lanes
from service.features.watchlists.cursor import read_matched
from service.features.watchlists.records import (
    LISTS,
    SEEDS,
    SEEDS_OF,
    SWEPT,
    SWEPT_OF,
    TALLIES,
    TALLY,
    WATCHLIST,
    Swept,
    Tally,
)
from service.features.watchlists.seeds import SeedReader
from service.store.documents import Document, DocumentStore, Entry

_NEWS_AT_ONCE = 1000
_LISTS_AT_ONCE = 50
_PAGE = 500


class DueList(NamedTuple):
    """The version of a list that is to be swept, and how often that was asked for before."""

    version: int
    again: int


class Changes(NamedTuple):
    """What became of the lists since an entry of their log.

    Attributes:
        ids: of those that were changed; None = any may have been, since the log has another entry
            in the place of that one, or keeps it no more. A store that failed over may have lost
            entries and given their numbers again.
        last: the last entry; None = there is none.
    """

    ids: Collection[str] | None
    last: Entry | None


async def last_change_of_lists(documents: DocumentStore) -> Entry | None:
    """The last entry of the log of lists; None = it has none."""
    number = await documents.last_entry(LISTS)
    found = await documents.entries(LISTS, number - 1, 1) if number else []
    return found[0] if found else None


async def changes_of_lists(documents: DocumentStore, last: Entry | None) -> Changes:
    """All changes behind an entry; None = behind the beginning."""
    after = 0 if last is None else last.number - 1
    news = await documents.entries(LISTS, after, _NEWS_AT_ONCE)
    if last is not None:
        if news[:1] != [last]:
            return Changes(None, await last_change_of_lists(documents))
        news = news[1:]
    elif news and news[0].number > 1:
        return Changes(None, await last_change_of_lists(documents))
    ids: dict[str, None] = {}
    while news:
        ids |= {json.loads(entry.body)["watchlist_id"]: None for entry in news}
        last = news[-1]
        news = await documents.entries(LISTS, last.number, _NEWS_AT_ONCE)
    return Changes(ids, last)


class WatchedLists:
    """All lists, kept up to date by the log of their changes.

    Attributes:
        lock: whoever uses the matcher holds it.
        matcher: of all lists.
    """

    def __init__(
        self, documents: DocumentStore, reader: SeedReader, evidence: Evidence, lanes: Lanes
    ) -> None:
        """Nothing is read before `refresh`."""
        self.lock = asyncio.Lock()
        self.matcher = Matcher(evidence)
        self._documents = documents
        self._reader = reader
        self._lanes = lanes
        self._last: Entry | None = None
        self._is_read = False

    @property
    def last_change(self) -> Entry | None:
        """The last change that was taken in; None without one."""
        return self._last

    async def refresh(self) -> None:
        """Take in what was changed; a list that was on disk before is known then.

        Raises:
            Unavailable: the store or the encoder can't answer at the moment.
        """
        if self._is_read:
            changed, last = await changes_of_lists(self._documents, self._last)
        else:  # what is changed while they are read is taken in next time
            changed, last = None, await last_change_of_lists(self._documents)
        if changed is None:
            changed = {*await _ids(self._documents), *self.matcher.ids}
        ids = list(changed)
        for start in range(0, len(ids), _LISTS_AT_ONCE):
            part = ids[start : start + _LISTS_AT_ONCE]
            ready = await ready_lists(self._documents, self._reader, part)
            gone = set(part) - {each.list_id for each in ready}
            await change_lists(self.matcher, self._lanes, ready, gone)
        self._last, self._is_read = last, True


async def change_lists(
    matcher: Matcher, lanes: Lanes, ready: Sequence[ListSeeds], gone: Collection[str] = ()
) -> None:
    """Take in lists, and forget others; who is cancelled before it returns has changed nothing.

    Raises:
        Overloaded: too much work waits already; nothing has changed.
    """
    matcher.take(await lanes.run(lambda: matcher.changed(ready, gone), Lane.BULK))


async def ready_lists(
    documents: DocumentStore, reader: SeedReader, ids: Sequence[str]
) -> list[ListSeeds]:
    """Those of some lists that are stored.

    One that changes meanwhile is left out: its change is in the log, and is swept.
    """
    ready: list[ListSeeds] = []
    lists = await documents.get(LISTS, ids)
    for list_id, found in zip(ids, lists, strict=True):
        if found is None:
            continue
        (stored,) = await documents.get(SEEDS, [list_id])
        known = WATCHLIST.validate_json(found.body)
        seeds = None if stored is None else SEEDS_OF.validate_json(stored.body)
        if seeds is not None and seeds.version == known.version:
            ready.append(await reader.ready(list_id, known, seeds))
    return ready


async def due_lists(documents: DocumentStore) -> tuple[str, Mapping[str, DueList]]:
    """The era, and the lists that no sweep of the era has matched with all."""
    _, matched = await read_matched(documents)
    era = "" if matched is None else matched.era
    due: dict[str, DueList] = {}
    after: str | None = None
    while page := await documents.page(LISTS, after, _PAGE):
        after = page[-1].document_id
        ids = [each.document_id for each in page]
        # Tallies first: what is asked for after that is another one of the list.
        tallies = await documents.get(TALLIES, ids)
        swept = await documents.get(SWEPT, ids)
        for each, tally, done in zip(page, tallies, swept, strict=True):
            version = WATCHLIST.validate_json(each.body).version
            wanted = DueList(version, tally_of(tally).again)
            if swept_as(done, wanted, era) is None:
                due[each.document_id] = wanted
    return era, due


def tally_of(found: Document | None) -> Tally:
    """The tally of a list; without one, that of version 0, which no list has."""
    return Tally(0) if found is None else TALLY.validate_json(found.body)


def swept_as(done: Document | None, wanted: DueList, era: str) -> Swept | None:
    """The last sweep of a list if it counts, else None."""
    told = None if done is None else SWEPT_OF.validate_json(done.body)
    if told is None or (told.version, told.again, told.era) != (*wanted, era):
        return None
    return told


async def _ids(documents: DocumentStore) -> list[str]:
    found: list[str] = []
    while page := await documents.page(LISTS, found[-1] if found else None, _PAGE):
        found += [each.document_id for each in page]
    return found
