"""Erasure of a streamer from saved questions, and from whom their runs held."""

import json
import secrets
from collections.abc import Mapping
from functools import partial
from typing import Any

from service.features.lists.saved import COLLECTION, RUNS, as_json, runs_of
from service.store.documents import Document, DocumentStore, Put, RevisionConflict

_LISTS_AT_ONCE = 20
_NAMES = ("positive", "negative")


async def forget(documents: DocumentStore, streamer_id: str) -> int:
    """Take a streamer out of all saved lists and their runs; out of how many documents.

    It is no seed, no excluded one and no member any more. Where a question can't be without it,
    such as the only wanted seed, it has a stand-in there that nobody is, so that the list stays and
    a run of it says that this seed is not stored.
    """
    forgotten, after, quoted = 0, None, json.dumps(streamer_id).encode()
    stand_in = f"erased-{secrets.token_hex(8)}"
    while found := await documents.page(COLLECTION, after, _LISTS_AT_ONCE):
        after = found[-1].document_id
        for one in found:
            if quoted in one.body:
                forgotten += await _change(
                    documents, COLLECTION, one, partial(_of_list, streamer_id, stand_in)
                )
            where = runs_of(json.loads(one.body)["list_id"])
            last = None
            while runs := await documents.page(where, last, 1):  # each may have 10,000 ids
                last = runs[0].document_id
                if last != RUNS and quoted in runs[0].body:
                    forgotten += await _change(
                        documents, where, runs[0], partial(_of_run, streamer_id)
                    )
    return forgotten


async def _change(
    documents: DocumentStore,
    collection: str,
    found: Document,
    without: "partial[Mapping[str, Any]]",
) -> bool:
    """Whether a document was changed; others may change it meanwhile."""
    known: Document | None = found
    while known is not None:
        before = json.loads(known.body)
        after = without(before)
        if after == before:
            return False
        try:
            await documents.change(
                [Put(collection, known.document_id, as_json(after), known.revision)]
            )
        except RevisionConflict:
            (known,) = await documents.get(collection, [known.document_id])
            continue
        return True
    return False


def _of_run(streamer_id: str, run: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**run, "ids": [one for one in run["ids"] if one != streamer_id]}


def _of_list(streamer_id: str, stand_in: str, saved: Mapping[str, Any]) -> Mapping[str, Any]:
    question = dict(saved["question"])
    for name in _NAMES:
        if name in question:
            question[name] = [
                seed for seed in question[name] if seed.get("streamer_id") != streamer_id
            ]
    if not question["positive"]:
        question["positive"] = [{"streamer_id": stand_in}]
    excluded: dict[str, Any] = question.get("exclude", {})
    if "ids" in excluded:
        ids = [one for one in excluded["ids"] if one != streamer_id]
        question["exclude"] = {**excluded, "ids": ids}
    if wanted := question.get("filter"):
        question["filter"] = {
            part: [_of_condition(streamer_id, stand_in, one) for one in conditions]
            for part, conditions in wanted.items()
        }
    return {**saved, "question": question}


def _of_condition(
    streamer_id: str, stand_in: str, condition: Mapping[str, Any]
) -> Mapping[str, Any]:
    """A condition whose values, if they are ids, are not this one."""
    if condition.get("field") != "streamer_id":
        return condition
    changed = dict(condition)
    for name in ("any", "all"):
        values: list[object] | None = condition.get(name)
        if values is not None:
            changed[name] = [one for one in values if one != streamer_id] or [stand_in]
    return changed
