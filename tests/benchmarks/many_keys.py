"""10,000 API keys in a real store: created over HTTP, used, listed, and revoked on another replica.

    python -m tests.benchmarks.many_keys

Two services on one Valkey server that writes to disk before it answers. `/livez` is asked all the
time on the replica that creates keys: nobody waits longer for it because there are many. The exit
status is 1 when a key is not known, is listed twice or not at all, or when the other replica takes
longer than a second to refuse a revoked one.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from service.maxima import MOST_UNITS
from tests.bundles import write_bundle
from tests.service.process import Service, wait_until
from tests.service.valkey import Server

REVOKED_WITHIN_S = 1.0
_ADMIN = "the-admin-of-this-benchmark"
_BEAT_S = 0.02


def bearer(key: str) -> dict[str, str]:
    """The header with a key."""
    return {"Authorization": f"Bearer {key}"}


async def create(url: str, count: int, connections: int) -> tuple[list[dict[str, str]], float]:
    """Keys, and the longest time that `/livez` took meanwhile, in seconds."""
    body = {"name": "one of many", "scopes": ["streamers:read"]}
    made: list[dict[str, str]] = []
    worst_s = 0.0
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as client:

        async def work() -> None:
            while len(made) < count:
                answer = await client.post("/v1/keys", json=body, headers=bearer(_ADMIN))
                answer.raise_for_status()
                made.append(answer.json())

        async def beat() -> None:
            nonlocal worst_s
            while True:
                began = time.perf_counter()
                (await client.get("/livez")).raise_for_status()
                worst_s = max(worst_s, time.perf_counter() - began)
                await asyncio.sleep(_BEAT_S)

        beating = asyncio.create_task(beat())
        await asyncio.gather(*(work() for _ in range(connections)))
        beating.cancel()
    return made, worst_s


async def statuses(url: str, keys: list[dict[str, str]], connections: int) -> list[int]:
    """What a question with each of the keys is answered with."""
    found: list[int] = []
    left = iter(keys)
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as client:

        async def work() -> None:
            for key in left:
                answer = await client.get("/v1/streamers?limit=1", headers=bearer(key["key"]))
                found.append(answer.status_code)

        await asyncio.gather(*(work() for _ in range(connections)))
    return found


def pages(client: httpx.Client) -> tuple[list[str], list[float]]:
    """Ids of all keys in the order of the pages, and the seconds that each page took."""
    ids: list[str] = []
    took: list[float] = []
    cursor: dict[str, str] = {}
    while True:
        began = time.perf_counter()
        answer = client.get("/v1/keys", params={"limit": "1000", **cursor}, headers=bearer(_ADMIN))
        answer.raise_for_status()
        took.append(time.perf_counter() - began)
        page = answer.json()
        ids += [key["key_id"] for key in page["keys"]]
        if page["next_cursor"] is None:
            return ids, took
        cursor = {"cursor": page["next_cursor"]}


def revoked_after(one: httpx.Client, other: httpx.Client, key: dict[str, str]) -> float:
    """Seconds from the answer of one replica to the refusal by the other."""
    one.delete(f"/v1/keys/{key['key_id']}", headers=bearer(_ADMIN)).raise_for_status()
    began = time.perf_counter()
    while other.get("/v1/streamers?limit=1", headers=bearer(key["key"])).status_code == 200:
        time.sleep(0.005)
    return time.perf_counter() - began


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.many_keys")
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--revoked", type=int, default=20)
    parser.add_argument("--connections", type=int, default=16)
    args = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write_bundle(folder / "bundle")
        server = Server(folder)
        server.start()
        stack.callback(server.kill)
        shared: dict[str, Any] = {"REDIS_URL": server.url, "STREAMER_API_KEY": _ADMIN}
        shared["STREAMER_RATE_LIMITS__STREAMERS_READ"] = str(MOST_UNITS)
        one, other = (
            stack.enter_context(Service(folder / "bundle", folder / name, **shared))
            for name in ("one", "other")
        )
        for service in (one, other):
            service.wait_until_ready()
        began = time.perf_counter()
        made, worst_s = asyncio.run(create(one.url, args.keys, args.connections))
        rate = len(made) / (time.perf_counter() - began)
        print(
            f"{len(made):,} keys created, {rate:,.0f}/s; /livez took at most {worst_s * 1e3:.0f} ms"
        )
        last = bearer(made[-1]["key"])
        wait_until(
            lambda: other.client.get("/v1/streamers", headers=last).status_code == 200, "known"
        )
        began = time.perf_counter()
        answered = asyncio.run(statuses(other.url, made, args.connections))
        rate = len(answered) / (time.perf_counter() - began)
        known = answered.count(200)
        print(f"{known:,} of them known to the other replica, {rate:,.0f} questions/s")
        ids, took = pages(one.client)
        print(f"{len(ids):,} listed in {len(took)} pages of {statistics.median(took) * 1e3:.0f} ms")
        seconds = [revoked_after(one.client, other.client, key) for key in made[: args.revoked]]
        print(
            f"{args.revoked} revoked one by one: refused by the other replica after "
            f"{statistics.median(seconds):.2f} s, at most {max(seconds):.2f} s"
        )
        listed = sorted(key["key_id"] for key in made)
        wrong = known != len(made) or ids != listed or max(seconds) > REVOKED_WITHIN_S
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
