"""Room for more open alerts of a list: what came while there was none is found by another sweep."""

from dataclasses import replace

from service.features.watchlists.alerts.keeping import MODES
from service.features.watchlists.records import BEYOND, TALLIES, TALLY, news_of
from service.store.documents import (
    Append,
    Document,
    DocumentStore,
    Put,
    RevisionConflict,
)

_SHARE = 10
"""The list is swept again once one in so many places is free: not after each decision."""
_PAGE = 500


async def room_of(documents: DocumentStore, list_id: str, most_open: int) -> int:
    """How many more alerts of a list may be open, shadow ones included; negative if too many are.

    Raises:
        Unavailable: the store does not answer.
    """
    names = [f"alerts:of:{list_id}:{mode}:open" for mode in MODES]
    return most_open - sum([await documents.count(name) for name in names])


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
    puts, news = await _due(documents, found, most_open, closed=1)
    return puts or [Put(TALLIES, list_id, found.body, found.revision)], news


async def sweep_again(documents: DocumentStore, most_open: int) -> None:
    """Have lists swept again that have room though nobody decided, such as by another setting.

    Raises:
        Unavailable: the store does not answer.
    """
    after: str | None = None
    while page := await documents.page(TALLIES, after, _PAGE):
        for found in page:
            puts, news = await _due(documents, found, most_open)
            try:
                if puts:
                    await documents.change(puts, news)
            except RevisionConflict:
                break  # somebody decided or raised alerts: read on from here
            after = found.document_id


async def _due(
    documents: DocumentStore, found: Document, most_open: int, closed: int = 0
) -> tuple[list[Put], list[Append]]:
    """What makes the list of a tally due; nothing without room, after so many alerts are closed."""
    list_id, tally = found.document_id, TALLY.validate_json(found.body)
    if not tally.beyond:
        return [], []
    room = await room_of(documents, list_id, most_open) + closed
    if room < min(tally.beyond, max(1, most_open // _SHARE)):
        return [], []
    again = replace(tally, beyond=0, again=tally.again + 1)
    puts = [Put(TALLIES, list_id, again.dump(), found.revision), Put(BEYOND, list_id, None)]
    return puts, [news_of(list_id)]
