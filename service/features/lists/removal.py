"""What lists keep, without a streamer: questions, whom runs held, and what was told of each."""

import json
from collections.abc import Mapping, Set
from typing import Any

from pydantic_core import to_json

_SEEDS = ("positive", "negative")


def run_without(gone: Set[str], run: Mapping[str, Any]) -> Mapping[str, Any]:
    """Whom a run held, but these."""
    return {**run, "ids": [one for one in run["ids"] if one not in gone]}


def told_without(gone: Set[str], stand_in: str, document: bytes) -> bytes | None:
    """What a run told, as `formats.kept` packs it, without rows of these and their ids elsewhere.

    None where it does not name them. Where a wanted seed is gone, so are all reasons: each quotes
    what a row has in common with the seed that is nearest to it, and which one that was is not
    kept.
    """
    first, *lines = document.split(b"\n")
    told: Mapping[str, Any] = json.loads(first)
    question: Mapping[str, Any] = told["question"]
    quotes = any(seed.get("streamer_id") in gone for seed in question["positive"])
    of = {name: place for place, name in enumerate(told["columns"])}
    ids = [json.dumps(one).encode() for one in gone]
    rows: list[bytes] = []
    for line in lines:
        if not quotes and not any(one in line for one in ids):
            rows.append(line)
            continue
        row: list[Any] = json.loads(line)
        if row[of["streamer_id"]] in gone:
            continue
        row[of["copies"]] = [one for one in row[of["copies"]] if one not in gone]
        if quotes:
            row[of["why"]] = None
        rows.append(to_json(row))
    for one in gone:
        question = question_without(one, stand_in, question)
    named = [quoted for one in gone for quoted in (repr(one), json.dumps(one))]
    # Groups are counted anew by whoever reads this; what earlier releases kept has values of these.
    summary: Mapping[str, Any] = {**told["summary"], "groups": []}
    told = {**told, "summary": summary}
    warnings = [
        warning for warning in summary["warnings"] if not any(one in warning for one in named)
    ]
    left = {**told, "question": question, "summary": {**summary, "warnings": warnings}}
    if left == told and rows == lines:
        return None
    return b"\n".join([to_json(left), *rows])


def question_without(
    streamer_id: str, stand_in: str, asked: Mapping[str, Any]
) -> Mapping[str, Any]:
    """A question that does not name a streamer.

    Args:
        streamer_id: of the streamer.
        stand_in: an id that nobody has, for where a question can't be without one.
        asked: the question, as JSON has it.
    """
    question = dict(asked)
    for name in _SEEDS:
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
            part: [_condition_without(streamer_id, stand_in, one) for one in conditions]
            for part, conditions in wanted.items()
        }
    return question


def _condition_without(
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
