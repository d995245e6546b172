"""Cases as answers show them."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from service.features.cases.keeping import Kept
from service.features.cases.records import Decided, Difference, Differences, Event, Member
from service.features.cases.schemas import SHOWN_DIFFERENCES
from service.features.cases.service import Shown
from service.store.documents import Entry


def case_fields(kept: Kept) -> dict[str, Any]:
    """Fields of `CaseOut`."""
    case, run = kept.case, kept.case.run
    shown = None
    if run is not None:
        complete = run.incomplete_because is None
        shown = {**vars(run), "query": vars(run.query), "complete": complete}
        for name in ("sources", "barred", "digest", "job_id", "request"):
            del shown[name]
    return {
        "case_id": case.case_id,
        "title": case.title,
        "seeds": case.seeds,
        "exclude": case.exclude,
        "created_at": case.created_at,
        "key_id": case.key_id,
        "key_name": case.key_name,
        "events": case.events,
        "revision": kept.revision,
        "run": shown,
    }


def verdict_fields(verdict: Decided) -> dict[str, Any]:
    """Fields of `VerdictOut`."""
    fields = {**vars(verdict.record), "profile_changed": verdict.profile_changed}
    del fields["digest"]
    return fields


def member_fields(member: Member, verdict: Decided | None) -> dict[str, Any]:
    """Fields of `CaseMemberOut`."""
    hangs = member.leaves_if
    return {
        "streamer_id": member.streamer_id,
        "state": member.state,
        "hop": member.hop,
        "probability": member.probability,
        "path": member.path,
        "weakest_link": member.weakest_link,
        "leaves_if": {"edges": hangs.links, "verdicts": hangs.sources, "members": hangs.members},
        "verdict": None if verdict is None else verdict_fields(verdict),
    }


def detail_fields(shown: Shown, cursor: str | None) -> dict[str, Any]:
    """Fields of `CaseDetailOut`."""
    run, verdicts = shown.kept.case.run, shown.verdicts or {}
    members = [member_fields(each, verdicts.get(each.streamer_id)) for each in shown.members]
    return {
        **case_fields(shown.kept),
        "outdated": shown.is_outdated,
        "members": members,
        "edges": [asdict(edge) for member in shown.members for edge in member.edges],
        "returned": len(members),
        "total_known": 0 if run is None else run.members,
        "next_cursor": cursor,
        "job_id": shown.job_id,
    }


def difference_fields(found: Differences) -> dict[str, Any]:
    """Fields of `DifferencesOut`."""

    def first(some: Sequence[Difference]) -> list[dict[str, Any]]:
        return [vars(each) for each in some[:SHOWN_DIFFERENCES]]

    return {
        "joined": first(found.joined),
        "left": first(found.left),
        "changed": first(found.changed),
        "joined_total": len(found.joined),
        "left_total": len(found.left),
        "changed_total": len(found.changed),
    }


def event_fields(number: int, at: float, event: Event) -> dict[str, Any]:
    """Fields of `CaseEventOut`."""
    fields = {"number": number, "at": at, **vars(event)}
    del fields["previous"]
    return fields


def entry_fields(entry: Entry, event: Event) -> dict[str, Any]:
    """Fields of `CaseEventOut` of a stored event."""
    return event_fields(entry.number, entry.at, event)
