"""Reads the log of writes, on a connection of its own, and notices when it is not continued."""

from dataclasses import replace

from service.store.base import LogEntry, LogGap, Position, WentBack
from service.store.redis.client import Limits, RedisClient
from service.store.redis.codec import to_log_entry
from service.store.redis.packing.packing import Packing
from service.store.redis.packing.vectors import unpacked


class LogReader:
    """Reads one log from entry to entry."""

    def __init__(
        self, client: RedisClient, log: str, limits: Limits, model: str | None, packing: Packing
    ) -> None:
        """Read by a client with a single connection; of two models' vectors those of `model`."""
        self._client = client
        self._log = log
        self._limits = limits
        self._model = model
        self._packing = packing

    async def check(self, position: Position, after: int, epoch: str | None, mark: str) -> None:
        """That entry `after + 1` is in the log, which ends at `position`, or still to come.

        Raises:
            WentBack: what was at `after` is lost.
            LogGap: it is not in the log any more.
        """
        if epoch is not None and epoch != position.epoch:
            raise WentBack(f"this is another history: epoch {position.epoch}, not {epoch}")
        if position.sequence < after:
            raise WentBack(f"the log ends at {position.sequence}, before {after}")
        found = {after: position.mark}
        if position.sequence > after:
            answer = await self._client.ask("XRANGE", self._log, f"{after}-0", f"{after + 1}-0")
            found = {e.sequence: e.mark for e in (to_log_entry(*item) for item in answer)}
        if mark and found.get(after, mark) != mark:
            raise WentBack(f"the store went back, and then {after} was written anew")
        for number in (after + 1, after) if mark else (after + 1,):
            if number <= position.sequence and number not in found:
                raise LogGap(f"the log has lost {number}; it ends at {position.sequence}")

    async def next(self, after: int) -> list[LogEntry]:
        """The next entries, or none when there was no news for a while.

        Raises:
            LogGap: there are entries, but not the next one.
        """
        limits = self._limits
        answer = await self._client.ask(
            *("XREAD", "COUNT", limits.follow_entries, "BLOCK", int(limits.follow_block_s * 1000)),
            *("STREAMS", self._log, f"{after}-0"),
        )
        found = [
            to_log_entry(key, fields, self._model) for _, part in answer for key, fields in part
        ]
        entries = await self._unpacked(found)
        for expected, entry in enumerate(entries, after + 1):
            if entry.sequence != expected:
                raise LogGap(f"the log goes on at {entry.sequence}, not at {expected}")
        if entries:
            await self._client.settle()
        return entries

    async def _unpacked(self, found: list[LogEntry]) -> list[LogEntry]:
        """Entries with fields as they were before they were packed."""
        entries = [each.entry for each in found if each.entry is not None]
        facets = iter(await self._packing.unpack([each.facets for each in entries]))
        return [
            each
            if each.entry is None
            else replace(
                each,
                entry=replace(
                    each.entry,
                    embedding=unpacked(each.entry.embedding) or b"",
                    content=unpacked(each.entry.content) or b"",
                    facets=next(facets) or b"",
                ),
            )
            for each in found
        ]
