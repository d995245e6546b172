"""`python -m service erase ID`: erases a streamer, straight in the store."""

import argparse
import asyncio
import re
from dataclasses import asdict
from functools import partial

from model_export.contract.streamer import ID_PATTERN
from service.bootstrap.erasure import erasure_of
from service.bootstrap.find import NAMES
from service.commands.answers import answer
from service.commands.audited import audit_settings, audited
from service.commands.stores import add_data_dir, finish, opened_store
from service.engine.names.follower import remove_unused
from service.engine.work.lanes import Lanes
from service.errors import StreamerNotFound
from service.features.spaces.erasing import erase_streamer
from service.features.streamers.erasure import Erased, Known
from service.settings import Paging, Work
from service.settings.reading import read_group
from service.store.base import Delete, Refused


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whom, and where."""
    parser.add_argument("streamer_id", type=_streamer_id, metavar="ID", help="of the streamer")
    add_data_dir(parser)


def run(args: argparse.Namespace) -> int:
    """Erase it, and tell what persists where."""
    return finish(lambda: _run(args))


async def _run(args: argparse.Namespace) -> int:
    async with opened_store(args.data_dir) as store, audited(store, args.data_dir) as note:

        async def delete(streamer_id: str, expected_version: int | None) -> int:
            (outcome,) = await store.write([Delete(streamer_id, expected_version)])
            if isinstance(outcome, Refused):
                raise StreamerNotFound(f"streamer {streamer_id!r} is not stored")
            return outcome.sequence

        known = Known(
            None,
            read_group(Paging, "paging").keep_s,
            audit_settings().keep_days,
            has_files=False,
            may_have_milvus=True,
        )
        in_spaces = partial(erase_streamer, store.spaces, in_thread=asyncio.to_thread)
        erasure = erasure_of(store, Lanes(Work()), delete, known, in_spaces)
        erased = await erasure.erase(args.streamer_id, None)
        await note("erase", [args.streamer_id])
        await asyncio.to_thread(remove_unused, args.data_dir / NAMES)
    answer(args, asdict(erased), lambda: _tell(erased))
    return 0


def _tell(erased: Erased) -> None:
    was_stored = erased.sequence is not None
    print(f"{erased.streamer_id}: {'deleted' if was_stored else 'was not stored'}")
    print(f"entries of the store's log with its vectors: {erased.log_entries} removed")
    print(f"records of outreach that it was taken out of: {erased.outreach}")
    print("what persists:")
    for left in erased.persists:
        print(f"- {left.where}: {left.what}; until: {left.until}")


def _streamer_id(text: str) -> str:
    if not re.fullmatch(ID_PATTERN, text) or len(text) > 128:
        raise argparse.ArgumentTypeError(
            "must be the id of a streamer, 1 to 128 of A-Z a-z 0-9 . _ : - and not dots alone, not "
            f"{text[:40]!r}"
        )
    return text
