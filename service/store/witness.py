"""What a store acknowledged, remembered outside of it.

A log that was cut, or a folder that was removed, looks like a shorter or an empty store. The
witness knows better: a small file beside the store, with a position that the store had on disk
before the file was written. So no crash of either makes the witness newer than the store.
"""

import asyncio
import hashlib
import json
import logging
import os
import secrets
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from service.errors import DataLost, StoreUnavailable
from service.files.checksummed import sync_folder
from service.store.base import Position, StreamerStore

_log = logging.getLogger(__name__)
_NAME = "acknowledged"
_EVERY_S = 1.0
_ACCOUNT = ("username", "password")
_ANOTHER = "another store was set in the place of the one before"


class Witness:
    """A file with the last known position of one store.

    Attributes:
        path: the file.
    """

    def __init__(self, data_dir: Path, url: str | None = None) -> None:
        """Of the embedded store in `data_dir`, or of the external one at `url`."""
        self._is_external = url is not None
        self.path = data_dir / _NAME
        self._before: Path | None = None  # its name in release 0.1.0, which had the password in it
        if url is not None:
            self.path = data_dir / f"{_NAME}-{_short(_without_account(url))}"
            before = data_dir / f"{_NAME}-{_short(url)}"
            self._before = before if before != self.path else None

    def read(self) -> Position | None:
        """What was written last; None where nothing readable is."""
        path = self.path if self._before is None or self.path.exists() else self._before
        try:
            body, _, digest = path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.warning("%s can't be read: %s", path, error.strerror)
            return None
        if digest != _digest(body):
            _log.warning("%s is damaged and is ignored", path)
            return None
        found = json.loads(body)
        return Position(found["epoch"], found["sequence"], found["mark"])

    def last_number(self, snapshot: Position | None) -> int:
        """The highest sequence number that this or a saved index knows to have been given."""
        known = [each.sequence for each in (self.read(), snapshot) if each is not None]
        return max([0, *known])

    def write(self, position: Position) -> None:
        """Replace it; on disk when this returns.

        Raises:
            OSError: it can't be written; the one before stays.
        """
        body = json.dumps(vars(position)).encode()
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self.path.with_name(f".{self.path.name}-{secrets.token_hex(4)}")
        try:
            with new.open("xb") as file:
                file.write(body + b"\n" + _digest(body))
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path)
            sync_folder(self.path.parent)
        finally:
            new.unlink(missing_ok=True)
        if self._before is not None:
            self._before.unlink(missing_ok=True)

    def remove(self) -> None:
        """Forget it, before the store is replaced on purpose."""
        self.path.unlink(missing_ok=True)
        if self._before is not None:
            self._before.unlink(missing_ok=True)

    def check(self, head: Position, snapshot: Position | None) -> None:
        """Compare what a store holds with what it acknowledged.

        Args:
            head: where the store's log ends.
            snapshot: up to where a saved index is complete, which is evidence as well.

        Raises:
            DataLost: it acknowledged more.
        """
        known = self.read()
        why = known and _lost(known, head, may_be_replaced=self._is_external)
        if why is None and snapshot is not None and (known is None or snapshot.epoch == head.epoch):
            why = _lost(snapshot, head, may_be_replaced=True)
        if why == _ANOTHER:
            why += f" (if an older release restored a backup here, remove the file {self.path})"
        if why is not None:
            raise DataLost(
                f"the store has lost acknowledged writes: {why}; put a backup back with `python -m "
                "service restore BACKUP`, or start with --accept-data-loss to go on with what is "
                "left"
            )


def _lost(known: Position, head: Position, *, may_be_replaced: bool) -> str | None:
    """Why a store that once was at `known` and now ends at `head` lacks something."""
    if known.sequence == 0:
        return None
    if head.sequence == 0:
        return f"it is empty, and sequence {known.sequence} was acknowledged"
    if known.epoch != head.epoch:
        return None if may_be_replaced else _ANOTHER
    if head.sequence < known.sequence:
        return f"it ends at sequence {head.sequence}, and {known.sequence} was acknowledged"
    if head.sequence == known.sequence and known.mark and head.mark != known.mark:
        return f"it was set back and written anew up to sequence {head.sequence}"
    return None


class WitnessKeeper:
    """Keeps a witness up to date, a second behind at most, and exactly at the end."""

    def __init__(self, store: StreamerStore, witness: Witness) -> None:
        """Write what `store` says to `witness`, from `start` on."""
        self._store = store
        self._witness = witness
        self._last: Position | None = None
        self._failed = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._task = asyncio.create_task(self._run(), name="witness of the store")

    async def stop(self) -> None:
        """Write it a last time."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._note()

    async def _run(self) -> None:
        while True:
            await self._note()
            await asyncio.sleep(_EVERY_S)

    async def _note(self) -> None:
        try:
            head = await self._store.position(confirmed=True)
            if head != self._last:
                await asyncio.to_thread(self._witness.write, head)
                self._last = head
            self._failed = False
        except StoreUnavailable:
            pass  # it acknowledges nothing meanwhile
        except Exception as error:  # noqa: BLE001 - in a second it is tried again
            if not self._failed:
                _log.error("%s can't be written: %s", self._witness.path, error)
            self._failed = True


def _without_account(url: str) -> str:
    """The URL by which a store stays the same one, whoever logs in and by which password."""
    parts = urlsplit(url)
    query = [pair for pair in parse_qsl(parts.query, True) if pair[0] not in _ACCOUNT]
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=host, query=urlencode(query)))


def _short(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()[:12]


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode() + b"\n"
