"""Nothing is computed for a client who has left, and what was begun to be written is."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Message, Receive, Scope, Send

from service.http.disconnect import CancelOnDisconnect

END: Message = {"type": "http.disconnect"}


class Client:
    """Sends a body, reads an answer, and leaves when it is told to."""

    def __init__(self, *parts: bytes) -> None:
        more = len(parts)
        self.left = asyncio.Event()
        self.sent: list[Message] = []
        self._messages: list[Message] = [
            {"type": "http.request", "body": part, "more_body": i < more}
            for i, part in enumerate(parts, 1)
        ]

    async def receive(self) -> Message:
        if self._messages:
            return self._messages.pop(0)
        await self.left.wait()
        return END

    async def send(self, message: Message) -> None:
        self.sent.append(message)


async def answer(receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def ask(
    method: str, path: str, client: Client, work: Callable[[], Awaitable[None]]
) -> "asyncio.Task[None]":
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if method != "GET":
            while (await receive()).get("more_body"):
                pass
        await work()
        await answer(receive, send) if method == "GET" else await send(
            {"type": "http.response.body", "body": b"done"}
        )

    scope = {"type": "http", "method": method, "path": path}
    return asyncio.create_task(CancelOnDisconnect(app)(scope, client.receive, client.send))


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/similar"), ("POST", "/v1/similar"), ("GET", "/v1/outreach")],
)
def test_a_question_is_cancelled_when_nobody_waits_for_it(method: str, path: str) -> None:
    async def scenario() -> None:
        begun, cancelled = asyncio.Event(), asyncio.Event()

        async def work() -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise

        client = Client(b"{", b"}") if method == "POST" else Client(b"")
        task = ask(method, path, client, work)
        await begun.wait()
        client.left.set()
        await task  # it ends, and nobody is told of an error
        assert cancelled.is_set()
        assert client.sent == []

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/v1/streamers/s"),
        ("POST", "/v1/streamers:bulk"),
        ("POST", "/v1/keys"),
        ("POST", "/v1/keys/k:rotate"),
        ("POST", "/v1/spaces/s:rollback"),
        ("POST", "/v1/spaces/s/generations/g:promote"),
        ("POST", "/v1/models/m:retire"),
        ("POST", "/v1/models:rollback"),
        ("POST", "/v1/outreach"),
        ("POST", "/v1/watchlists"),
    ],
)
def test_a_write_goes_on(method: str, path: str) -> None:
    async def scenario() -> None:
        client = Client(b"{}")

        async def work() -> None:
            client.left.set()
            for _ in range(10):
                await asyncio.sleep(0)

        await ask(method, path, client, work)
        assert client.sent[-1]["body"] == b"done"

    asyncio.run(scenario())


def test_who_is_stopped_for_another_reason_is_stopped() -> None:
    async def scenario() -> None:
        begun = asyncio.Event()

        async def work() -> None:
            begun.set()
            await asyncio.Event().wait()

        task = ask("POST", "/v1/similar", Client(b"{}"), work)
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())


def test_who_leaves_after_the_answer_cancels_nothing() -> None:
    async def scenario() -> None:
        client, ended = Client(b"{}"), False

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            nonlocal ended
            await answer(receive, send)
            client.left.set()
            for _ in range(10):
                await asyncio.sleep(0)
            ended = True

        scope = {"type": "http", "method": "POST", "path": "/v1/similar"}
        await CancelOnDisconnect(app)(scope, client.receive, client.send)
        assert ended
        assert [message["type"] for message in client.sent] == [
            "http.response.start",
            "http.response.body",
        ]

    asyncio.run(scenario())
