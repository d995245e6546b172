"""Sends calls, and again where that helps. `generate.py` writes `transport.py` from this file."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, TypeVar

import httpx

from service.client import calls
from service.client.calls import Call
from service.client.connections import async_blocks, async_http_of, headers_of
from service.client.errors import (
    ApiProblem,
    ClientError,
    OutcomeUnknown,
    UnexpectedAnswer,
    connection_errors,
    refusal_of,
)
from service.client.lines import EVENTS, NDJSON, Chunk, EventSplitter, LineSplitter
from service.client.parallel import async_sleep
from service.client.patience import Attempts, LastWrite, Patience

Answer = TypeVar("Answer")
Event = tuple[str, bytes]


class AsyncTransport:
    """Connections to one service.

    Attributes:
        url: of the service.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None,
        patience: Patience,
        http: httpx.AsyncClient | None,
        last: LastWrite,
    ) -> None:
        """Make no connection yet.

        Args:
            url: of the service, without a slash at the end.
            api_key: of every request.
            patience: deadlines and retries.
            http: what sends; None = one of its own, which `aclose` closes.
            last: is told where the store ends, once a question is refused by that.

        Raises:
            ClientError: the key can't be sent, or the address or a proxy can't be used.
        """
        self.url = url
        self._headers = headers_of(api_key)
        self._patience = patience
        self._http = http or async_http_of(url)
        self._owns_http = http is None
        self._last = last
        self._keyed: frozenset[str] | None = None

    def attempts(self, *, attempt_s: float) -> Attempts:
        """Tries that go on until nothing is heard for the time of a call, or of a try if longer."""
        longest_s = max(self._patience.deadline_s, attempt_s)
        patience = replace(self._patience, attempt_s=attempt_s, attempts=None)
        return Attempts(replace(patience, deadline_s=longest_s))

    async def aclose(self) -> None:
        """Close all connections."""
        if self._owns_http:
            await self._http.aclose()

    async def call(
        self, call: Call[Answer], deadline_s: float | None, *, attempts: int | None = None
    ) -> Answer:
        """The answer of a call, after as many tries as it takes and may have.

        Raises:
            ClientError: there is none.
        """
        patience = self._patience
        if attempts is not None:
            patience = replace(patience, attempts=attempts)
        tries = Attempts(patience, deadline_s)
        while True:
            try:
                return await self._answer(call, tries)
            except ClientError as error:
                await self.pause(call, tries, error)

    async def try_once(self, call: Call[Answer], tries: Attempts) -> Answer:
        """The answer of one try of several that count together.

        Raises:
            ClientError: there is none.
        """
        answer = await self._answer(call, tries)
        tries.start_again()
        return answer

    async def events(self, call: Call[Any], tries: Attempts) -> AsyncGenerator[list[Event], None]:
        """Id and data of server-sent events as they come, none of a mere sign of life; one try.

        Raises:
            ClientError: there is no such answer, or it broke off.
        """
        response = await self._begun(call, tries, EVENTS)
        splitter = EventSplitter()
        async with aclosing(response):
            with connection_errors(self.url):
                async for part in response.aiter_bytes():
                    tries.start_again()
                    yield splitter.feed(part)

    async def lines(self, call: Call[Any], deadline_s: float | None) -> AsyncGenerator[bytes, None]:
        """Complete lines of the answer; the call is made once more only before the first of them.

        Raises:
            ClientError: there is no answer, or it broke off.
        """
        tries = Attempts(self._patience, deadline_s)
        while True:
            try:
                response = await self._begun(call, tries)
                break
            except ClientError as error:
                await self.pause(call, tries, error)
        async with aclosing(response), aclosing(self._lines(response)) as lines:
            async for line in lines:
                yield line

    async def write(self, chunk: Chunk, deadline_s: float | None) -> None:
        """Send a chunk until each of its lines has a result.

        Raises:
            ClientError: some have none.
        """
        tries = Attempts(self._patience, deadline_s)
        while not chunk.is_done:
            call, had = calls.bulk(chunk.body()), len(chunk.results)
            try:
                response = await self._begun(call, tries)
                async with aclosing(response), aclosing(self._lines(response)) as lines:
                    async for line in lines:
                        chunk.take(self.url, line)
                chunk.check(self.url)
            except ClientError as error:
                if len(chunk.results) > had:
                    tries.start_again()
                try:
                    await self.pause(call, tries, error)
                except ClientError:
                    chunk.settle_unfetched()
                    if not chunk.is_done:
                        raise

    async def _answer(self, call: Call[Answer], tries: Attempts) -> Answer:
        """One try, whose answer is read to its end."""
        body = bytearray()
        async with aclosing(await self._sent(call, tries)) as response:
            with connection_errors(self.url):
                async for part in response.aiter_bytes():
                    body += part
                    tries.check(len(body))
        return call.answer(self.url, response.status_code, response.headers, bytes(body))

    async def _begun(
        self, call: Call[Any], tries: Attempts, media_type: str = NDJSON
    ) -> httpx.Response:
        """One try, whose answer is of that type and not read yet; the caller closes it."""
        response = await self._sent(call, tries)
        said = response.headers.get("content-type", "").partition(";")[0]
        if response.is_success and said == media_type:
            return response
        async with aclosing(response):
            with connection_errors(self.url):
                body = await response.aread()
        if response.is_success:
            raise UnexpectedAnswer(self.url, response.status_code, body)
        raise refusal_of(self.url, response.status_code, response.headers, body)

    async def _sent(self, call: Call[Any], tries: Attempts) -> httpx.Response:
        """The response whose body is not read yet; the caller closes it."""
        with connection_errors(self.url):
            request = self._http.build_request(
                call.method,
                f"{self.url}{call.path}",
                params=call.params or None,
                content=call.content if call.file is None else async_blocks(call.file),
                headers={**self._headers, **call.headers},
                timeout=tries.timeout(),
            )
            return await self._http.send(request, stream=True)

    async def _lines(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        splitter = LineSplitter()
        with connection_errors(self.url):
            async for part in response.aiter_bytes():
                for line in splitter.feed(part):
                    yield line

    async def pause(self, call: Call[Any], tries: Attempts, error: ClientError) -> None:
        """Wait until a call may be made again; else raise the error that says why not."""
        if isinstance(error, ApiProblem):
            self._last.limit(error.problem.store_sequence)
        pause_s = tries.pause_after(error)
        is_doubtful = error.is_in_doubt and not call.is_repeatable
        if is_doubtful and not await self._is_keyed(call, tries):
            raise OutcomeUnknown(
                f"it is not known whether {call.method} {call.path} was carried out: {error.detail}"
            ) from error
        await async_sleep(pause_s)

    async def _is_keyed(self, call: Call[Any], tries: Attempts) -> bool:
        """Whether the service carries out a call once, however often it comes with its key."""
        if calls.KEY not in call.headers:
            return False
        while self._keyed is None:  # mostly the trouble that the call itself met
            try:
                try:
                    self._keyed = await self._answer(calls.keyed_methods(), tries)
                except ClientError as error:
                    await async_sleep(tries.pause_after(error))
            except ClientError:
                return False  # it does not say so, or not in time
        return call.method in self._keyed
