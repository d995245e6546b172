"""`python -m service backup`: copy everything that is stored to a folder; `restore` reads it."""

import argparse
import sys
import time
from pathlib import Path

from service.commands.arguments import using
from service.commands.stores import add_data_dir, finish, opened_store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the source and the target."""
    add_data_dir(parser)
    parser.add_argument("--out", type=Path, required=True, help="the folder to create")


def run(args: argparse.Namespace) -> int:
    """Write the backup, while a service runs on the store or not."""
    out, begun = Path(args.out).absolute(), time.monotonic()
    if out.exists():
        print(f"error: {out} exists already: choose a new folder by --out", file=sys.stderr)
        return 1
    status = finish(lambda: _back_up(args.data_dir, out))
    if status == 0:
        size = sum(path.stat().st_size for path in out.iterdir())
        print(f"{out}: {size / 1e6:.1f} MB in {time.monotonic() - begun:.1f} s")
    return status


async def _back_up(data_dir: Path, out: Path) -> int:
    async with opened_store(data_dir) as store:
        with using("--out", out, "choose a new folder where files can be written"):
            copied = await store.back_up(out)
    print(
        f"{copied.streamers} streamers of model {copied.model_version or 'none'}, as of sequence "
        f"{copied.sequence}"
    )
    return 0
