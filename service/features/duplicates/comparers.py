"""What decides which streamers are duplicates, as the evaluation sees it."""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from service.engine.candidates.corpus import Entry
from service.features.duplicates.groups.edges import Edge, Pair
from service.store.base import Record


class ComparerOfAll(Protocol):
    """Compares streamers as they were when all of them were read."""

    @property
    def at_once(self) -> int:
        """So many calls keep everything busy that works."""
        ...

    async def entries(self, records: Sequence[Record]) -> list[Entry]:
        """What is searched of records, in order; what is compared of them is kept.

        Raises:
            Unavailable: too much work waits already.
        """
        ...

    def asked(self, streamer_id: str) -> NDArray[np.uint32]:
        """`Entry.asked` of a streamer that was read."""
        ...

    async def edges(self, pairs: Sequence[Pair]) -> list[Edge]:
        """Those of the pairs that are duplicates, in any order.

        Raises:
            Unavailable: too much work waits already.
        """
        ...

    def close(self) -> None:
        """Forget them."""
        ...


class Comparer(Protocol):
    """Decides which pairs are duplicates."""

    @property
    def rules(self) -> str:
        """Names what is compared and how: groups that were made by other rules are made anew.

        Another model is no other rule, since a promotion and its rollback let groups stay.
        """
        ...

    @property
    def strong_weight(self) -> float:
        """From this weight on, one edge alone holds two parts of a group together."""
        ...

    def entry_of(self, record: Record) -> Entry:
        """What is searched and compared of a record; call it in a thread."""
        ...

    def keep(self, streamer_id: str, entry: Entry) -> None:
        """Take in what was just read of a streamer, which is compared soon."""
        ...

    async def edges(
        self, pairs: Sequence[Pair], version_of: Callable[[str], int | None]
    ) -> list[Edge]:
        """Those of the pairs that are duplicates, in any order; streamers may be gone by now.

        Args:
            pairs: of streamers.
            version_of: the version at least that is compared of a streamer; None = the stored one.

        Raises:
            Unavailable: the store or the index can't answer at the moment.
        """
        ...

    def of_all(self, streamers: int, *, to_compare: bool) -> ComparerOfAll:
        """A comparer for who reads all streamers: nobody is known to it yet.

        Args:
            streamers: about so many follow.
            to_compare: whether they are compared then.
        """
        ...


@dataclass(frozen=True, eq=False)
class OfAll:
    """What is needed while all streamers are compared.

    Attributes:
        comparer: of all.
        unlike: rows of streamers that a streamer was compared with already, and is not like.
    """

    comparer: ComparerOfAll
    unlike: "dict[str, array[int]]" = field(default_factory=dict[str, "array[int]"])
