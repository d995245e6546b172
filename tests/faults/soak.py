"""kill -9 of the service, its store and both, again and again, under writes, bulk writes and jobs.

    python -m tests.faults.soak --rounds 200

After every round the service is compared with everything that it ever acknowledged.
"""

import argparse
import itertools
import json
import random
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.support.api import NDJSON, Api
from tests.support.bundles import write_bundle
from tests.support.machine import free_port
from tests.support.service import Service, wait_until

VICTIMS = ("service", "store", "service and store", "store and service")
JOBS = ("import", "export", "rebuild")
WRITERS = 4
IDS_PER_WRITER = 30
SETTINGS = {
    "STREAMER_DUPLICATES__EVALUATE": "false",
    "STREAMER_INDEX__SNAPSHOT_S": "0.5",
    "STREAMER_INDEX__SNAPSHOT_CHANGES": "1",
    "STREAMER_INDEX__SNAPSHOT_FROM_ROWS": "1",
    "STREAMER_JOBS__LEASE_S": "1",
}
"""Groups take time that kills should have; the index is saved often, and jobs go on soon."""


def profile_of(state: str) -> dict[str, Any]:
    return {"name": state, "tags": ["cooking"]}


class Told:
    """What a service was sent and what it acknowledged; for several threads.

    Attributes:
        allowed: by streamer, the states that it may have: the last acknowledged one, and those of
            later writes without an answer; None stands for no such streamer.
        acknowledged: how many writes were.
        lost: streamers without a state that they have to have.
        resurrected: streamers that are there and were deleted, or never written.
    """

    def __init__(self) -> None:
        self.allowed: dict[str, set[str | None]] = {}
        self.acknowledged = 0
        self.lost: list[str] = []
        self.resurrected: list[str] = []
        self._lock = threading.Lock()

    def sent(self, streamer_id: str, state: str | None) -> None:
        with self._lock:
            self.allowed.setdefault(streamer_id, {None}).add(state)

    def done(self, streamer_id: str, state: str | None) -> None:
        """It was acknowledged; whoever writes a streamer writes one state after the other."""
        with self._lock:
            self.allowed[streamer_id] = {state}
            self.acknowledged += 1

    def bulk(self, api: Api, states: dict[str, str]) -> None:
        """Write by one request; each of its result lines acknowledges one.

        Raises:
            httpx.TransportError: it was cut off; lines before that count.
        """
        for streamer_id, state in states.items():
            self.sent(streamer_id, state)
        lines = [{"streamer_id": i, **profile_of(state)} for i, state in states.items()]
        content = "".join(json.dumps(line) + "\n" for line in lines).encode()
        with api.stream("POST", "/v1/streamers:bulk", content=content, headers=NDJSON) as answer:
            if answer.status_code != 200:
                assert answer.status_code >= 500, answer.read()
                return
            for line in answer.iter_lines():
                result = json.loads(line)
                if result["outcome"] in ("created", "updated"):
                    self.done(result["streamer_id"], states[result["streamer_id"]])

    def check(self, api: Api) -> None:
        """Compare what is stored and what is in the index with what was acknowledged.

        Raises:
            AssertionError: something is lost, or came back.
        """
        api.wait_until_indexed(api.ok("GET", "/readyz")["store_sequence"])
        found = {s["streamer_id"]: s for s in api.all("/v1/streamers", "streamers", limit=1000)}
        for streamer_id in {*self.allowed, *found}:
            allowed = self.allowed.get(streamer_id, {None})
            state = found[streamer_id]["profile"]["name"] if streamer_id in found else None
            if state not in allowed:
                (self.resurrected if allowed == {None} else self.lost).append(streamer_id)
        assert not self.lost, self.lost[:20]
        assert not self.resurrected, self.resurrected[:20]
        lines = [json.loads(line) for line in api.get("/v1/index").text.splitlines()]
        assert {line["streamer_id"]: line["version"] for line in lines} == {
            streamer_id: streamer["version"] for streamer_id, streamer in found.items()
        }


def _write_until(stop: threading.Event, url: str, told: Told, writer: int) -> None:
    """Puts, deletes and bulk writes of streamers that nobody else writes."""
    choices, names = random.Random(writer), [f"w{writer}-{i}" for i in range(IDS_PER_WRITER)]
    with Api(url) as api:
        for step in itertools.count(told.acknowledged):
            if stop.is_set():
                return
            name, state = choices.choice(names), f"{writer}.{step}"
            try:
                match choices.choice(("put", "put", "put", "delete", "bulk")):
                    case "put":
                        told.sent(name, state)
                        answer = api.put(f"/v1/streamers/{name}", json=profile_of(state))
                        if answer.is_success:
                            told.done(name, state)
                    case "delete":
                        told.sent(name, None)
                        answer = api.delete(f"/v1/streamers/{name}")
                        if answer.is_success or answer.status_code == 404:
                            told.done(name, None)
                    case _:
                        told.bulk(api, {n: f"{state}.{n}" for n in choices.sample(names, 6)})
            except httpx.TransportError:
                stop.wait(0.02)


@contextmanager
def under_writes(url: str, told: Told) -> Iterator[None]:
    """Writers write meanwhile, whatever becomes of the service."""
    stop = threading.Event()
    threads = [
        threading.Thread(target=_write_until, args=(stop, url, told, writer))
        for writer in range(WRITERS)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def wait_for_more(told: Told, count: int) -> None:
    wanted = told.acknowledged + count
    wait_until(lambda: told.acknowledged >= wanted, f"{count} more writes are acknowledged")


def is_gone(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True


def kill_both(service: Service, *, store_first: bool) -> None:
    """kill -9 of the service and of its store, which is gone then."""
    store = service.store
    for victim in (store, service) if store_first else (service, store):
        with suppress(psutil.NoSuchProcess):
            victim.kill()
    wait_until(lambda: is_gone(store), "the store is gone")


def kill_store(service: Service) -> None:
    """kill -9 of the store alone; the service starts another one."""
    store = service.store
    store.kill()

    def is_replaced() -> bool:
        with suppress(AssertionError):  # none runs
            return service.store.pid != store.pid and service.is_ready()
        return False

    wait_until(is_replaced, "the service has another store")


def start_job(api: Api, kind: str, number: int, told: Told) -> dict[str, Any]:
    """Start a job; what an import writes is told as acknowledged, since it has to end."""
    if kind == "export":
        return api.ok("POST", "/v1/jobs/exports", {}, status=202)
    if kind == "rebuild":
        return api.ok("POST", "/v1/index:rebuild", status=202)
    states = {f"import-{number}-{i}": f"imported {number} {i}" for i in range(300)}
    lines = [{"streamer_id": i, **profile_of(state)} for i, state in states.items()]
    content = "".join(json.dumps(line) + "\n" for line in lines)
    job = api.ok("POST", "/v1/jobs/imports", status=202, content=content.encode(), headers=NDJSON)
    for streamer_id, state in states.items():
        told.done(streamer_id, state)
    return job


class Soak:
    """The rounds, and what came of them."""

    def __init__(self, bundle: Path, data_dir: Path, seed: int) -> None:
        self.told = Told()
        self.rounds = Counter[str]()
        self._choices = random.Random(seed)
        self._bundle, self._data_dir, self._port = bundle, data_dir, free_port()

    def __str__(self) -> str:
        return (
            f"{self.rounds.total()} rounds, {self.told.acknowledged} writes acknowledged, "
            f"{len(self.told.lost)} lost, {len(self.told.resurrected)} resurrected"
        )

    def run(self, rounds: int, report: Callable[[str], None]) -> None:
        """Kill so often; raises AssertionError at the first thing that is wrong."""
        order = [*itertools.islice(itertools.cycle(VICTIMS), rounds)]
        with ExitStack() as running:
            service = running.enter_context(self._started())
            for number, victims in enumerate(order):
                kind = JOBS[number % len(JOBS)]
                with under_writes(service.url, self.told):
                    wait_for_more(self.told, self._choices.randrange(10, 60))
                    job = start_job(service.api, kind, number, self.told)
                    wait_for_more(self.told, self._choices.randrange(1, 30))
                    if victims == "store":
                        kill_store(service)
                    elif victims == "service":
                        service.kill()
                    else:
                        kill_both(service, store_first=victims == "store and service")
                    if victims != "store":
                        service = running.enter_context(self._started())
                    wait_for_more(self.told, 10)
                job = service.api.ok("GET", f"/v1/jobs/{job['job_id']}")
                service.api.finished(job)
                self.told.check(service.api)
                self.rounds[victims] += 1
                if (number + 1) % 10 == 0:
                    report(str(self))

    def _started(self) -> Service:
        service = Service(self._bundle, self._data_dir, port=self._port, **SETTINGS)
        return service.wait_until_ready()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tests.faults.soak", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        write_bundle(bundle)
        soak = Soak(bundle, Path(folder) / "data", args.seed)
        try:
            soak.run(args.rounds, _say)
        finally:
            each = ", ".join(f"{victims} {number}" for victims, number in soak.rounds.items())
            _say(f"{soak}; {each}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
