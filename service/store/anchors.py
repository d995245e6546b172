"""Anchors of audit logs as the store holds them: what the files can't lose unnoticed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol, Self

from pydantic import TypeAdapter


@dataclass(frozen=True)
class Anchor:
    """How far a hash chain had come.

    Attributes:
        place: name of the folder that has its files.
        points: number and hash of one or two lines, in order; the last is the furthest.
        at: when, in seconds since 1970.
        is_closed: whether nothing is written to the chain any more.
    """

    place: str
    points: tuple[tuple[int, str], ...]
    at: float
    is_closed: bool

    @classmethod
    def of_json(cls, text: bytes) -> Self:
        """Read a stored anchor.

        Raises:
            ValueError: it can't be read.
        """
        return _ANCHOR.validate_json(text)  # type: ignore[return-value]

    def to_json(self) -> bytes:
        """The anchor as it is stored."""
        return json.dumps(asdict(self)).encode()


_ANCHOR = TypeAdapter(Anchor)


class AnchorStore(Protocol):
    """Where anchors are kept. All methods raise StoreUnavailable when it does not answer."""

    async def all(self) -> dict[str, Anchor]:
        """Every anchor, by chain."""
        ...

    async def put(self, anchors: Mapping[str, Anchor]) -> None:
        """Replace anchors of chains.

        Raises:
            StoreFull: nothing was changed, since disk or memory is full.
        """
        ...

    async def now(self) -> float:
        """Seconds since 1970 by the store's clock."""
        ...

    async def remove(self, chains: Sequence[str]) -> None:
        """Forget chains whose files were removed."""
        ...
