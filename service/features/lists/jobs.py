"""Lists that are too long to be waited for: jobs make them, and write them to files."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping
from typing import Any

from service.engine.work.lanes import Lane, Lanes
from service.errors import ListConflict
from service.features.jobs.told import Told
from service.features.lists.formats.writing import Written, written
from service.features.lists.saved import SavedList
from service.features.lists.schemas import Format, ListQuestionIn, RunIn
from service.features.lists.service import Asker, Lists

KIND = "list"


def asked_by_job(
    by: Asker, form: Format, question: ListQuestionIn, saved: SavedList | None, how: RunIn
) -> dict[str, Any]:
    """What a job needs to know, for JSON: a question, or which saved list has it."""
    asked = None
    if saved is None:
        asked = question.model_dump(mode="json", exclude_unset=True, by_alias=True)
    return {
        "by": by._asdict(),
        "format": form,
        "question": asked,
        "list": saved and saved.name,
        "revision": saved and saved.revision,
        "how": how.model_dump(mode="json", exclude_unset=True),
    }


def answering(
    lists: Lists, lanes: Lanes
) -> Callable[[Mapping[str, Any], Told], AsyncIterator[bytes]]:
    """What such jobs write; what a list lacks and its warnings are told too: CSV has no place."""

    async def answer(given: Mapping[str, Any], told: Told) -> AsyncGenerator[bytes, None]:
        asked: Mapping[str, Any] = given["question"]
        begin, by = time.perf_counter(), Asker(**asked["by"])
        if asked["list"] is None:
            question = ListQuestionIn.model_validate(asked["question"])
            built, provenance = await lists.preview(question, by)
        else:
            saved = await lists.saved.get(asked["list"])
            _check(saved, asked.get("revision"), given.get("scopes", ()))
            how = RunIn.model_validate(asked["how"])
            built, provenance = await lists.run(saved, how, by)
        took_ms = (time.perf_counter() - begin) * 1000
        work = written(built, provenance, asked["format"], took_ms)
        made: Written = await lanes.run_in_slices(work, Lane.BULK)
        told.streamers = len(built.rows)
        if (because := built.summary["incomplete_because"]) is not None:
            told.missing.append(because)
        told.warnings += built.summary["warnings"]
        yield made.content

    return answer


def _check(saved: SavedList, revision: int | None, scopes: Collection[str]) -> None:
    """Refuse a question that is not the one whose scopes were asked for, and which was charged.

    Args:
        saved: the list as it is now.
        revision: that it had; None: an earlier release queued the job.
        scopes: that were asked for.

    Raises:
        ListConflict: the list was changed meanwhile.
    """
    if revision is None:
        is_same = saved.question.get("explain") is None or "explain" in scopes
    else:
        is_same = revision == saved.revision
    if not is_same:
        raise ListConflict(
            f"list {saved.name!r} was changed after this job was queued: run the list again"
        )
