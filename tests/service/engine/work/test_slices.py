"""Long work in slices: others have their turn, and who asks goes before bulk work."""

import asyncio
import threading
from collections.abc import Callable, Generator
from typing import Any

import pytest

from service.engine.work.lanes import SLICE_S, Lane, Lanes, run_to_end
from service.errors import Overloaded
from service.features.spaces import patient_work
from tests.service.engine.work.test_lanes import WAIT_S, Hold, waiting, with_lanes


def test_slices_give_others_their_turn_and_return_the_end() -> None:
    async def scenario(lanes: Lanes) -> None:
        slices: list[int] = []
        others: list[int] = []
        hold = Hold()

        def work() -> Generator[None, None, str]:
            hold()
            until = threading.Event()
            for step in range(4):
                slices.append(step)
                until.wait(SLICE_S)
                yield
            return "end"

        long = asyncio.create_task(lanes.run_in_slices(work()))
        await hold.begun()
        other = asyncio.create_task(lanes.run(lambda: others.extend(slices), Lane.HEAVY))
        await waiting(lanes, Lane.HEAVY, 1)
        hold.end()
        await other
        assert len(others) < 4
        assert await long == "end"

        def fails() -> Generator[None, None, None]:
            yield
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            await lanes.run_in_slices(fails())

    with_lanes(scenario)

    def counted() -> Generator[None, None, int]:
        yield
        return 7

    assert run_to_end(counted()) == 7


def test_a_slice_of_bulk_work_ends_when_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.engine.work.lanes.SLICE_S", WAIT_S)

    async def scenario(lanes: Lanes) -> None:
        def slices_of(lane: Lane) -> Generator[None, None, int]:
            before = lanes.counts[lane].taken
            yield
            lanes.give_way.is_asked = lambda: True
            yield
            return lanes.counts[lane].taken - before

        # Others do not; nor does what is far behind, or had to wait for a thread.
        for lane, is_pressed, long_s, ended in (
            (Lane.BULK, False, WAIT_S, 1),
            (Lane.HEAVY, False, WAIT_S, 0),
            (Lane.BULK, True, WAIT_S, 0),
            (Lane.BULK, False, -1.0, 0),
        ):
            monkeypatch.setattr("service.engine.work.give_way._LONG_S", long_s)
            lanes.give_way.is_asked, lanes.give_way.is_pressed = lambda: False, is_pressed
            assert await lanes.run_in_slices(slices_of(lane), lane) == ended

    with_lanes(scenario)


def test_one_slice_of_bulk_work_at_a_time_while_somebody_asks() -> None:
    async def scenario(lanes: Lanes) -> None:
        lanes.give_way.is_asked = lambda: True
        hold = Hold()

        def work() -> Generator[None, None, str]:
            hold()
            yield
            return "end"

        def other() -> Generator[None, None, str]:
            yield
            return "end"

        first = asyncio.create_task(lanes.run_in_slices(work(), Lane.BULK))
        await hold.begun()
        second = asyncio.create_task(lanes.run_in_slices(other(), Lane.BULK))
        for _ in range(10):
            await asyncio.sleep(0)
        assert lanes.counts[Lane.BULK].taken + lanes.waiting(Lane.BULK) == 1
        hold.end()
        assert await asyncio.gather(first, second) == ["end", "end"]

    with_lanes(scenario, threads=3)


@pytest.mark.parametrize("is_at_it", [True, False])
@pytest.mark.parametrize("error", [None, ValueError("no")])
def test_what_a_slice_comes_to_too_late_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, is_at_it: bool, error: ValueError | None
) -> None:
    monkeypatch.setattr(patient_work, "_PAUSE_S", 0.0)

    async def scenario(lanes: Lanes) -> None:
        hold, run, steps = Hold(), lanes.run, list[int]()
        is_late = True

        def work() -> Generator[None, None, str]:
            steps.append(1)
            if is_at_it:
                hold()
            yield
            steps.append(2)
            if error is not None:
                raise error
            return "end"

        async def late(call: Callable[[], Any], lane: Lane) -> Any:
            """The first answer, once the thread is at a step or at the end."""
            nonlocal is_late
            if not is_late:
                return await run(call, lane)
            is_late = False
            slice_ = asyncio.create_task(run(call, lane))
            if is_at_it:
                await hold.begun()
                asyncio.get_running_loop().call_later(0.05, hold.end)
            else:
                await asyncio.wait([slice_])
            slice_.add_done_callback(lambda done: done.exception())
            raise Overloaded("not done in time")

        monkeypatch.setattr(lanes, "run", late)
        if error is None:
            assert await patient_work.in_slices(lanes, work()) == "end"
        else:
            with pytest.raises(ValueError, match="no"):
                await patient_work.in_slices(lanes, work())
        assert steps == [1, 2]

    with_lanes(scenario, threads=3)
