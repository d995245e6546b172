"""Erasure of a streamer from saved questions, from whom their runs held, and what these told."""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from service.features.lists.removal import question_without, run_without, told_without
from service.features.lists.saved import (
    COLLECTION,
    RUNS,
    Change,
    changed,
    is_told,
    of_json,
    runs_of,
    stand_in_of_erased,
)
from service.store.documents import Document, DocumentStore, Put, RevisionConflict

_LISTS_AT_ONCE = 20


async def forget(documents: DocumentStore, streamer_id: str) -> int:
    """Take a streamer out of all saved lists and their runs; out of how many documents.

    It is no seed, no excluded one and no member any more. Where a question can't be without it,
    such as the only wanted seed, it has a stand-in there that nobody is, so that the list stays and
    a run of it says that this seed is not stored. Runs whose list is gone, as a deletion of an
    earlier release left them where it was interrupted, are removed.
    """
    orphans = set(await documents.collections(runs_of("")))  # before the lists: no new one's
    forgotten, after, quoted = 0, None, json.dumps(streamer_id).encode()
    gone, stand_in = frozenset([streamer_id]), stand_in_of_erased()
    while found := await documents.page(COLLECTION, after, _LISTS_AT_ONCE):
        after = found[-1].document_id
        for one in found:
            if quoted in one.body:
                forgotten += await _change(
                    documents, COLLECTION, one, of_json(partial(_of_list, streamer_id, stand_in))
                )
            where = runs_of(json.loads(one.body)["list_id"])
            orphans.discard(where)
            last = None
            while runs := await documents.page(where, last, 1):  # each may have 10,000 rows
                last = runs[0].document_id
                if last == RUNS or quoted not in runs[0].body:
                    continue
                without: Change = of_json(partial(run_without, gone))
                if is_told(last):
                    without = partial(told_without, gone, stand_in)
                forgotten += await _change(documents, where, runs[0], without)
    for where in orphans:
        await documents.drop(where)
    return forgotten


async def _change(
    documents: DocumentStore,
    collection: str,
    found: Document,
    without: Change,
) -> bool:
    """Whether a document was changed; others may change it meanwhile."""
    known: Document | None = found
    while known is not None:
        after = await changed(known.body, without)
        if after is None:
            return False
        try:
            await documents.change([Put(collection, known.document_id, after, known.revision)])
        except RevisionConflict:
            (known,) = await documents.get(collection, [known.document_id])
            continue
        return True
    return False


def _of_list(streamer_id: str, stand_in: str, saved: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**saved, "question": question_without(streamer_id, stand_in, saved["question"])}
