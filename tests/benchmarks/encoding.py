"""What the service's own work adds to the graphs it runs: encoding against raw ONNX Runtime.

    python -m tests.benchmarks.encoding --bundle BUNDLE --data DIR

Both run the same graphs on the same items, handed over in batches of the same size, with one thread
per run. They take turns group by group, and what counts is the processor time of the fastest of the
rounds, so that others on the machine disturb little. Raw is given arrays that were made beforehand.
The exit status is 1 when one of the service's ways has less than 85 % of raw's throughput. Reading
profiles is shown beside it: from a line of JSON to features, before the encoder's graph runs.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import onnxruntime

from model_export.contract.bundle import Bundle
from model_export.contract.errors import SilentContent
from model_export.contract.features import Features, collate
from model_export.contract.pieces import pieces_of
from model_export.contract.streamer import StreamerProfile
from model_export.contract.towers import (
    VECTOR,
    Payload,
    TowerInputs,
    TowerSpec,
    payload_key,
    payload_of,
    pieces_for,
)
from service.engine.encoding.length_batches import alike
from service.engine.encoding.onnx_encoder import MAX_BATCH, OnnxEncoder
from service.engine.encoding.onnx_towers import OnnxTowers
from service.engine.encoding.tower_pool import PART, TowerPool
from service.engine.work.lanes import Lane, Lanes
from service.settings import Encoding, Towers, Work

AT_LEAST = 0.85
"""Of the throughput of raw ONNX Runtime."""
_GROUP = 64
"""Items that are timed together: a few batches."""
_clock = time.process_time

Item = TypeVar("Item")
Way = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Throughput:
    """Items a second, of the service and of the bare graph."""

    name: str
    served: float
    raw: float

    @property
    def share(self) -> float:
        """Of the graph's throughput that is left."""
        return self.served / self.raw

    def __str__(self) -> str:
        """A row of the table."""
        mark = "" if self.share >= AT_LEAST else "  MISSED"
        return f"{self.name:<52} {self.served:>8,.0f} {self.raw:>8,.0f} {self.share:>6.2f}{mark}"


class Raw:
    """A graph, and nothing else."""

    def __init__(self, graph: bytes, outputs: Sequence[str] | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(graph, options, ["CPUExecutionProvider"])
        self._inputs = [given.name for given in self._session.get_inputs()]
        self._outputs = outputs

    def work(self, batches: Sequence[Any]) -> Way:
        """Run the batches, one after the other."""
        feeds = [{name: batch[name] for name in self._inputs} for batch in batches]

        async def run() -> None:
            for feed in feeds:
                self._session.run(self._outputs, feed)

        return run


async def compare(name: str, groups: Sequence[tuple[int, Way, Way]], rounds: int) -> Throughput:
    """Time groups of (items, served, raw), which take turns; the fastest round of each counts."""
    items = sum(count for count, _, _ in groups)
    total = [0.0, 0.0]
    for _, *both in groups:
        for work in both:
            await work()  # warm up
        fastest = [float("inf"), float("inf")]
        for _ in range(rounds):
            for i, work in enumerate(both):
                started = _clock()
                await work()
                fastest[i] = min(fastest[i], _clock() - started)
        total = [a + b for a, b in zip(total, fastest, strict=True)]
    return Throughput(name, items / total[0], items / total[1])


async def encoder_throughput(
    bundle: Bundle, features: Sequence[Features], rounds: int
) -> list[Throughput]:
    """Features to vectors: through the queue that writes and questions take, and many at once."""
    settings, lanes = Encoding(), Lanes(Work())
    raw = Raw(bundle.encoder_bytes())  # before the encoder, which lets go of them
    encoder = OnnxEncoder(bundle)
    queued = lanes.queue(
        encoder.encode, Lane.INTERACTIVE, what="profiles", max_batch=settings.max_batch, at_once=1
    )
    many = lanes.queue(encoder.encode, Lane.BULK, what="profiles", max_batch=MAX_BATCH, at_once=1)
    lanes.start()
    groups = list(parts(features, _GROUP))
    found = [
        await compare(
            f"encoder, queued, batches of {settings.max_batch}",
            [
                (
                    len(g),
                    lambda g=g: asyncio.gather(*map(queued.submit, g)),
                    raw.work([*map(collate, parts(g, settings.max_batch))]),
                )
                for g in groups
            ],
            rounds,
        ),
        await compare(
            f"encoder, many at once, batches of {_GROUP}",
            [(len(g), lambda g=g: many.submit_all(g), raw.work([collate(g)])) for g in groups],
            rounds,
        ),
    ]
    lanes.stop()
    return found


async def tower_throughput(
    bundle: Bundle, spec: TowerSpec, payloads: Sequence[Payload], rounds: int
) -> list[Throughput]:
    """Payloads to vectors: through the queue, as a bulk load does, and as `embed` does."""
    raw = Raw(bundle.tower_bytes(spec.name), [VECTOR])
    inputs: TowerInputs = bundle.tower_inputs(spec.name)
    towers = OnnxTowers(bundle)
    lanes = Lanes(Work())
    work = TowerPool(towers, Towers(), lanes)
    lanes.start()

    def batches(group: Sequence[Payload], in_order: bool) -> Way:
        prepared = [inputs.prepare(payload) for payload in group]
        rows = [list(part) for part in parts(range(len(group)), PART)]
        if not in_order:
            rows = alike([p.size for p in prepared], PART, sys.maxsize)
        return raw.work([inputs.batch([prepared[i] for i in part]) for part in rows])

    def served(group: Sequence[Payload], lane: Lane) -> Way:
        async def run() -> None:
            for part in parts(group, PART):
                ready = part
                if spec.text is None:
                    ready = [
                        (await work.prepare(spec.name, lambda p=p: p, lane)).prepared for p in part
                    ]
                await work.encode(spec.name, ready, lane)

        return run

    def offline(group: Sequence[Payload]) -> Way:
        async def run() -> None:
            towers.encode(spec.name, group)

        return run

    groups = list(parts(payloads, _GROUP))
    found = [
        await compare(
            f"{spec.name}, {name}, batches of {PART}",
            [(len(g), way(g), batches(g, in_order)) for g in groups],
            rounds,
        )
        for name, way, in_order in (
            ("queued", lambda g: served(g, Lane.INTERACTIVE), True),
            ("bulk load", lambda g: served(g, Lane.BULK), True),
            ("embed", offline, False),
        )
    ]
    lanes.stop()
    return found


def parts(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """The items in lists of a size, the last may be shorter."""
    return (items[start : start + size] for start in range(0, len(items), size))


def distinct_payloads(
    spec: TowerSpec, profiles: Sequence[StreamerProfile], towers: OnnxTowers
) -> Iterator[Payload]:
    """What a tower reads of profiles, each once, in the order in which they show it."""
    found = {
        payload_key(piece): payload_of(piece, profile)
        for profile in profiles
        for piece in pieces_for(spec, pieces_of(profile))
    }
    for payload in found.values():
        with suppress(SilentContent):
            towers.prepare(spec.name, payload)
            yield payload


async def measure(bundle: Bundle, lines: Sequence[bytes], most: int, rounds: int) -> bool:
    """Print the table; whether all that is promised is kept."""
    profiles = [StreamerProfile.model_validate_json(line) for line in lines]
    towers = OnnxTowers(bundle)
    features = [bundle.featurizer.from_pieces(pieces) for pieces in towers.read(profiles)]
    print(f"{'items a second of one core':<52} {'served':>8} {'raw':>8} {'share':>6}")
    table = await encoder_throughput(bundle, [f for f in features if f.usable], 6 * rounds)
    for spec in bundle.manifest.towers:
        payloads = list(islice(distinct_payloads(spec, profiles, towers), most))
        table += await tower_throughput(bundle, spec, payloads, rounds)
    print("\n".join(map(str, table)))
    print(f"reading a profile, without towers: {_reading_us(bundle, lines):.0f} µs")
    return all(row.share >= AT_LEAST for row in table)


def _reading_us(bundle: Bundle, lines: Sequence[bytes]) -> float:
    """From a line of JSON to the features of what needs no tower."""
    started = _clock()
    for line in lines:
        bundle.featurizer(StreamerProfile.model_validate_json(line))
    return 1e6 * (_clock() - started) / len(lines)


def main() -> int:
    """Print what each way of encoding reaches."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.encoding")
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="data set folder")
    parser.add_argument("--streamers", type=int, default=256)
    parser.add_argument("--pieces", type=int, default=256, help="of each tower, at most")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with (args.data / "streamers.jsonl").open("rb") as file:
        lines = list(islice(file, args.streamers))
    kept = asyncio.run(measure(Bundle(args.bundle), lines, args.pieces, args.rounds))
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
