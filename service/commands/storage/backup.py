"""`python -m service backup`: copy everything that is stored to a folder; `restore` reads it."""

import argparse
import errno
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from service.commands.answers import answer
from service.commands.arguments import using
from service.commands.progress import Progress
from service.commands.stopping import interruptible
from service.commands.stores import add_data_dir, finish, opened_store
from service.files.checksummed import remove_left

_OF_METRICS = "choose a file in a folder that can be written"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the source and the target."""
    add_data_dir(parser)
    parser.add_argument("--out", type=Path, required=True, help="the folder to create")
    parser.add_argument(
        "--metrics",
        type=Path,
        help="tell when, and how large, in this file, for the textfile collector of node_exporter",
    )


def run(args: argparse.Namespace) -> int:
    """Write the backup, while a service runs on the store or not."""
    out = Path(args.out).absolute()
    if out.exists():
        print(f"error: {out} exists already: choose a new folder by --out", file=sys.stderr)
        return 1
    with interruptible():
        remove_left(out.parent)
        return finish(lambda: _back_up(args, out))


async def _back_up(args: argparse.Namespace, out: Path) -> int:
    begun, at = time.monotonic(), time.time()
    if args.metrics is not None:
        with using("--metrics", args.metrics, _OF_METRICS):  # before the work, not after
            _check_writable(args.metrics)
    async with opened_store(args.data_dir) as store:
        remedy = "choose a new folder where files can be written"
        with using("--out", out, remedy), Progress("backup", "streamers") as progress:
            copied = await store.back_up(out, progress.to)
    size, took_s = _size(out), time.monotonic() - begun
    if args.metrics is not None:
        with using("--metrics", args.metrics, _OF_METRICS):
            _write_metrics(args.metrics, at, size)

    def show() -> None:
        print(
            f"{copied.streamers} streamers of model {copied.model_version or 'none'}, as of "
            f"sequence {copied.sequence}"
        )
        print(f"{out}: {size / 1e6:.1f} MB in {took_s:.1f} s")

    fields = {"path": out, "bytes": size, "took_s": round(took_s, 3), **asdict(copied)}
    answer(args, fields, show)
    return 0


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def _check_writable(path: Path) -> None:
    folder = path.absolute().parent
    folder.stat()
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def _write_metrics(path: Path, at: float, size: int) -> None:
    registry = CollectorRegistry()
    Gauge(
        "streamer_backup_timestamp_seconds",
        "When the last backup that was made began: it has all that was written before.",
        registry=registry,
    ).set(at)
    Gauge("streamer_backup_bytes", "Size of the last backup.", registry=registry).set(size)
    write_to_textfile(str(path), registry)
