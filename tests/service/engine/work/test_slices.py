"""Long work in slices: others have their turn, and who asks goes before bulk work."""

import asyncio
import threading
from collections.abc import Generator

import pytest

from service.engine.work.lanes import SLICE_S, Lane, Lanes, run_to_end
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
