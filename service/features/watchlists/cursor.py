"""Up to where the log is matched, and by whom: one document.

Whoever matches writes it with each step, and expects the revision that it wrote last. So of two who
believe that it is theirs, one is refused before anything is raised twice, whatever their clocks
say. Who does not match watches the document: one that stays as it is for too long is taken over.
"""

import asyncio
import json
import secrets
import time
from dataclasses import asdict, dataclass, replace

from pydantic import TypeAdapter

from service.store.base import Position
from service.store.documents import MATCHING, DocumentStore, Put, RevisionConflict

COLLECTION, DOCUMENT = MATCHING, "cursor"


class NotTheMatcher(Exception):
    """Another process matches the log by now; nothing was written."""


@dataclass(frozen=True)
class Matched:
    """The document.

    Attributes:
        owner: who matches; "" = nobody.
        era: drawn anew at a gap in the log; sweeps of another era don't count.
        epoch, sequence, mark: of the position in the log.
        process: which of the owner's processes matches; "" = of an earlier release.
    """

    owner: str
    era: str
    epoch: str
    sequence: int
    mark: str
    process: str = ""

    @property
    def position(self) -> Position:
        """Up to where the log is matched."""
        return Position(self.epoch, self.sequence, self.mark)


_MATCHED = TypeAdapter(Matched)


async def read_matched(documents: DocumentStore) -> tuple[int, Matched | None]:
    """The document and its revision; 0 and None before the first process matched."""
    (found,) = await documents.get(COLLECTION, [DOCUMENT])
    return (0, None) if found is None else (found.revision, _MATCHED.validate_json(found.body))


class LogCursor:
    """The document, as a process that matches or would like to sees it. For one task at a time.

    Attributes:
        lock: whoever writes the document holds it.
        matched: as it was written last by this process; None while another one has it.
    """

    def __init__(self, documents: DocumentStore, owner: str, lease_s: float) -> None:
        """Nothing is read yet.

        Args:
            documents: where it is kept.
            owner: names this replica; its next process need not wait for that before.
            lease_s: for so long the document stays as it is, before it is taken over.
        """
        self.lock = asyncio.Lock()
        self.matched: Matched | None = None
        self._documents = documents
        self._owner = owner
        self._process = secrets.token_hex(8)
        self._lease_s = lease_s
        self._revision = 0
        self._seen = (-1, 0.0)
        self._has_twin = False

    async def claim(self, position: Position) -> bool:
        """Become the one who matches, if nobody does; begins at `position` if nobody ever did."""
        revision, known = await read_matched(self._documents)
        if known is None:
            known = Matched("", secrets.token_hex(8), *_parts(position))
        elif not self._may_take(revision, known):
            return False
        mine = replace(known, owner=self._owner, process=self._process)
        try:
            (self._revision,) = await self._documents.change([_put(mine, revision)])
        except RevisionConflict:
            return False
        self.matched, self._has_twin = mine, False
        return True

    def step(self, position: Position) -> Put:
        """The change that moves it on; `moved` has to follow once that is written."""
        assert self.matched is not None
        return _put(replace(self.matched, **_named(position)), self._revision)

    def moved(self, position: Position, revision: int) -> None:
        """A step was written."""
        assert self.matched is not None
        self.matched, self._revision = replace(self.matched, **_named(position)), revision

    async def beat(self, position: Position | None = None, *, new_era: bool = False) -> None:
        """Write it, as a sign of life.

        Args:
            position: where it moves on to; None = it stays.
            new_era: begin one.

        Raises:
            NotTheMatcher: another process has it by now.
        """
        async with self.lock:
            mine = self.matched
            assert mine is not None
            if position is not None:
                mine = replace(mine, **_named(position))
            if new_era:
                mine = replace(mine, era=secrets.token_hex(8))
            try:
                (self._revision,) = await self._documents.change([_put(mine, self._revision)])
            except RevisionConflict as error:
                raise NotTheMatcher from error
            self.matched = mine

    async def release(self) -> None:
        """Let another process have it at once."""
        mine, self.matched = self.matched, None
        if mine is not None:
            try:
                await self._documents.change([_put(replace(mine, owner=""), self._revision)])
            except RevisionConflict:
                return

    def lose(self, *, was_taken: bool = False) -> None:
        """It is another one's, or nobody's.

        Args:
            was_taken: another process took it, maybe one with the name of this one (on the same
                folder). They would take it from each other for ever: this one waits as all do,
                unless the document says that this very process has it.
        """
        self.matched = None
        self._has_twin = self._has_twin or was_taken

    def _may_take(self, revision: int, known: Matched) -> bool:
        if known.owner == "" or (known.owner == self._owner and not self._has_twin):
            return True
        if known.process == self._process:  # a fail-over lost its last steps, and nobody took it
            return True
        now = time.monotonic()
        if self._seen[0] != revision:
            self._seen = revision, now
        return now - self._seen[1] >= self._lease_s


def _parts(position: Position) -> tuple[str, int, str]:
    return position.epoch, position.sequence, position.mark


def _named(position: Position) -> dict[str, str | int]:
    return {"epoch": position.epoch, "sequence": position.sequence, "mark": position.mark}


def _put(matched: Matched, expected: int) -> Put:
    return Put(COLLECTION, DOCUMENT, json.dumps(asdict(matched)).encode(), expected)
