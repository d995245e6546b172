"""`python -m service compact`: pack the stored profiles by a dictionary that is made from them."""

import argparse
from dataclasses import asdict

from service.commands.answers import answer
from service.commands.progress import Progress
from service.commands.stores import add_data_dir, finish, opened_store
from service.store.redis.packing.repacking import Repacking


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the store."""
    add_data_dir(parser)


def run(args: argparse.Namespace) -> int:
    """Pack, while services run on the store or not."""
    return finish(lambda: _compact(args))


async def _compact(args: argparse.Namespace) -> int:
    async with opened_store(args.data_dir) as store:
        with Progress("compact", "streamers") as progress:
            packed = await Repacking(store).run(progress.to)

    def show() -> None:
        made = "made now" if packed.is_new else "in use"
        print(
            f"{packed.streamers} streamers: {packed.bytes_before / 1e6:.1f} MB of profiles and "
            f"facets take {packed.bytes_after / 1e6:.1f} MB, by dictionary {packed.dictionary} "
            f"({made})"
        )

    answer(args, asdict(packed), show)
    return 0
