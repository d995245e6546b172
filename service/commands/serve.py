"""`python -m service serve`: check, listen, answer, and stop in order."""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Generator
from importlib import import_module
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from pydantic import ValidationError
from pydantic_settings import SettingsError

from model_export.contract.errors import ContractError
from service.errors import ServiceError, StartupError
from service.settings import Settings
from service.store.embedded.supervisor import EmbeddedStore

_log = logging.getLogger(__name__)
_OPTIONS = ("bundle", "data_dir", "host", "port", "reencode", "accept_data_loss")
_GRACE_S = 5  # for requests under way; a container is killed 10 s after it was told to stop


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments win over the environment (STREAMER_...)."""
    parser.add_argument("--bundle", type=Path, help="the exported model (STREAMER_BUNDLE)")
    parser.add_argument(
        "--data-dir", type=Path, help="where the embedded store lies (STREAMER_DATA_DIR, ./data)"
    )
    parser.add_argument("--host", help="address to listen on (STREAMER_HOST, 127.0.0.1)")
    parser.add_argument("--port", type=int, help="0 = any free one (STREAMER_PORT, 8000)")
    parser.add_argument(
        "--reencode",
        action="store_true",
        default=None,
        help="encode stored profiles again when they hold another model's vectors",
    )
    parser.add_argument(
        "--accept-data-loss",
        action="store_true",
        default=None,
        help="start on a store that lacks acknowledged writes, with what is left",
    )
    parser.add_argument(
        "--log-level", default="info", choices=["debug", "info", "warning", "error"]
    )


def settings_of(args: argparse.Namespace) -> Settings:
    """Settings from arguments and environment.

    Raises:
        StartupError: one is missing or wrong; names it.
    """
    given: dict[str, Any] = {n: getattr(args, n) for n in _OPTIONS if getattr(args, n) is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        lines: list[str] = []
        for e in error.errors():
            name = "__".join(str(part) for part in e["loc"])
            option = f"--{name.replace('_', '-')} or " if name in _OPTIONS else ""
            lines.append(f"{option}STREAMER_{name.upper()}: {e['msg'].lower()}")
        raise StartupError("; ".join(lines)) from None
    except SettingsError as error:  # a group of settings that is not JSON
        raise StartupError(f"{error}: {error.__cause__}") from None


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM."""
    logging.basicConfig(
        level=args.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("faiss.loader").setLevel(logging.WARNING)  # tells what it tried to load
    try:
        settings = settings_of(args)
        listener = _listen(settings.host, settings.port)
        with listener, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, listener, args.log_level))
    except asyncio.CancelledError:
        return leave(130)  # stopped before it was up
    except (ServiceError, ContractError) as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)  # one line
        return leave(1)
    return leave(0)


def leave(status: int) -> int:
    """The status; with it the process ends here, if a thread that can't be told to stop still runs.

    A daemon that comes back from FAISS while the interpreter ends would abort the process (before
    Python 3.14: https://github.com/python/cpython/issues/87135).
    """
    if any(thread.daemon for thread in threading.enumerate()):
        logging.shutdown()
        for output in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # it may be closed, or nobody reads it any more
                output.flush()
        os._exit(status)
    return status


def _listen(host: str, port: int) -> socket.socket:
    """Take the port before anything else is started; who connects early is answered later.

    Raises:
        StartupError: the address can't be used.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            # Two sockets may be bound to one port while neither listens.
            listener.listen()
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        raise StartupError(
            f"can't listen on {host}:{port} ({error.strerror}); choose another --port or end the "
            "process that has it"
        ) from error
    return listener


async def _serve(settings: Settings, listener: socket.socket, log_level: str) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    server: _Server | None = None

    def stop(number: signal.Signals) -> None:
        _log.info("stopping after %s", number.name)
        if server is None:
            task.cancel()  # the state is being opened
        else:
            server.should_exit = True  # later, while the state is being closed, it changes nothing

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    async with contextlib.AsyncExitStack() as stack:
        embedded = _begun(settings, stack)
        # Late, so that a wrong argument is answered at once and not after loading ONNX Runtime; in
        # a thread, since the store reads its log meanwhile.
        app = await asyncio.to_thread(import_module, "service.app")
        services = await stack.enter_async_context(app.open_services(settings, embedded))
        server = _Server(
            uvicorn.Config(
                app.create_app(settings, services),
                lifespan="on",
                log_level=log_level,
                access_log=log_level == "debug",
                timeout_graceful_shutdown=_GRACE_S,
                server_header=False,
            )
        )
        _log.info("listening on %s", _url(listener))
        await server.serve(sockets=[listener])


def _begun(settings: Settings, stack: contextlib.AsyncExitStack) -> EmbeddedStore | None:
    """The embedded store, where it has a log to read: that takes as long as everything else."""
    if settings.redis_url is not None or not settings.store_folder.exists():
        return None
    embedded = EmbeddedStore(settings.store_folder, accept_data_loss=settings.accept_data_loss)
    embedded.begin()
    stack.push_async_callback(embedded.stop)
    return embedded


class _Server(uvicorn.Server):
    """Leaves signals alone: uvicorn's own handlers give up all work at the second one."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Nothing; `_serve` has its handlers."""
        yield


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
