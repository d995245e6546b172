"""Hands new streamers to the users most likely interested, until they have vectors of their own.

python examples/recommender_hook.py http://127.0.0.1:8000 < new-streamer-ids.txt
"""

import json
import os
import sys
from collections.abc import Callable, Iterable
from itertools import islice

from service.client import Client

USERS, TOGETHER = 100, 50


def place(client: Client, ids: Iterable[str], hand_on: Callable[[str, list[str]], None]) -> None:
    """Ask for the audience of new streamers, some at a time, and hand it on."""
    newcomers = iter(ids)
    while some := list(islice(newcomers, TOGETHER)):
        questions = [{"streamer_id": i, "users": USERS, "deadline_ms": 2000} for i in some]
        for streamer_id, line in zip(some, client.cold_starts(questions), strict=True):
            if line.answer is None:
                print(f"{streamer_id}: {line.problem}", file=sys.stderr)
            elif not line.answer.complete:
                print(f"{streamer_id}: not ready in time, ask again", file=sys.stderr)
            elif line.answer.id_embedding and line.answer.id_embedding.source != "own":
                hand_on(streamer_id, [user.user_id for user in line.answer.users or ()])


if __name__ == "__main__":
    with Client(sys.argv[1], os.environ.get("STREAMER_API_KEY")) as service:
        place(service, map(str.strip, sys.stdin), lambda i, users: print(json.dumps([i, users])))
