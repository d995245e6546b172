"""Lists that are too long to be waited for: jobs make them, and write them to files."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any

from service.engine.work.lanes import Lane, Lanes
from service.features.jobs.told import Told
from service.features.lists.formats.writing import Written, written
from service.features.lists.schemas import Format, ListQuestionIn, RunIn
from service.features.lists.service import Asker, Lists

KIND = "list"


def asked_by_job(
    by: Asker, form: Format, question: ListQuestionIn | None, name: str | None, how: RunIn
) -> dict[str, Any]:
    """What a job needs to know, for JSON: a question, or the name of a saved list."""
    asked = None
    if question is not None:
        asked = question.model_dump(mode="json", exclude_unset=True, by_alias=True)
    return {
        "by": by._asdict(),
        "format": form,
        "question": asked,
        "list": name,
        "how": how.model_dump(mode="json", exclude_unset=True),
    }


def answering(
    lists: Lists, lanes: Lanes
) -> Callable[[Mapping[str, Any], Told], AsyncIterator[bytes]]:
    """What such jobs write; what a list lacks is told too, as CSV has no place for it."""

    async def answer(asked: Mapping[str, Any], told: Told) -> AsyncGenerator[bytes, None]:
        begin, by = time.perf_counter(), Asker(**asked["by"])
        if asked["list"] is None:
            question = ListQuestionIn.model_validate(asked["question"])
            built, provenance = await lists.preview(question, by)
        else:
            saved = await lists.saved.get(asked["list"])
            how = RunIn.model_validate(asked["how"])
            built, provenance = await lists.run(saved, how, by)
        took_ms = (time.perf_counter() - begin) * 1000
        work = written(built, provenance, asked["format"], took_ms)
        made: Written = await lanes.run_in_slices(work, Lane.BULK)
        told.streamers = len(built.rows)
        if (because := built.summary["incomplete_because"]) is not None:
            told.missing.append(because)
        yield made.content

    return answer
