"""`python -m service serve`: check, listen, answer, and stop in order."""

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import threading
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

from model_export.contract.errors import ContractError
from service.engine.work import heap
from service.engine.work.background import Background
from service.errors import ServiceError, StartupError, in_one_line
from service.http.connections import connection_limit
from service.http.headers.request_ids import IdsInLog
from service.http.lifecycle import Lifecycle
from service.http.server import HttpServer
from service.logs.formats import LogHandler, configure
from service.logs.requests import RequestLog
from service.settings import Settings
from service.settings.reading import read_settings, without_effect
from service.store.embedded.append_only_log import has_log
from service.store.embedded.supervisor import EmbeddedStore
from service.telemetry.opening import open_tracer
from service.telemetry.spans import Tracer

if TYPE_CHECKING:
    from service.services import Services  # at runtime it comes with all the rest

_log = logging.getLogger(__name__)
_SWITCH_S = 0.0005
"""A thread that computes in Python lets others do so that soon. A question gives the interpreter
away for each search and each array, and waits for it as often: 5 ms is Python's own value."""
_OPTIONS = ("bundle", "data_dir", "host", "port", "reencode", "accept_data_loss")


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
    return read_settings(given)


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM."""
    logging.getLogger("faiss.loader").setLevel(logging.WARNING)  # tells what it tried to load
    heap.keep_small_blocks()
    sys.setswitchinterval(_SWITCH_S)
    try:
        settings = settings_of(args)
        log = configure(settings.log.format, args.log_level.upper(), [IdsInLog()])
        for said in without_effect(os.environ):
            _log.warning(said)
        with contextlib.ExitStack() as stack:
            tracer = open_tracer(os.environ, stack)
            listener = stack.enter_context(_listen(settings.host, settings.port))
            runner = stack.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))
            runner.run(_serve(settings, listener, args.log_level, log, tracer))
    except asyncio.CancelledError:
        return leave(0)  # stopped before it was up
    except (ServiceError, ContractError) as error:
        print("error:", in_one_line(error), file=sys.stderr)
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
    """Take the port before anything else is started.

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
            f"can't listen on {host}:{port} ({error.strerror}); choose another --host or --port, "
            "or end the process that has it"
        ) from error
    return listener


async def _serve(
    settings: Settings,
    listener: socket.socket,
    log_level: str,
    log: LogHandler,
    tracer: Tracer | None,
) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    lifecycle = Lifecycle(tracer)
    lifecycle.traffic.collectors.append(log.records)
    limit = connection_limit(settings.server.max_connections)
    server = HttpServer(lifecycle, settings.server, limit, log_level)

    def stop(number: signal.Signals) -> None:
        _log.info("stopping after %s", number.name)
        is_impatient = number == signal.SIGINT or lifecycle.is_draining
        if not lifecycle.is_serving and not lifecycle.is_draining:
            task.cancel()
        server.stop(0 if is_impatient else settings.server.drain_s)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    async with contextlib.AsyncExitStack() as stack:
        if settings.log.requests:
            requests = RequestLog(log.write, settings.log.format)
            lifecycle.traffic.log = stack.enter_context(requests)
        embedded = _begun(settings, stack)
        await stack.enter_async_context(server.listening(listener))
        url = _url(listener)
        _log.info("listening on %s (it starts: /startupz tells how far it is)", url)
        # Late, so that a wrong argument is answered at once and not after loading ONNX Runtime; in
        # a thread, since the store reads its log meanwhile.
        app = await asyncio.to_thread(_import_app)
        opening = app.open_services(settings, embedded, lifecycle.tell, tracer)
        services = await stack.enter_async_context(opening)
        lifecycle.serve(app.create_app(settings, services, lifecycle), {"services": services})
        # A full collection stops the event loop for some 100 ms while a large body is in memory. It
        # is for this process alone to say so: whoever opens services in another frees them again.
        gc.freeze()
        gc.set_threshold(5000, 10, 200)
        freed = Background("free memory")
        freed.start(heap.give_back())
        stack.push_async_callback(freed.stop)
        _tell(settings, services, limit)
        _log.info("answering on %s", url)
        await server.wait_closed()


def _import_app() -> Any:
    """Load `service.app` without looking for garbage, which would take a fifth of the time."""
    gc.disable()
    try:
        return import_module("service.app")
    finally:
        gc.freeze()
        gc.enable()


def _tell(settings: Settings, services: "Services", connections: int) -> None:
    """Log what is served."""
    serving, limits = services.operations.serving, settings.limits
    manifest = serving.manifest
    towers = ", ".join(f"{spec.name} ({spec.kind})" for spec in serving.towers.specs)
    _log.info(
        "model %s of %s: %d dimensions, %d of content; towers: %s; on %s",
        manifest.model_version,
        settings.bundle,
        manifest.dim,
        manifest.content_dim,
        towers or "none",
        serving.device,
    )
    where = settings.data_dir if settings.redis_url is None else "REDIS_URL"
    _log.info("store: %s, %s", services.operations.store_name, where)
    _log.info(
        "limits: %d connections, %d bytes a body, %d lines and %d bytes a bulk, %d hits",
        connections,
        limits.body_limit_bytes,
        limits.bulk_lines,
        limits.bulk_body_limit_bytes,
        limits.max_k,
    )


def _begun(settings: Settings, stack: contextlib.AsyncExitStack) -> EmbeddedStore | None:
    """The embedded store, where it has a log to read: that takes as long as everything else."""
    if settings.redis_url is not None or not has_log(settings.store_folder):
        return None
    embedded = EmbeddedStore(settings.store_folder, accept_data_loss=settings.accept_data_loss)
    embedded.begin()
    stack.push_async_callback(embedded.stop)
    return embedded


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
