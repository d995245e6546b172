"""Runs the embedded store: one Valkey process on one folder, for as long as the service lives.

How the pieces keep each acknowledged write:

- A lock on the folder, held by the service *and* by the store process: two stores on one folder
  would corrupt the log, and nothing in Valkey prevents it.
- `appendfsync always`: a reply leaves the store after the fsync that covers it. What a crash can
  tear is therefore only the end of the log, and only what nobody was told is stored.
- `aof-load-truncated no`: the store doesn't cut its own log on a hunch. When it finds the end
  torn, the supervisor keeps a copy of what is about to be cut and only then allows the cut, so a
  log that was damaged in another way (a flipped length looks like a torn end) loses no bytes.
- SIGTERM from the kernel when the service dies (`launch.py`), and a session of its own, so that
  Ctrl-C reaches the service alone, which then stops the store in order.
- When the disk is full, Valkey ends rather than acknowledge. It is started again read-only, and
  made writable when there is room again.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from pathlib import Path
from typing import Literal, Self
from urllib.parse import quote

from service.errors import StoreStartFailed
from service.store.embedded.append_only_log import TornLog, check_manifest, damage_named_in
from service.store.embedded.binary import find_binary
from service.store.embedded.disk_guard import DiskGuard
from service.store.embedded.folder import FolderLock, prepare_socket, remove_socket, unusable
from service.store.embedded.inline_command import ask
from service.store.embedded.patience import Patience
from service.store.embedded.process_log import ProcessLog, ending_of
from service.store.embedded.salvage import place_of_copy, salvage
from service.store.embedded.waiting import until_it_answers
from service.store.trouble import Trouble

_log = logging.getLogger(__name__)
_LAUNCHER = Path(__file__).with_name("launch.py")
_COULD_NOT_WRITE = 1
"""With this status a Valkey that served ends itself, under `appendfsync always`, when its log
can't be written. Its last words say so too, but they may not have found room either."""

State = Literal["stopped", "starting", "ready", "read_only", "silent", "restarting"]


class EmbeddedStore:
    """A Valkey process with its data in `folder`, restarted when it dies.

    Start and stop it on the same event loop. The kernel ends the store when the *thread* that
    started it ends, so that loop must live as long as the service.

    Attributes:
        last_error: why it last failed, for people; None when it never did.
        restarts: how often it was started again.
        is_durable: it always is, by the options that it is started with.
    """

    is_durable = True

    def __init__(
        self,
        folder: Path,
        *,
        max_memory_bytes: int = 0,
        reserve_bytes: int = 32 << 20,
        patience: Patience | None = None,
        accept_data_loss: bool = False,
    ) -> None:
        """Nothing happens before `start`.

        Args:
            folder: where the data lies; made when it is not there.
            max_memory_bytes: writes are refused (StoreFull) beyond it; 0 = no limit.
            reserve_bytes: the store is read-only while the disk has less than this left.
            patience: how long to wait for what.
            accept_data_loss: start with what can be read of a damaged log, and empty when its
                manifest is gone; its files are kept.
        """
        self._folder = folder.absolute()
        self._max_memory_bytes = max_memory_bytes
        self._reserve_bytes = reserve_bytes
        self._patience = patience or Patience()
        self._accept_data_loss = accept_data_loss
        self._lock = FolderLock(self._folder)
        self._output = ProcessLog(self._folder / "store.log")
        self._socket: Path | None = None
        self._binary = Path()
        self._process: Process | None = None
        self._starting: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._supervision: asyncio.Task[None] | None = None
        self._disk = DiskGuard(
            self._folder, reserve_bytes, self._patience.first_full_s, self._patience.longest_full_s
        )
        self._writes = True
        self._state: State = "stopped"
        self._trouble: str | None = None
        self._silence = Trouble()
        self.last_error: str | None = None
        self.restarts = 0

    @property
    def url(self) -> str:
        """Where clients connect, from `start` on; the same after a restart."""
        if self._socket is None:
            raise RuntimeError("the store was not started")
        return f"unix://{quote(str(self._socket))}"

    @property
    def pid(self) -> int | None:
        """The store process; None while there is none."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process and running else None

    @property
    def state(self) -> State:
        """What the store does; read-only while its disk is full, silent when it does not answer."""
        return self._state

    def _enter(self, state: State, since_s: float | None = None) -> None:
        self._state = state
        reason = None if state == "ready" else f"the store is {state}"
        self._silence.note(None if state == "read_only" else reason, since_s)
        if state != "ready" and not self._writes:
            reason = "the store's disk is full: reads work, and writes will when it has room"
        self._trouble = reason

    def trouble(self) -> str | None:
        """What is wrong at the moment, for operators; None when the store is ready."""
        has_reason = self._state == "restarting" and self.last_error is not None
        return f"{self._trouble} (the log has the reason)" if has_reason else self._trouble

    def trouble_for_callers(self) -> str | None:
        """What is wrong, for those who have no log to look into."""
        return self._trouble

    @property
    def acknowledged_by(self) -> int | None:
        """None: it has no replicas."""
        return None

    def silence(self, longer_than_s: float = 0.0) -> str | None:
        """Why it has answered nothing for longer, for people; None while it answers."""
        return self._silence.lasting(longer_than_s)

    def begin(self) -> None:
        """Start it beside other work, on the running event loop; `start` waits for that.

        What is stored stays as it is until then: a torn log is mended for whoever waits.
        """
        if self._starting is None:
            self._starting = asyncio.create_task(self._start(), name="embedded store's start")

    async def start(self) -> None:
        """Lock the folder, start the store and wait until it answers.

        Raises:
            FolderInUse: another service owns the folder.
            StoreStartFailed: there is no binary, or the store ended or was silent for too long;
                the message has its last words.
        """
        self._wanted.set()
        self.begin()
        assert self._starting is not None
        try:
            await self._starting
        except BaseException:
            await self.stop()  # a cancellation may come when it has just started
            raise

    async def _start(self) -> None:
        self._binary = find_binary()
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            await self._lock.acquire(self._patience.lock_s)
        except OSError as error:
            raise unusable(self._folder, error) from error
        try:
            self._enter("starting")
            self._prepare()
            process = await self._launch_accepting_loss()
        except BaseException:
            await self._clean_up()
            raise
        self._supervision = asyncio.create_task(self._supervise(process), name="embedded-store")

    def _prepare(self) -> None:
        """Make the locked folder ready for a store.

        Raises:
            StoreStartFailed: it can't be made so.
        """
        try:
            self._socket = prepare_socket(self._folder)
            for left_behind in self._folder.glob("temp-rewriteaof-*"):  # by a store killed in one
                left_behind.unlink()
            self._output.rotate()
            check_manifest(self._folder, accept_data_loss=self._accept_data_loss)
        except OSError as error:
            raise unusable(self._folder, error) from error
        self._writes = self._disk.allows_writes(trial=True)

    async def stop(self) -> None:
        """Stop the store in order and let go of the folder; safe to call twice."""
        tasks = [task for task in (self._starting, self._supervision) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._starting = self._supervision = None
        await self._clean_up()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _clean_up(self) -> None:
        try:
            await self._end_process()
        finally:
            if self._socket is not None:
                remove_socket(self._socket)
                self._socket = None
            self._lock.release()
            self._enter("stopped")

    async def _end_process(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):  # it ended, and was not yet waited for
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(self._patience.stop_s):
                await process.wait()
        except TimeoutError:
            _log.error("the store did not stop within %g s: killing it", self._patience.stop_s)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    # Starting

    async def _launch_accepting_loss(self) -> Process:
        """Start the store; of a damaged log with what can be read, if that is accepted."""
        aside = place_of_copy(self._folder)
        while True:
            try:
                return await self._launch()
            except StoreStartFailed:
                output = self._output.latest()
                if not self._accept_data_loss or damage_named_in(output, self._folder) is None:
                    raise
                await self._wanted.wait()
                await asyncio.to_thread(salvage, self._folder, output, aside)

    async def _launch(self) -> Process:
        """Start the store, mending a torn log, and wait until it answers."""
        try:
            process = await self._spawn(cut_torn_log=False)
        except StoreStartFailed:
            torn = TornLog.named_in(self._output.latest(), self._folder)
            if torn is None:
                raise
            await self._wanted.wait()
            await asyncio.to_thread(torn.keep_copy)
            process = await self._spawn(cut_torn_log=True)
            await asyncio.to_thread(torn.keep_only_what_was_cut, self._output.latest())
        self._enter("ready" if self._writes else "read_only")
        return process

    async def _spawn(self, *, cut_torn_log: bool) -> Process:
        """Start a process and wait until it answers.

        Raises:
            StoreStartFailed: it did not come up; it is gone then.
        """
        try:
            with self._output.open() as output:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()),
                    str(self._binary), *self._options(cut_torn_log),
                    stdin=DEVNULL, stdout=output, stderr=output,
                    pass_fds=[self._lock.fd], start_new_session=True,
                )  # fmt: skip
        except OSError as error:
            raise StoreStartFailed(f"the store can't be started: {error}") from error
        self._process = process
        self._lock.sign(process.pid)
        try:
            answers = await until_it_answers(self._socket, process, self._patience)
        except TimeoutError:
            await self._end_process()
            raise StoreStartFailed(
                f"the store did not answer within {self._patience.start_s:g} s; "
                f"{self._output.last_words()}"
            ) from None
        if not answers:
            last_words = f"the store {ending_of(process.returncode)}; {self._output.last_words()}"
            damage = damage_named_in(self._output.latest(), self._folder)
            raise StoreStartFailed(damage or last_words)
        return process

    def _options(self, cut_torn_log: bool) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._folder),
            "databases": "1",
            "save": "",
            "appendonly": "yes",
            "appendfsync": "always",
            "no-appendfsync-on-rewrite": "no",
            "aof-load-truncated": "yes" if cut_torn_log else "no",
            # Vectors don't get smaller, and the log is read in two thirds of the time without.
            "rdbcompression": "no",
            # A record in one piece: a third less memory than a table of its fields.
            "hash-max-listpack-entries": "32",
            "hash-max-listpack-value": "8192",
            "maxmemory": str(self._max_memory_bytes),
            "maxmemory-policy": "noeviction",
            # Valkey's own way to refuse writes and nothing else: it waits for a replica.
            "min-replicas-to-write": "0" if self._writes else "1",
        }
        return [part for name, value in options.items() for part in (f"--{name}", value)]

    # Watching

    async def _supervise(self, process: Process) -> None:
        """Start the store again whenever it ends, and look after the disk meanwhile."""
        early_ends, begun = 0, time.monotonic()
        while True:
            try:
                await self._watch(process)
            except Exception as error:  # noqa: BLE001 - nobody else looks after the store
                self.last_error = f"the store can't be looked after: {error}"
                _log.error(self.last_error)
            if process.returncode is None:
                continue
            self._enter("restarting")
            early_ends = early_ends + 1 if time.monotonic() - begun < self._patience.steady_s else 0
            process = await self._restart(early_ends)
            begun = time.monotonic()
            self.restarts += 1

    async def _restart(self, early_ends: int) -> Process:
        """Start the store, however often that takes."""
        delay_s = self._patience.first_restart_s * 2 ** min(early_ends, 30)
        while True:
            await asyncio.sleep(min(delay_s, self._patience.longest_restart_s))
            delay_s *= 2
            try:
                return await self._launch()
            except Exception as error:  # noqa: BLE001 - whatever it is may pass
                self.last_error = str(error)
                _log.error("the store can't be restarted: %s", error)
                await self._end_process()

    async def _watch(self, process: Process) -> None:
        """Return when the store has ended, with the reason in `last_error`."""
        ended = asyncio.ensure_future(process.wait())
        try:
            while not (await asyncio.wait([ended], timeout=self._patience.watch_s))[0]:
                await self._look_after_it()
        finally:
            ended.cancel()
        if process.returncode == _COULD_NOT_WRITE:
            self._disk.store_could_not_write()
        self._writes = self._disk.allows_writes(trial=True)
        self.last_error = f"the store {ending_of(process.returncode)}; {self._output.last_words()}"
        _log.error("%s; starting it again", self.last_error)

    async def _look_after_it(self) -> None:
        """Make the store read-only before its disk is full, and writable when there is room."""
        writes, began = self._disk.allows_writes(trial=not self._writes), time.monotonic()
        try:
            command = f"CONFIG SET min-replicas-to-write {int(not writes)}"
            answer = await ask(self._socket, command, self._patience.answer_s)
        except OSError as error:
            answer = repr(error).encode()
        before = self.state
        if answer == b"+OK":
            self._writes = writes
            self._enter("ready" if writes else "read_only")
        else:
            self._enter("silent", began)
            self.last_error = f"the store does not answer as it should: {answer.decode()}"
        if self.state != before:
            _log.warning("the store was %s and is %s", before, self.state)
