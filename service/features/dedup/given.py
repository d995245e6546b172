"""Who is on a list, and what is known of each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_export.contract.evidence import Side
from service.errors import FieldError, InvalidRequest, StreamerNotFound
from service.index.base import Row


@dataclass(frozen=True, eq=False)
class Shown:
    """A streamer of the list.

    Attributes:
        content: its sketch; None without usable content.
        tower_vectors: what towers made of it, of a profile.
        side: what evidence compares of it, of a profile.
        version: of a stored streamer.
    """

    content: NDArray[np.float16] | None
    tower_vectors: bytes = b""
    side: Side | None = None
    version: int | None = None


def shown_of(
    ids: Sequence[str], rows: Sequence[Row | None]
) -> tuple[list[str], list[Shown], list[str]]:
    """Ids that are stored, what their rows of the index show, and the ids that are not stored.

    Raises:
        StreamerNotFound: none is stored.
    """
    known = [row for row in rows if row is not None]
    if not known:
        more = f" (and {len(ids) - 3} more)" if len(ids) > 3 else ""
        raise StreamerNotFound(
            "not stored: " + ", ".join(map(repr, ids[:3])) + more,
            [FieldError(f"/ids/{i}", f"streamer {n!r} is not stored") for i, n in enumerate(ids)],
        )
    shown = [Shown(row.content, version=row.version) for row in known]
    missing = [name for name, row in zip(ids, rows, strict=True) if row is None]
    return [row.streamer_id for row in known], shown, missing


def refuse_repeated(names: Sequence[str], pointer: str) -> None:
    """Refuse a list that names somebody twice.

    Raises:
        InvalidRequest: it tells each repeated place, below `pointer`.
    """
    seen: dict[str, int] = {}
    errors: list[FieldError] = []
    for place, name in enumerate(names):
        if name in seen:
            detail = f"streamer {name!r} is already at {pointer}/{seen[name]}"
            errors.append(FieldError(f"{pointer}/{place}", detail))
        seen.setdefault(name, place)
    if errors:
        first = "; ".join(f"{error.pointer}: {error.detail}" for error in errors[:3])
        more = f" (and {len(errors) - 3} more)" if len(errors) > 3 else ""
        raise InvalidRequest(f"{first}{more}; give each streamer once", errors)
