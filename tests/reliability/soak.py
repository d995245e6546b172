"""kill -9 of the service, its store and both, again and again, under writes and during rebuilds.

    python -m tests.reliability.soak --rounds 200

Every round begins with a comparison of the service with everything that it ever acknowledged.
"""

import argparse
import itertools
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.support.bundles import write_bundle
from tests.reliability.service_history import ServiceHistory, profile_of, under_writes
from tests.support.service import Service, is_free, is_gone, kill, wait_until

VICTIMS = ("service", "store", "service and store", "store and service", "rebuilding service")
STEADY = 3000
"""Streamers that nobody changes, so that a base takes a while to build."""
SETTINGS: dict[str, Any] = {
    "STREAMER_INDEX__KIND": "HNSW32",
    "STREAMER_INDEX__FROM_ROWS": "100",
    "STREAMER_INDEX__RECALL": "0.6",
    "STREAMER_LIMITS__MAX_K": "100000",
}
_BUILDING, _BUILT = "building ANN segment HNSW32", " rows are in ANN segment HNSW32"


@dataclass
class Soak:
    """The rounds, and what came of them.

    Attributes:
        rounds: by victims.
        in_a_rebuild: services that were killed while they built a base.
    """

    bundle: Path
    data_dir: Path
    choices: random.Random
    steady: int = STEADY
    told: ServiceHistory = field(default_factory=ServiceHistory)
    rounds: Counter[str] = field(default_factory=Counter[str])
    in_a_rebuild: int = 0

    def run(self, rounds: int, report: Callable[[str], None]) -> None:
        """Kill `rounds` times; raises AssertionError at the first thing that is wrong."""
        order = list(itertools.islice(itertools.cycle(VICTIMS), rounds))
        self.choices.shuffle(order)
        begun = time.monotonic()
        while order:
            with self._service() as service:
                while order and service.is_running:
                    self._round(service, order.pop())
                    if len(order) % 10 == 0:
                        report(f"{time.monotonic() - begun:.0f} s, {len(order)} to go: {self}")
        with self._service():
            pass

    def __str__(self) -> str:
        return (
            f"{self.rounds.total()} rounds, {self.in_a_rebuild} kills during a rebuild, "
            f"{len(self.told.versions)} writes acknowledged, {len(self.told.lost)} lost, "
            f"{len(self.told.resurrected)} resurrected"
        )

    @contextmanager
    def _service(self) -> Iterator[Service]:
        with Service(self.bundle, self.data_dir, **SETTINGS) as service:
            service.wait_until_ready()
            if not self.told.versions:
                self._fill(service)
            self.told.check_service(service)
            store = service.store
            yield service
            store = service.store if service.is_running else store
        wait_until(lambda: is_gone(store), "the store ends with its service")
        wait_until(lambda: is_free(self.data_dir), "the folder is free")

    def _fill(self, service: Service) -> None:
        self._write({f"steady-{i}": f"steady {i}" for i in range(self.steady)}, service)

    def _write(self, states: dict[str, str], service: Service) -> None:
        for streamer_id, state in states.items():
            self.told.sent(streamer_id, state)
        profiles = [{"streamer_id": i, **profile_of(state)} for i, state in states.items()]
        for result in service.bulk(profiles):
            streamer_id = result["streamer_id"]
            self.told.acknowledged(streamer_id, states[streamer_id], result["sequence"])

    def _rewrite(self, service: Service) -> None:
        """Replace rows of the base, so that new ones are built, until the service is gone."""
        choices = random.Random(self.rounds.total())  # of this thread
        with suppress(httpx.TransportError):
            for turn in range(1000):
                changed = choices.sample(range(self.steady), 100)
                name = f"{self.rounds.total()} {turn}"
                self._write({f"steady-{i}": f"steady {i} {name}" for i in changed}, service)

    def _round(self, service: Service, victims: str) -> None:
        self.rounds[victims] += 1
        store, before = service.store, len(self.told.versions)
        with under_writes(service, self.told), ThreadPoolExecutor(1) as pool:
            time.sleep(self.choices.uniform(0.05, 0.5))
            if victims == "rebuilding service":
                rewriting = pool.submit(self._rewrite, service)
                while not rewriting.done():
                    wait_until(
                        lambda: _is_building(service) or rewriting.done(),
                        "a base is built",
                        every_s=0.02,
                    )
                    time.sleep(self.choices.uniform(0, 0.1))
                    service.stand_still()
                    if _is_building(service):
                        break
                    service.go_on()  # it was just done
            if victims == "store":
                store.kill()
                wait_until(lambda: service.store.pid != store.pid and service.is_ready(), "back")
            if victims == "store and service":
                store.kill()
                time.sleep(self.choices.uniform(0, 0.1))
            if victims != "store":
                service.process.kill()
                service.process.wait()
            if victims == "service and store":
                kill(store)
        assert len(self.told.versions) > before
        if victims == "store":
            self.told.check_service(service)
        else:
            self.in_a_rebuild += _is_building(service)


def _is_building(service: Service) -> bool:
    said = service.output
    return said.count(_BUILDING) > said.count(_BUILT)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tests.reliability.soak", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        write_bundle(bundle)
        soak = Soak(bundle, Path(folder) / "data", random.Random(args.seed))
        try:
            soak.run(args.rounds, _say)
        finally:
            each = ", ".join(f"{victims} {number}" for victims, number in soak.rounds.items())
            _say(f"{soak}; {each}")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
