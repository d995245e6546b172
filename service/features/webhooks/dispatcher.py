"""Which process delivers webhooks, and its workers.

The one that delivers changes a document every two seconds. Another one takes over once that stood
still for six by its own monotonic clock: no clock that is set matters.
"""

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Mapping

from service.engine.work.background import Background
from service.errors import Unavailable
from service.features.webhooks.records import ENDPOINTS, MOST_ENDPOINTS
from service.features.webhooks.worker import Gone, Means, Worker
from service.logs.repeats import Repeats
from service.store.documents import DELIVERING, Put, RevisionConflict

_log = logging.getLogger(__name__)
_BEAT_S = 2.0
_STILL_S = 6.0
_RETRY_S = 1.0


class Dispatcher:
    """Delivers while this process is the one that does.

    Attributes:
        is_leading: whether it is.
        workers: by endpoint, while it is.
        means: of all workers.
    """

    def __init__(self, means: Means) -> None:
        """Deliver nothing before `start`."""
        self.means = means
        self.is_leading = False
        self.workers: dict[str, Worker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._owner = secrets.token_hex(8)
        self._seen: tuple[int, float] = (0, 0.0)
        self._woken = asyncio.Event()
        self._background = Background("webhooks")
        self._repeats = Repeats()

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._background.start(self._run())

    async def stop(self) -> None:
        """End, and let another process go on."""
        await self._background.stop()

    def wake(self) -> None:
        """An endpoint was changed here."""
        self._woken.set()

    async def _run(self) -> None:
        while True:
            try:
                if revision := await self._claim():
                    await self._lead(revision)
            except RevisionConflict:
                _log.info("webhooks are delivered by another process")
            except Unavailable as error:
                if self._repeats.is_new("webhooks", error.detail):
                    _log.warning("webhooks can't be delivered: %s", error.detail)
            except Exception as error:  # noqa: BLE001 - or they would silently stand still
                if self._repeats.is_new("webhooks", error):
                    _log.exception("webhooks can't be delivered")
            await asyncio.sleep(_RETRY_S)

    async def _claim(self) -> int | None:
        """Become the one that delivers, if nobody is: the revision of the document that says so."""
        (found,) = await self.means.documents.get(DELIVERING, ["leader"])
        now = time.monotonic()
        revision = 0 if found is None else found.revision
        if found is not None and self._seen[0] != revision:
            self._seen = (revision, now)
            return None
        if found is not None and now - self._seen[1] < _STILL_S:
            return None
        return await self._beat(revision)

    async def _beat(self, revision: int) -> int:
        body = json.dumps({"owner": self._owner}).encode()
        (following,) = await self.means.documents.change(
            [Put(DELIVERING, "leader", body, revision)]
        )
        return following

    async def _lead(self, revision: int) -> None:
        _log.info("webhooks are delivered by this process")
        self.is_leading = True
        beaten = time.monotonic()
        try:
            while True:
                if time.monotonic() - beaten >= _BEAT_S:
                    beaten = time.monotonic()
                    revision = await self._beat(revision)
                await self._look()
                self._woken.clear()
                try:
                    async with asyncio.timeout(_RETRY_S):
                        await self._woken.wait()
                except TimeoutError:
                    pass
        finally:
            self.is_leading = False
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            self._tasks.clear()
            self.workers.clear()
            await self._leave(revision)

    async def _leave(self, revision: int) -> None:
        """Let another process deliver at once; one that can't be told waits."""
        try:
            await self.means.documents.change([Put(DELIVERING, "leader", None, revision)])
        except (RevisionConflict, Unavailable):
            return

    async def _look(self) -> None:
        """Have a worker for each endpoint, and tell it of changes."""
        found = await self.means.documents.page(ENDPOINTS, None, 2 * MOST_ENDPOINTS)
        revisions: Mapping[str, int] = {one.document_id: one.revision for one in found}
        for name, task in list(self._tasks.items()):
            if task.done():
                del self._tasks[name], self.workers[name]
            elif name not in revisions:
                task.cancel()
        for name, revision in revisions.items():
            if name in self.workers:
                self.workers[name].look(revision)
            else:
                worker = Worker(self.means, name)
                self.workers[name] = worker
                self._tasks[name] = asyncio.create_task(
                    self._work(worker, name), name=f"webhook {name}"
                )

    async def _work(self, worker: Worker, name: str) -> None:
        """Run a worker to its end; another one begins anew with the next look."""
        try:
            await worker.run()
        except Gone:
            return
        except RevisionConflict as error:
            _log.info("the webhook %s was changed by others: %s", name, error)
        except Unavailable as error:
            if self._repeats.is_new(name, error.detail):
                _log.warning("the webhook %s can't be delivered: %s", name, error.detail)
        except Exception as error:  # noqa: BLE001 - one endpoint must not stop the others
            if self._repeats.is_new(name, error):
                _log.exception("the webhook %s can't be delivered", name)
