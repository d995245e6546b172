"""Who writes a collection: one process at a time, as far as that can be known.

A process that lost the lease and has not noticed does no harm: keys of a collection are versions,
which it can only write again, and each change of the record names the revision that it is of. What
it deletes late is found missing, since it notices then.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from service.engine.projection.record import OtherRecord, Projection, Projections
from service.store.documents import RevisionConflict


class Lease:
    """The record of a collection, held by this process.

    Attributes:
        record: as it was changed or read last.
    """

    def __init__(self, records: Projections, owner: str, lease_s: float) -> None:
        """Not held yet.

        Args:
            records: where it is.
            owner: this process, by a name that no other has.
            lease_s: without a sign of life for so long, another process takes it.
        """
        self.record = Projection()
        self._records = records
        self._owner = owner
        self._lease_s = lease_s
        self._revision = -1
        self._seen_at = 0.0
        self._turn = asyncio.Lock()
        self._has_deleted = False  # and it is not known whether another process had it meanwhile

    async def claim(self) -> bool:
        """Take the lease if it is free; whether it was."""
        revision, record = await self._records.get()
        if revision != self._revision:
            self._revision, self._seen_at = revision, time.monotonic()
        is_free = record.owner in ("", self._owner)
        if not is_free and time.monotonic() < self._seen_at + self._lease_s:
            return False
        self.record = replace(record, owner=self._owner)
        self._revision = await self._records.put(self.record, revision)
        return True

    async def change(
        self,
        update: Callable[[Projection], Projection],
        instead_of: Sequence[OtherRecord] = (),
    ) -> None:
        """Change the record, which is a sign of life too; `update` is called when it is its turn.

        Records of other models are deleted in the same step.

        Raises:
            RevisionConflict: another process holds it by now.
        """
        async with self._turn:
            record = update(self.record)
            record = replace(record, beats=record.beats + 1)
            self._revision = await self._records.put(record, self._revision, instead_of)
            self.record = record

    async def confirm(self) -> None:
        """Return if this process holds it; raises as `change`. For right before a deletion."""
        await self.change(lambda record: record)

    async def begin_deletion(self) -> None:
        """Return if this process holds it, right before a deletion of what comes again.

        Raises:
            RevisionConflict: another process holds it by now.
        """
        await self.confirm()
        self._has_deleted = True

    async def confirm_deletion(self) -> None:
        """Return if this process holds it still, right after a deletion that was begun.

        Raises:
            RevisionConflict: another process holds it by now; see `settle_deletion`.
            Unavailable: nobody knows; `settle_deletion` has to be called before the next claim.
        """
        try:
            await self.confirm()
        except RevisionConflict:
            await self.settle_deletion()
            raise
        self._has_deleted = False

    async def settle_deletion(self) -> None:
        """Do what a deletion asks for of which it is not known whether it was this process's turn.

        The one that took the lease meanwhile may have written already what was deleted. It is made
        to begin anew, and compares the collection with what is stored then.

        Raises:
            Unavailable: the store does not answer; to be called again.
        """
        while self._has_deleted:
            revision, _ = await self._records.get()
            if revision == self._revision or await self._interrupted():
                self._has_deleted = False

    async def _interrupted(self) -> bool:
        revision, record = await self._records.get()
        try:
            await self._records.put(replace(record, beats=record.beats + 1), revision)
        except RevisionConflict:  # it gave a sign of life in between
            return False
        return True

    async def release(self) -> None:
        """Let another process have it at once."""
        await self.change(lambda record: replace(record, owner=""))
