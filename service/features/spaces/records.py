"""Generations in a space's record: what may be promoted, and what a switch makes of it."""

import time
from collections.abc import Sequence
from dataclasses import replace

from service.errors import (
    FieldError,
    GenerationNotFound,
    GenerationRefused,
    NothingBefore,
    Overloaded,
    SpaceNotFound,
    Unavailable,
)
from service.store.spaces import GenerationRecord, SpaceRecord


def generation_of(record: SpaceRecord, generation: str) -> GenerationRecord:
    """A generation.

    Raises:
        GenerationNotFound: the space has none of this name.
    """
    found = record.get(generation)
    if found is None:
        names = ", ".join(g.generation for g in record.generations)
        raise GenerationNotFound(
            f"the space {record.space!r} has no generation {generation!r}; it has: {names}"
        )
    return found


def previous_of(record: SpaceRecord) -> GenerationRecord:
    """What was served before.

    Raises:
        NothingBefore: none was, or it is not kept any more.
    """
    if record.previous is None:
        now = record.served[-1] if record.served else None
        raise NothingBefore(
            f"no generation of {record.space!r} is served: promote one"
            if now is None
            else f"no generation of {record.space!r} was served before {now!r}, or it is not kept "
            "any more: promote another one"
        )
    return record.previous


def promotable(record: SpaceRecord, generation: str, *, force: bool) -> GenerationRecord:
    """A generation that may be served.

    Raises:
        GenerationNotFound: the space has none of this name.
        GenerationRefused: it failed its checks, or is of another width than what is served by now,
            and nobody forces it.
    """
    found, active = generation_of(record, generation), record.active
    if force or found.forced:
        return found
    failed: dict[str, str] = {
        check["name"]: check["detail"] for check in found.checks if check["passed"] is False
    }
    if active is not None and active.dim != found.dim:  # it was compared with another one
        served = f"generation {active.generation!r}, which is served, has {active.dim}"
        failed.setdefault("width", f"{found.dim} numbers, {served}")
    if failed:
        raise GenerationRefused(
            "; ".join(f"{name}: {detail}" for name, detail in failed.items())
            + " (an admin may promote it with force=true)",
            [FieldError(f"/checks/{name}", detail) for name, detail in failed.items()],
        )
    return found


def promoted(known: SpaceRecord, served: Sequence[str], *, forced: bool) -> SpaceRecord:
    """A space that serves the last of `served`, and prepares nothing."""
    active = generation_of(known, served[-1])
    changed = replace(
        active,
        promoted_at=round(time.time(), 3),
        forced=active.forced or (forced and not active.passed),
    )
    return replace(known.with_generation(changed), served=list(served), preparing=None)


def no_space(space: str, names: Sequence[str], what: str) -> SpaceNotFound:
    """The error for a name that no space has."""
    known = ", ".join(names[:10]) or "none"
    return SpaceNotFound(f"there is no space {space!r}; {what}: {known}")


def contended(space: str) -> Unavailable:
    """The error for a record that others changed at each attempt."""
    return Overloaded(f"the space {space!r} is being changed by others; try again")
