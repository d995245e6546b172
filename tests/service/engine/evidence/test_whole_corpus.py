"""Processes find what threads find, also when they are lost."""

import asyncio
import json
import os
import random
import signal
from collections.abc import AsyncIterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_export.contract.bundle import Bundle
from service.engine.evidence import whole_corpus
from service.engine.evidence.engine import Evidence
from service.engine.evidence.whole_corpus import (
    Found,
    Joined,
    ReadProfile,
    WholeCorpus,
    workers_for,
)
from service.engine.work.lanes import Lanes
from service.engine.work.workers import Workers
from service.settings import Work
from tests.service.engine.work.done_elsewhere import prepare_nothing
from training.world import generate

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def lanes() -> AsyncIterator[Lanes]:
    lanes = Lanes(Work(threads=2))
    lanes.start()
    yield lanes
    lanes.stop()


@pytest.fixture(scope="module")
def evidence(bundle: Path) -> Evidence:
    return Evidence(Bundle(bundle))


@pytest.fixture(scope="module")
def profiles() -> list[tuple[str, ReadProfile]]:
    """Streamers of a world, a few of them in rings, with embeddings."""
    rng = np.random.default_rng(3)
    return [
        (
            profile["streamer_id"],
            ReadProfile(_json(profile), rng.standard_normal(8).astype("<f4").tobytes()),
        )
        for profile in generate(90, 3, ring_share=0.3).profiles
    ]


def _json(profile: dict[str, Any]) -> bytes:

    return json.dumps(profile, ensure_ascii=False).encode()


async def everything(
    whole: WholeCorpus, profiles: list[tuple[str, ReadProfile]]
) -> tuple[list[Found], Joined]:
    names = [name for name, _ in profiles]
    found = await whole.read([profile for _, profile in profiles])
    for name, one in zip(names, found, strict=True):
        whole.put(name, one.packed)
    pairs = list(combinations(names, 2))
    random.Random(5).shuffle(pairs)
    return found, await whole.joined(pairs)


def assert_same(one: tuple[list[Found], Joined], other: tuple[list[Found], Joined]) -> None:
    for ours, theirs in zip(one[0], other[0], strict=True):
        for part, same in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(part, same)
    assert one[1].rows == other[1].rows
    assert one[1].verdicts == other[1].verdicts
    assert one[1].weights == pytest.approx(other[1].weights, abs=1e-4)


@pytest.mark.slow
async def test_processes_find_what_threads_find(
    evidence: Evidence,
    lanes: Lanes,
    profiles: list[tuple[str, ReadProfile]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    workers = workers_for(evidence, whole_corpus.FEWEST_STREAMERS)
    assert workers is not None
    apart = WholeCorpus(evidence, lanes, tmp_path, workers)
    here = WholeCorpus(evidence, lanes, tmp_path, None)
    expected = await everything(here, profiles)
    assert expected[1].rows  # rings were planted
    assert_same(await everything(apart, profiles), expected)
    here.close()
    apart.close()


@pytest.mark.slow
async def test_threads_go_on_when_processes_are_lost(
    evidence: Evidence, lanes: Lanes, profiles: list[tuple[str, ReadProfile]]
) -> None:
    # One process, or another one would be asked before the loss is noticed.
    workers = Workers(1, prepare_nothing)
    whole = WholeCorpus(evidence, lanes, None, workers)
    (process,) = {await workers.run(os.getpid)}
    os.kill(process, signal.SIGKILL)
    found = await asyncio.gather(*(everything(whole, profiles) for _ in range(2)))
    assert_same(*found)
    whole.close()


@pytest.mark.parametrize(("cores", "streamers"), [(1, 10**6), (8, 100)])
def test_where_threads_are_quicker_there_are_no_processes(
    evidence: Evidence, monkeypatch: pytest.MonkeyPatch, cores: int, streamers: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    assert workers_for(evidence, streamers) is None
