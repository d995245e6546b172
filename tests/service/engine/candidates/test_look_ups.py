"""An evaluation waits for the answer to its write, not for ever, and goes on from what it found."""

import asyncio

import numpy as np
import pytest

from service.engine.candidates.corpus import Entry
from service.engine.candidates.look_ups import EXPECTED_S, LookUp, LookUps

pytestmark = pytest.mark.anyio
NOTHING = np.zeros(0, np.uint32)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def found(version: int) -> LookUp:
    return LookUp(Entry(None, None, NOTHING, NOTHING, version), frozenset(), 0, {}, {})


async def test_whoever_waits_goes_on_when_all_are_over() -> None:
    look_ups = LookUps(lambda: 0.0)  # nothing is ever late
    look_ups.expect(["a", "b"])
    waiting = asyncio.create_task(look_ups.ended(["a", "b", "c"]))
    await look_ups.ended(["c"])  # nobody is expected
    look_ups.end("a", found(3))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    look_ups.end("b")
    await waiting


async def test_those_that_do_not_end_in_time_are_not_waited_for() -> None:
    now = 0.0
    look_ups = LookUps(lambda: now)
    look_ups.expect(["a"])
    now = EXPECTED_S
    look_ups.expect(["b"])
    await look_ups.ended(["a"])
    now += EXPECTED_S
    await look_ups.ended(["a", "b"])


async def test_each_that_ends_leaves_time_for_the_next_of_its_batch() -> None:
    now = 0.0
    look_ups = LookUps(lambda: now)
    look_ups.expect(["a", "b", "c"])
    waiting = asyncio.create_task(look_ups.ended(["b"]))
    for name in ("a", "c"):
        now += 0.75 * EXPECTED_S
        look_ups.end(name)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waiting.done()
    look_ups.end("b")
    await waiting


async def test_what_was_found_is_taken_once_and_of_its_version() -> None:
    look_ups = LookUps()
    looked = found(3)

    def looked_up(name: str) -> None:
        look_ups.expect([name])
        look_ups.end(name, looked)

    looked_up("a")
    assert look_ups.take("a", 3) is looked
    assert look_ups.take("a", 3) is None
    looked_up("a")
    assert look_ups.take("a", 4) is None
    looked_up("a")
    look_ups.clear()
    assert look_ups.take("a", 3) is None
    for i in range(1000):
        looked_up(f"s{i}")
    assert look_ups.take("s0", 3) is None
    assert look_ups.take("s999", 3) is looked


async def test_nothing_is_kept_of_those_that_are_gone_or_evaluated_already() -> None:
    look_ups = LookUps()
    look_ups.expect(["a", "b"])
    look_ups.end("a", found(3))
    assert look_ups.forget("a") is not None
    assert look_ups.take("a", 3) is None
    assert look_ups.take("b", 3) is None  # the evaluation did not wait
    look_ups.end("b", found(3))
    assert look_ups.take("b", 3) is None
