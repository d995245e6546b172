"""Who is let in while the service is late, and what the others are told; no clock is waited for."""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from service.http import admission
from service.http.admission import Admission, Limiter
from service.http.traffic import Traffic

READ, WORK = ("GET", "/v1/streamers/s/similar"), ("POST", "/v1/similar")
BULK = ("POST", "/v1/streamers:bulk")


class Late:
    """Threads for which interactive work waits as long as it is told."""

    def __init__(self) -> None:
        self.wait_s = self.own_wait_s = 0.0

    def interactive_wait_s(self) -> tuple[float, float]:
        return self.wait_s, max(self.wait_s, self.own_wait_s)


class Service:
    """Answers a request when it is told to."""

    def __init__(self) -> None:
        self.traffic = Traffic()
        self.late = Late()
        self.answered = asyncio.Event()
        self.limiter = Limiter()
        self.limiter.lanes = self.late
        self.admission = Admission(self._app, limiter=self.limiter, traffic=self.traffic)

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.answered.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def ask(self, method: str, path: str) -> "asyncio.Task[list[Message]]":
        sent: list[Message] = []

        async def receive() -> Message:
            raise AssertionError("the body was asked for")

        async def send(message: Message) -> None:
            sent.append(message)

        async def run() -> list[Message]:
            scope = {"type": "http", "method": method, "path": path}
            await self.admission(scope, receive, send)
            return sent

        return asyncio.create_task(run())

    async def ask_many(self, count: int, method: str, path: str) -> list[Any]:
        """Ask all at once; those that were refused."""
        tasks = [self.ask(method, path) for _ in range(count)]
        for _ in range(3):
            await asyncio.sleep(0)
        return [task.result() for task in tasks if task.done()]

    async def answer_all(self) -> None:
        """Let those that were let in end."""
        self.answered.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.answered.clear()

    def tick(self, times: int) -> None:
        """Let the clock look at the threads, without waiting for it."""
        clock = self.limiter._clock
        assert clock is not None
        clock.cancel()
        for _ in range(times):
            self.limiter._due = asyncio.get_running_loop().time()
            self.limiter._tick()
            clock = self.limiter._clock
            if clock is not None:
                clock.cancel()


def scenario(run: Callable[[Service], Awaitable[None]]) -> None:
    async def whole() -> None:
        service = Service()
        await run(service)
        service.answered.set()
        await asyncio.sleep(0)
        clock = service.limiter._clock
        if clock is not None:
            clock.cancel()

    asyncio.run(whole())


@pytest.mark.parametrize("kind", [READ, WORK])
def test_fewer_are_let_in_while_it_is_late_and_more_again_afterwards(kind: tuple[str, str]) -> None:
    async def run(service: Service) -> None:
        assert await service.ask_many(60, *kind) == []
        service.late.wait_s = 1
        service.tick(20)
        refused = await service.ask_many(10, *kind)
        assert len(refused) == 10
        await service.answer_all()
        assert len(await service.ask_many(60, *kind)) == 60 - admission._FEWEST
        service.late.wait_s = 0
        service.tick(400)
        assert await service.ask_many(60, *kind) == []

    scenario(run)


@pytest.mark.parametrize("kind", [READ, WORK])
def test_while_many_are_refused_those_let_in_wait_for_fewer(kind: tuple[str, str]) -> None:
    async def run(service: Service) -> None:
        await service.ask_many(1, *kind)
        service.late.wait_s = 1
        for _ in range(30):
            await service.ask_many(60, *kind)
            service.tick(1)
        await service.answer_all()
        assert len(await service.ask_many(60, *kind)) == 60 - admission._FEWEST_OVERLOADED

    scenario(run)


@pytest.mark.parametrize("kind", [READ, WORK])
def test_a_few_clients_that_wait_for_their_answers_are_never_refused(kind: tuple[str, str]) -> None:
    async def run(service: Service) -> None:
        await service.ask_many(1, *kind)
        service.late.wait_s = 1
        for _ in range(30):
            await service.answer_all()
            assert await service.ask_many(admission._FEWEST, *kind) == []
            service.tick(1)

    scenario(run)


def in_flight(
    kind: admission._Kind, ticks: int, arrivals: int, *, most: int, takes: int, every: int = 1
) -> list[tuple[int, int]]:
    """Requests let in at each tick and then in flight, while the event loop is always late.

    Args:
        kind: of the requests.
        ticks: how many.
        arrivals: requests that come at once.
        most: requests that can be answered in one.
        takes: ticks until one can be answered.
        every: so many ticks they come, together.
    """
    under_way, seen = deque[tuple[int, admission._Generation]](), list[tuple[int, int]]()
    for tick in range(ticks):
        for _ in range(most):
            if under_way and under_way[0][0] + takes <= tick:
                under_way.popleft()[1].running -= 1
        came = 0 if tick % every else arrivals
        entered = [each for _ in range(came) if (each := kind.enter()) is not None]
        under_way += [(tick, each) for each in entered]
        seen.append((len(entered), len(under_way)))
        kind.adapt(is_late=True)
    for _, each in under_way:
        each.running -= 1
    return seen


def test_a_delay_of_other_causes_has_nobody_refused_for_good() -> None:
    """Two come in a tick and take four each, so that ten are in flight, which is no overload."""
    kind = admission._Kind()
    stall = in_flight(kind, 100, 40, most=1, takes=4)
    assert stall[-1] == (1, admission._FEWEST_OVERLOADED)
    seen = in_flight(kind, 3 * admission._NEXT_TRIAL_TICKS, 2, most=9, takes=4)
    assert {entered for entered, _ in seen[6 * admission._TRIAL_TICKS :]} == {2}


def test_bursts_of_one_more_than_the_least_are_not_refused_for_good() -> None:
    """No trial of twice as many can let in a quarter more of them: none is refused in it."""
    kind = admission._Kind()
    stall = in_flight(kind, 100, 40, most=1, takes=4)
    assert stall[-1] == (1, admission._FEWEST_OVERLOADED)
    ticks, burst = 3 * admission._NEXT_TRIAL_TICKS, admission._FEWEST_OVERLOADED + 1
    seen = in_flight(kind, ticks, burst, most=9, takes=4, every=burst)
    later = [entered for entered, _ in seen[6 * admission._TRIAL_TICKS :]]
    assert sum(later) == len(later)


def test_an_overload_that_lasts_has_few_in_flight_but_for_trials() -> None:
    kind = admission._Kind()
    seen = in_flight(kind, 5 * admission._NEXT_TRIAL_TICKS, 8, most=1, takes=0)
    few = [running <= admission._FEWEST_OVERLOADED for _, running in seen]
    assert 0.95 * len(few) < sum(few) < len(few)


def test_a_single_stall_is_no_overload() -> None:
    async def run(service: Service) -> None:
        assert await service.ask_many(60, *READ) == []
        service.late.wait_s = 1
        service.tick(1)
        service.late.wait_s = 0
        service.tick(5)
        assert await service.ask_many(60, *READ) == []

    scenario(run)


def test_work_that_waits_for_its_own_kind_keeps_no_reader_out() -> None:
    async def run(service: Service) -> None:
        assert await service.ask_many(60, *READ) == []
        assert await service.ask_many(60, *WORK) == []
        service.late.own_wait_s = 1
        service.tick(20)
        assert len(await service.ask_many(1, *WORK)) == 1
        assert await service.ask_many(60, *READ) == []

    scenario(run)


def test_a_refusal_says_when_to_come_again_and_is_counted() -> None:
    async def run(service: Service) -> None:
        service.ask(*READ)
        await asyncio.sleep(0)
        service.late.wait_s = 1
        service.tick(20)
        (start, body), *_ = await service.ask_many(admission._FEWEST + 1, *READ)
        assert start["status"] == 503
        headers = dict(start["headers"])
        assert headers[b"retry-after"] == b"1"
        assert headers[b"content-type"] == b"application/problem+json"
        assert int(headers[b"content-length"]) == len(body["body"])
        problem = json.loads(body["body"])
        assert problem["code"] == "overloaded"
        assert problem["request_id"].encode() == headers[b"x-request-id"]
        (metric,) = service.traffic.seconds.collect()
        refused = [s for s in metric.samples if s.labels.get("status") == "503"]
        assert any(s.name.endswith("_count") and s.value >= 1 for s in refused)

    scenario(run)


def test_probes_always_pass_and_kinds_do_not_take_each_others_places() -> None:
    async def run(service: Service) -> None:
        assert len(await service.ask_many(200, *WORK)) == 200 - admission._MOST
        service.late.wait_s = 1
        service.tick(20)
        for probe in ("/livez", "/readyz", "/startupz", "/metrics"):
            assert await service.ask_many(200, "GET", probe) == []
        assert await service.ask_many(admission._FEWEST, *READ) == []
        assert await service.ask_many(admission._BULK_MOST, *BULK) == []
        assert len(await service.ask_many(1, *BULK)) == 1

    scenario(run)


def test_who_has_waited_for_long_takes_no_place() -> None:
    """It waits for something else than the event loop and the threads."""

    async def run(service: Service) -> None:
        assert len(await service.ask_many(admission._MOST + 1, *WORK)) == 1
        service.tick(2 * admission._GENERATION_TICKS)
        assert await service.ask_many(admission._MOST, *WORK) == []
        service.answered.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        service.answered.clear()
        assert len(await service.ask_many(admission._MOST + 1, *WORK)) == 1  # counted right

    scenario(run)


def test_the_clock_stops_when_nobody_asks() -> None:
    async def run(service: Service) -> None:
        service.answered.set()
        await service.ask(*READ)
        service.tick(admission._IDLE_TICKS + 1)
        assert service.limiter._clock is None
        await service.ask(*READ)
        assert service.limiter._clock is not None

    scenario(run)


def test_who_waits_for_an_answer_is_known_to_long_work() -> None:
    async def run(service: Service) -> None:
        assert not service.limiter.is_asked()
        for kind in (READ, WORK):
            await service.ask_many(1, *kind)
            assert service.limiter.is_asked()
            await service.answer_all()
            assert not service.limiter.is_asked()

    scenario(run)
