"""What the indexes of one model share: the connection, and up to where Milvus has everything."""

import hashlib
import weakref
from collections.abc import AsyncGenerator, Sequence
from collections.abc import Collection as Sized
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from service.errors import NotReady
from service.index.base import Upsert
from service.index.milvus.collection import Shape
from service.index.milvus.connection import Connection


class Served(NamedTuple):
    """What a question asks, taken once when it begins.

    Attributes:
        collection: its name.
        settled: the collection shows every version up to this one, and hides what was deleted
            before it was built; whatever is newer is in the overlay.
        refused: versions that Milvus did not take: they are in the overlay as long as they are
            newest.
        established: digest of the ids of established streamers by which all its rows were written;
            empty where there were several.
    """

    collection: str
    settled: int
    refused: frozenset[int] = frozenset()
    established: str = ""


class VectorSource(Protocol):
    """Where vectors of streamers are, for those that are not searched: the store."""

    async def entries(self, ids: Sequence[str]) -> list[Upsert | None]:
        """The newest versions of streamers; None of unknown ones and of what no index can hold."""
        ...

    def scan(self) -> AsyncGenerator[Sequence[Upsert], None]:
        """All streamers, those without a vector too."""
        ...


class Attachable(Protocol):
    """An index that asks the collection that is served."""

    async def adopt(self, served: Served) -> None:
        """Ask this from now on."""
        ...


@dataclass(frozen=True)
class Bounds:
    """When a collection is not enough.

    Attributes:
        most_rows: more than so many newer versions are not kept; then nothing is answered.
        floor: one that finds a smaller share of the nearest is asked exactly.
        fresh_s: what Milvus found lacks nothing that has settled, if it was asked so lately.
        patience_s: a cluster that answers nobody for so long may have gone: another one is asked.
        answer_s: for one question, whichever clusters are asked.
        name: the setting of `most_rows`, for people.
    """

    most_rows: int
    floor: float = 0.95
    fresh_s: float = 10.0
    patience_s: float = 1.0
    answer_s: float = 60.0
    name: str = "STREAMER_MILVUS__OVERLAY_ROWS"

    @property
    def overflow(self) -> str:
        """What is wrong once there are too many newer versions, for people."""
        return (
            f"more than {self.most_rows // 2} new streamers are not in Milvus yet; they will be, "
            f"or raise {self.name}"
        )


class MilvusBase:
    """The collection that a cluster serves, as this process knows it. For one event loop.

    Attributes:
        name: of the cluster.
        connection: to the server.
        shape: of the model's collections.
        bounds: when the collection is not enough.
        established: digest of the ids of established streamers.
        trouble: why questions can't be answered, for people; None while they can.
        is_audit_due: whether an answer lacked someone: who writes the collection compares it.
    """

    def __init__(
        self,
        connection: Connection,
        shape: Shape,
        bounds: Bounds,
        established: Sized[str] = (),
        name: str = "",
    ) -> None:
        """Nothing is served yet."""
        self.name = name
        self.connection = connection
        self.shape = shape
        self.bounds = bounds
        self.established = digest_of(established)
        self._source: VectorSource | None = None
        self.trouble: str | None = f"the collection of model {shape.model_version} is not known yet"
        self._indexes: weakref.WeakSet[Attachable] = weakref.WeakSet()
        self._superseded: dict[int, int] = {}
        self._taken = 0  # all that was replaced up to there has been handed out
        self.is_audit_due = False

    @property
    def source(self) -> VectorSource:
        """Vectors of streamers.

        Raises:
            NotReady: the store is not open yet.
        """
        if self._source is None:
            raise NotReady("the store is being opened")
        return self._source

    def read_from(self, source: VectorSource) -> None:
        """Read vectors there from now on."""
        self._source = source

    def add(self, index: Attachable) -> None:
        """An index that asks what is served."""
        self._indexes.add(index)

    async def serve(self, served: Served) -> None:
        """Let all indexes ask this."""
        for index in list(self._indexes):
            await index.adopt(served)

    def note_superseded(self, version: int, by: int) -> None:
        """A version is garbage once the one that replaced it is settled."""
        if len(self._superseded) < self.bounds.most_rows:  # the audit finds the others
            self._superseded[version] = by
            self._taken = min(self._taken, by - 1)

    def forget_superseded(self) -> None:
        """Another collection or history begins, which may use versions of the one before again."""
        self._superseded.clear()
        self._taken = 0

    def take_garbage(self, settled: int) -> list[int]:
        """Versions that were replaced by settled ones, each handed out once."""
        if settled <= self._taken:
            return []
        self._taken = settled
        found = [version for version, by in self._superseded.items() if by <= settled]
        for version in found:
            del self._superseded[version]
        return found


def digest_of(established: Sized[str]) -> str:
    """A digest of ids, in whichever order they come."""
    digest = hashlib.sha256()
    for name in sorted(established):
        digest.update(name.encode(errors="surrogatepass") + b"\n")
    return digest.hexdigest()
