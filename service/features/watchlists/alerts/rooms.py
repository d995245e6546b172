"""Room for more open alerts of a list: what came while there was none is found by another sweep."""

from dataclasses import replace

from service.features.watchlists.alerts.keeping import open_alerts
from service.features.watchlists.records import BEYOND, TALLIES, TALLY, news_of
from service.store.documents import Append, DocumentStore, Put

_SHARE = 10
"""The list is swept again once one in so many places is free: not after each decision."""


async def closing(
    documents: DocumentStore, list_id: str, most_open: int
) -> tuple[list[Put], list[Append]]:
    """What has to be written together with the end of an open alert of a list.

    The tally is written in any case: whoever counts a match as beyond at the same time, by the
    room before, is refused and looks again.
    """
    (found,) = await documents.get(TALLIES, [list_id])
    if found is None:  # the list was deleted
        return [], []
    tally = TALLY.validate_json(found.body)
    room = most_open - await open_alerts(documents, list_id) + 1
    is_due = tally.beyond > 0 and room >= min(tally.beyond, max(1, most_open // _SHARE))
    if not is_due:
        return [Put(TALLIES, list_id, found.body, found.revision)], []
    again = replace(tally, beyond=0, again=tally.again + 1)
    puts = [Put(TALLIES, list_id, again.dump(), found.revision), Put(BEYOND, list_id, None)]
    return puts, [news_of(list_id)]
