"""What writers were told, and which states of the store agree with it."""

from collections import defaultdict
from dataclasses import dataclass, field

from service.store.base import LogEntry
from service.store.redis.store import RedisStore
from tests.service.store.records import apply, read_log, scanned

State = str | None
"""A profile's text, or None for a streamer that is not stored."""


@dataclass
class History:
    """Each id belongs to one writer, whose operations on it are one after the other.

    Attributes:
        settled: by id, the state after the last operation whose outcome is known.
        open: by id, the states that operations of unknown outcome may have made since.
        versions: sequence numbers that were acknowledged.
    """

    settled: dict[str, State] = field(default_factory=dict[str, State])
    open: dict[str, list[State]] = field(default_factory=lambda: defaultdict(list))
    versions: list[int] = field(default_factory=list[int])

    def sent(self, streamer_id: str, state: State) -> None:
        self.open[streamer_id].append(state)

    def acknowledged(self, streamer_id: str, state: State, version: int) -> None:
        self.settled[streamer_id] = state
        self.open[streamer_id] = []
        self.versions.append(version)

    def refused(self, streamer_id: str) -> None:
        """An unconditional delete found nothing."""
        self.settled[streamer_id] = None
        self.open[streamer_id] = []

    async def check(self, store: RedisStore) -> None:
        """Nothing acknowledged is lost, nothing deleted is back, and the log tells the same."""
        entries = await scanned(store)
        for streamer_id in self.settled.keys() | self.open.keys():
            (stored,) = await store.get([streamer_id])
            state = None if stored is None else stored.profile.decode()
            possible = [self.settled.get(streamer_id), *self.open[streamer_id]]
            assert state in possible, (streamer_id, state, possible)
            assert (streamer_id in entries) == (state is not None)
        assert len(set(self.versions)) == len(self.versions)
        last = (await store.position()).sequence
        assert max(self.versions, default=0) <= last
        log = await read_log(store, 0, last)
        assert [entry.sequence for entry in log] == list(range(1, last + 1))
        assert await store.count() == len(entries)
        assert replayed(log) == entries


def replayed(log: list[LogEntry]) -> dict[str, object]:
    index = {}
    apply(index, log)
    return index
