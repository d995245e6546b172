"""Keys in memory, of the same shape as those in a store."""

import time
from collections.abc import Callable, Mapping, Sequence

from service.errors import StoreUnavailable
from service.store.keys import KeyChanges, Look
from service.store.once import Once


class MemoryKeys:
    """A `KeyStore`.

    Attributes:
        records: as a store holds them.
        used: when keys were used last.
        asked: how many questions and changes there were.
        is_down: whether it answers nothing.
        now: its time, in seconds since 1970.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self.now = now
        self.records: dict[str, bytes] = {}
        self.used: dict[str, float] = {}
        self.requests: dict[str, tuple[str, str]] = {}
        self.changes = 0
        self.changed: list[str] = []
        self.asked = 0
        self.is_down = False

    def _ask(self) -> None:
        self.asked += 1
        if self.is_down:
            raise StoreUnavailable("the store is gone")

    async def look(self) -> Look:
        self._ask()
        return Look(str(self.changes or ""), self.now())

    async def all(self) -> dict[str, bytes]:
        self._ask()
        return dict(self.records)

    async def since(self, mark: str) -> KeyChanges | None:
        self._ask()
        if len(self.changed) != self.changes:
            return None  # somebody wrote past this class
        ids = self.changed[int(mark) :]
        return KeyChanges(str(self.changes), {i: self.records.get(i, b"") for i in ids})

    async def get(self, key_id: str) -> bytes:
        self._ask()
        return self.records.get(key_id, b"")

    async def made(self, once: Once) -> str:
        self._ask()
        key_id, request = self.requests.get(once.key, ("", once.request))
        once.check(request)
        return key_id

    async def replace(
        self, key_id: str, before: bytes, after: bytes, mark: str = "", once: Once | None = None
    ) -> bool:
        self._ask()
        if once is not None and once.key in self.requests:
            return False
        if self.records.get(key_id, b"") != before or mark not in ("", str(self.changes)):
            return False
        if after:
            self.records[key_id] = after
        else:
            del self.records[key_id]
        if once is not None:
            self.requests[once.key] = key_id, once.request
        self.changes += 1
        self.changed.append(key_id)
        return True

    async def note_used(self, times: Mapping[str, float]) -> None:
        self._ask()
        for key_id, at in times.items():
            self.used[key_id] = max(at, self.used.get(key_id, 0.0))

    async def last_used(self, key_ids: Sequence[str]) -> list[float | None]:
        self._ask()
        return [self.used.get(key_id) for key_id in key_ids]
