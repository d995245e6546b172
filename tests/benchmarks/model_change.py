"""A change of the model under questions and writes, and the way back.

    python -m tests.benchmarks.model_change --rows 100000

Questions come at a fixed rate, writes too, to one service with its own store. That no answer mixes
two models is tested in tests/stories; this is about time. A p99 is the
median of five phases, and during the backfill of all its phases, beside that of one model in the
same run. The exit status is 1 when a target is missed: an error, a p99 of more than twice that of
one model, a roll-back of more than 5 s.
"""

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np

from tests.benchmarks.closed_loop import http_request
from tests.benchmarks.index_http import wait_for, wait_until_grouped
from tests.benchmarks.open_loop import Arrivals, Generator
from tests.support.bundles import TOPICS, write_bundle
from tests.support.service import Service

_NEXT = "test-1"
_WORDS = [word for words in TOPICS.values() for word in words.split()]
_PART = 2000
_SLOWER, _ROLLBACK_S = 2.0, 5.0
_LONGEST_S = 3600
_WRITERS, _PHASES = 8, 5


def _profile(place: int, rng: np.random.Generator) -> dict[str, object]:
    words = rng.choice(_WORDS, 6, replace=False).tolist()
    return {"streamer_id": f"s{place}", "name": f"channel {place}", "bio": " ".join(words)}


class _Writer:
    """Writes at a fixed rate from several connections; counts what was not acknowledged."""

    def __init__(self, url: str, rows: int, per_s: float) -> None:
        self.written, self.errors = 0, list[str]()
        self._url, self._rows, self._pause_s = url, rows, _WRITERS / per_s
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(i,)) for i in range(_WRITERS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, place: int) -> None:
        rng, due = np.random.default_rng(5 + place), time.monotonic()
        with httpx.Client(base_url=self._url, timeout=60, trust_env=False) as client:
            while not self._is_over.is_set():
                profile = _profile(int(rng.integers(self._rows)), rng)
                name = profile.pop("streamer_id")
                answer = client.put(f"/v1/streamers/{name}", json=profile)
                self.written += 1
                if not answer.is_success:
                    self.errors.append(answer.text)
                due += self._pause_s
                self._is_over.wait(max(0.0, due - time.monotonic()))


def _model(client: httpx.Client) -> dict[str, object]:
    answer = client.get(f"/v1/models/{_NEXT}")
    answer.raise_for_status()
    return answer.json()


def _fill(service: Service, rows: int) -> None:
    client = service.api
    rng, begin = np.random.default_rng(1), time.perf_counter()
    for start in range(0, rows, _PART):
        lines = [json.dumps(_profile(i, rng)) for i in range(start, min(start + _PART, rows))]
        headers = {"Content-Type": "application/x-ndjson"}
        answer = client.post("/v1/streamers:bulk", content="\n".join(lines), headers=headers)
        answer.raise_for_status()
    print(f"{rows:,} streamers written in {time.perf_counter() - begin:,.0f} s", flush=True)


def _wait_until_settled(service: Service, rows: int) -> None:
    """Until what follows a write is done, which has nothing to do with a change of the model."""
    begin = time.perf_counter()
    wait_for(service, rows)
    wait_until_grouped(service.api)
    print(f"indexed and grouped after another {time.perf_counter() - begin:,.0f} s", flush=True)


class _Phases:
    """Asks at a fixed rate, phase by phase."""

    def __init__(self, generator: Generator, port: int, asked: list[bytes], rate: float) -> None:
        self._generator, self._port, self._asked, self._rate = generator, port, asked, rate
        self._p99: dict[str, list[float]] = {}
        self.refused = 0

    def run(self, name: str, seconds: float, phases: int = 1) -> None:
        """Phases of so many seconds each."""
        for _ in range(phases):
            sent = self._generator.send(self._port, self._asked, self._rate, seconds)
            self.note(name, sent.result())

    def p99(self, name: str) -> float:
        """The median of its phases, in ms, which is printed with the lowest and the highest."""
        found = self._p99[name]
        median = statistics.median(found)
        spread = f"{min(found):.1f} to {max(found):.1f}"
        print(f"p99 of {name}: {median:.1f} ms ({spread}, {len(found)} phases)")
        return median

    def note(self, name: str, found: Arrivals) -> None:
        """Print and keep what became of one."""
        refused = int((~found.accepted).sum())
        self.refused += refused
        self._p99.setdefault(name, []).append(found.ms(0.99))
        print(
            f"{name}: p50 {found.ms(0.5):.1f}, p99 {found.ms(0.99):.1f} ms, {refused} refused",
            flush=True,
        )


def _changed(client: httpx.Client, path: str) -> float:
    begin = time.perf_counter()
    client.post(path).raise_for_status()
    took = time.perf_counter() - begin
    print(f"{path}: {took:.2f} s", flush=True)
    return took


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.model_change")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--questions", type=float, default=200, help="a second")
    parser.add_argument("--writes", type=float, default=50, help="a second")
    parser.add_argument("--pace", type=float, default=1000, help="of the backfill")
    parser.add_argument("--seconds", type=float, default=20, help="of each phase")
    parser.add_argument("--build", type=Path, help="folder for what is stored, to go on with it")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, Generator() as generator:
        folder = args.build or Path(temporary)
        models, data = folder / "models", folder / "data"
        is_new = not models.exists()
        if is_new:
            write_bundle(models / "first")
            write_bundle(models / "next", seed=1)
        with Service(models / "first", data, STREAMER_MODELS__FOLDER=str(models)) as service:
            client = service.wait_until_ready().api
            client.timeout = httpx.Timeout(120)
            if is_new:
                _fill(service, args.rows)
            _wait_until_settled(service, args.rows)
            places = np.random.default_rng(3).integers(args.rows, size=2000).tolist()
            asked = [http_request("GET", f"/v1/streamers/s{i}/similar") for i in places]
            phases = _Phases(generator, urlsplit(service.url).port or 0, asked, args.questions)
            writer = _Writer(service.url, args.rows, args.writes)
            writer.start()
            try:
                phases.run("warm", args.seconds)
                phases.run("one model", args.seconds, _PHASES)
                client.post("/v1/models", json={"folder": "next"}).raise_for_status()
                pace = {"streamers_per_s": args.pace}
                client.post(f"/v1/models/{_NEXT}:backfill", params=pace).raise_for_status()
                deadline = time.monotonic() + _LONGEST_S
                while not _model(client)["replicas"][0]["is_indexed"]:  # type: ignore[index]
                    phases.run("backfill", args.seconds)
                    assert time.monotonic() < deadline
                phases.run("two models", args.seconds, _PHASES)
                _changed(client, f"/v1/models/{_NEXT}:promote")
                phases.run("promoted", args.seconds, _PHASES)
                back_s = _changed(client, "/v1/models:rollback")
                phases.run("rolled back", args.seconds, _PHASES)
            finally:
                writer.stop()
            print(f"{writer.written} writes, {len(writer.errors)} errors {writer.errors[:1]}")
    quiet = phases.p99("one model")
    ratios = list[float]()
    for name in ("backfill", "two models", "promoted", "rolled back"):
        ratios.append(phases.p99(name) / quiet)
        print(f"{ratios[-1]:.2f} x that of one model (target {_SLOWER})")
    missed = max(ratios) > _SLOWER or back_s > _ROLLBACK_S or phases.refused or writer.errors
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
