"""A service in small, to be killed: it owns an embedded store and writes to it without pause.

    python -m tests.reliability.store_owner FOLDER

Prints one JSON line for the start, then one for each write that is about to be sent and one for
each that was acknowledged.
"""

import asyncio
import json
import random
import sys
from pathlib import Path
from typing import Any

from service.store.base import Delete, Written
from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis.client import Limits
from service.store.redis.store import RedisStore
from tests.service.store.records import upsert

WRITERS = 6
IDS_PER_WRITER = 5
WHOLE_LOG = Limits(log_entries=1_000_000)


def say(**fields: Any) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


async def write_for_ever(store: RedisStore, writer: int) -> None:
    step = 0
    while True:
        step += 1
        i, text = f"w{writer}-{random.randrange(IDS_PER_WRITER)}", f"{step}"
        state = None if random.random() < 0.3 else text
        say(sent=i, state=state)
        (outcome,) = await store.write([Delete(i) if state is None else upsert(i, text)])
        if isinstance(outcome, Written):
            say(acknowledged=i, state=state, version=outcome.sequence)
        else:
            say(refused=i)


async def main(folder: Path) -> None:
    async with EmbeddedStore(folder) as embedded:
        store = await RedisStore(embedded.url, limits=WHOLE_LOG, trouble=embedded.trouble).open()
        say(store_pid=embedded.pid, last=(await store.position()).sequence)
        async with asyncio.TaskGroup() as tasks:
            for writer in range(WRITERS):
                tasks.create_task(write_for_ever(store, writer))


if __name__ == "__main__":
    try:
        asyncio.run(main(Path(sys.argv[1])))
    except KeyboardInterrupt:
        say(stopped=True)
