"""Delivers to one endpoint: reads the feed for it, sends what is due, and stores how that went.

The feed is the queue: a part of it (`MOST_DUE`) is stored as deliveries before any of these is
due, in one step with the place up to which it was read. An endpoint that is down for days so takes
no more room than that; what leaves the feed meanwhile is told as `webhook.missed`.

Every change expects the revision of the endpoint's state that this worker wrote last. Where two
processes believe that they deliver, or somebody deleted the endpoint, one of them is refused and
reads anew; a message may then be sent twice, with the same id.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from service.features.events.kinds import Selection, selection
from service.features.events.news import News
from service.features.webhooks.messages import dead_lettered, messages_of, told
from service.features.webhooks.records import (
    ENDPOINTS,
    MOST_DEAD,
    MOST_DELIVERED,
    MOST_DUE,
    STATES,
    Delivered,
    Delivery,
    Endpoint,
    State,
    bytes_of,
    deliveries,
    place_of,
)
from service.features.webhooks.retries import delay_s, wait_s
from service.features.webhooks.schedule import Item, Schedule
from service.features.webhooks.sending import Attempt, Sender
from service.features.webhooks.signing import headers_of
from service.store.documents import Document, DocumentStore, Put
from service.store.events import EventStore, FeedGap, FeedPlace, NewEvent, StoredEvent

_log = logging.getLogger(__name__)
_AT_ONCE = 4
_PAGE = 200
_SKIPPED = 1000
"""After so many events that are not for the endpoint, how far it is is stored."""
_IDLE_S = 5.0
_PAUSES_S = (1.0, 2.0, 5.0, 15.0, 60.0)
"""Before an endpoint is asked again that gives no answer, or wants to be asked less."""


@dataclass
class Means:
    """What every worker works with.

    Attributes:
        documents: where all is stored.
        events: the feed.
        news: of the feed.
        sender: posts.
        now: seconds since 1970; may be set back.
        counts: of all workers.
    """

    documents: DocumentStore
    events: EventStore
    news: News
    sender: Sender
    now: Callable[[], float] = time.time
    counts: Delivered = field(default_factory=Delivered)


class Gone(Exception):
    """There is no such endpoint any more."""


class Worker:
    """One endpoint's deliveries, while this process is the one that delivers."""

    def __init__(self, means: Means, webhook_id: str) -> None:
        """Read nothing yet."""
        self._means = means
        self._id = webhook_id
        self._schedule = Schedule()
        self._sending: dict[asyncio.Task[Attempt], Item] = {}
        self._changed = asyncio.Event()
        self._failing = 0  # how often in a row there was no answer
        self._resumes = 0.0
        self._skipped = 0
        self._is_behind = True
        self.revision = 0
        self._endpoint: Endpoint
        self._state: State
        self._state_revision = 0

    @property
    def due(self) -> int:
        """How many deliveries are not done."""
        return len(self._schedule)

    @property
    def oldest_at(self) -> float | None:
        """When the oldest event happened that is to be delivered and is not."""
        return self._schedule.oldest_at if self.revision and self._endpoint.enabled else None

    def look(self, revision: int) -> None:
        """The endpoint was seen with a revision, maybe by somebody else's change."""
        if revision > self.revision:
            self._changed.set()

    async def run(self) -> None:
        """Deliver until the endpoint is gone, or something fails.

        Raises:
            Gone: it is.
            RevisionConflict: others changed it; run another worker.
            Unavailable: the store does not answer, or is full; likewise later.
        """
        try:
            await self._open()
            while True:
                await self._fill()
                self._start()
                await self._wait()
        finally:
            for task in self._sending:
                task.cancel()
            await asyncio.gather(*self._sending, return_exceptions=True)

    async def _open(self) -> None:
        (state,) = await self._means.documents.get(STATES, [self._id])
        if state is None:
            raise Gone
        self._state, self._state_revision = State.model_validate_json(state.body), state.revision
        await self._refresh()

    async def _refresh(self) -> None:
        """Take in the endpoint as it is now, and deliveries that were made due again."""
        self._changed.clear()
        (found,) = await self._means.documents.get(ENDPOINTS, [self._id])
        if found is None:
            raise Gone
        self._endpoint, self.revision = Endpoint.model_validate_json(found.body), found.revision
        self._failing, self._is_behind = 0, True
        after = None
        while page := await self._means.documents.page(self._due, after, _PAGE):
            for document in page:
                self._add(document)
            after = page[-1].document_id

    def _add(self, document: Document) -> None:
        delivery = Delivery.model_validate_json(document.body)
        if delivery.number not in self._schedule:
            wait = wait_s(delivery.delay_s, delivery.next_at, self._means.now())
            self._schedule.add(Item(delivery, document.revision, _clock() + wait))

    @property
    def _due(self) -> str:
        return deliveries(self._id, "due")

    @property
    def _selection(self) -> Selection:
        return selection(self._endpoint.kinds)

    # From the feed

    async def _fill(self) -> None:
        """Store deliveries of what comes next in the feed, as far as there is room."""
        while self._endpoint.enabled and self._is_behind and len(self._schedule) < MOST_DUE:
            room = min(MOST_DUE - len(self._schedule), _PAGE)
            wanted = self._selection
            place = self._place(wanted)
            try:
                page = await self._means.events.page(place, room, wanted.groups)
            except FeedGap as gap:
                await self._tell_missed(place, gap)
                continue
            # Kinds that were added before one of these events must not be passed by.
            if page.events and not await self._is_current():
                await self._refresh()
                continue
            self._is_behind = bool(page.events)
            chosen = [event for event in page.events if wanted.has(event.kind)]
            self._skipped += len(page.events) - len(chosen)
            self._state.place = place_of(page.after)
            if chosen or self._skipped >= _SKIPPED:
                await self._enqueue(chosen)

    async def _is_current(self) -> bool:
        """Whether nobody has changed the endpoint since it was read."""
        (found,) = await self._means.documents.get(ENDPOINTS, [self._id])
        return found is not None and found.revision == self.revision

    def _place(self, wanted: Selection) -> FeedPlace:
        """Where to go on: never before what is sent begins; groups without events begin there."""
        at, begins = self._state.place, self._endpoint.begins
        numbers = dict.fromkeys(wanted.groups or (), 0) | at.numbers
        if at.epoch == begins.epoch:
            numbers |= {g: max(n, numbers.get(g, 0)) for g, n in begins.numbers.items()}
        marks = {g: m for g, m in at.marks.items() if numbers[g] == at.numbers[g]}
        return FeedPlace(at.epoch, numbers, marks)

    async def _enqueue(self, events: Sequence[StoredEvent]) -> None:
        made = messages_of(self._id, events, self._state.following)
        self._state.following += len(made)
        puts = [Put(self._due, delivery.document_id, bytes_of(delivery), 0) for delivery in made]
        revisions = await self._change(puts)
        self._skipped = 0
        for delivery, revision in zip(made, revisions, strict=True):
            self._schedule.add(Item(delivery, revision, _clock()))

    async def _tell_missed(self, place: FeedPlace, gap: FeedGap) -> None:
        if gap.missed:
            numbers = {g: n + gap.missed.get(g, 0) for g, n in place.numbers.items()}
            marks = {g: m for g, m in place.marks.items() if g not in gap.missed}
            following = FeedPlace(place.epoch, numbers, marks)
        else:  # another feed, as after a restore: all that it has is new
            following = (await self._means.events.page(None, 1)).begins
        self._state.place = place_of(following)
        self._state.missed += sum(gap.missed.values())
        data = {
            "webhook_id": self._id,
            "missed": gap.missed or None,
            "reason": str(gap),
        }
        cause = f"{place.epoch} {sorted(place.numbers.items())} {following.epoch}"
        await self._change([], [told("webhook.missed", self._id, cause, data)])
        _log.warning("the webhook %s has missed events: %s", self._id, gap)
        self._means.counts.missed += sum(gap.missed.values()) or 1  # of another feed: not known

    # To the endpoint

    def _start(self) -> None:
        """Send what is due: one at a time to an endpoint that fails, to others a few."""
        at_once = 1 if self._failing else _AT_ONCE
        now = _clock()
        while (
            self._endpoint.enabled
            and len(self._sending) < at_once
            and now >= self._resumes
            and (item := self._schedule.take(now))
        ):
            self._sending[asyncio.create_task(self._send(item.delivery))] = item

    async def _send(self, delivery: Delivery) -> Attempt:
        now = self._means.now()
        keys = self._endpoint.keys(now)
        headers = headers_of(delivery.message, delivery.body, now, keys)
        return await self._means.sender.post(self._endpoint.url, headers, delivery.body)

    async def _wait(self) -> None:
        """Wait until there is something to do, and store what was done."""
        others: list[asyncio.Task[bool]] = [asyncio.create_task(self._changed.wait())]
        if self._endpoint.enabled and len(self._schedule) < MOST_DUE:
            others.append(asyncio.create_task(self._news()))
        try:
            await asyncio.wait(
                [*self._sending, *others],
                timeout=self._timeout_s(),
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
        for task in others[1:]:
            if not task.cancelled():
                self._is_behind = task.result() or self._is_behind
        if done := [task for task in self._sending if task.done()]:
            await self._settle([(self._sending.pop(task), task.result()) for task in done])
        if self._changed.is_set():
            await self._refresh()

    async def _news(self) -> bool:
        wanted = self._selection
        return await self._means.news.wait(self._place(wanted), wanted, _IDLE_S)

    def _timeout_s(self) -> float:
        at = self._schedule.next_at()
        if not self._endpoint.enabled or at is None or self._sending:
            return _IDLE_S
        return min(_IDLE_S, max(0.0, max(at, self._resumes) - _clock()))

    async def _settle(self, ended: Sequence[tuple[Item, Attempt]]) -> None:
        """Store how attempts ended, in one step."""
        puts: list[Put] = []
        events: list[NewEvent] = []
        finished: list[Item] = []
        again: list[Item] = []
        dead: list[Delivery] = []
        now = self._means.now()
        for item, attempt in ended:
            delivery = item.delivery
            delivery.attempts += 1
            delivery.last_at, delivery.last_status = now, attempt.status
            delivery.last_error = attempt.error
            self._note(attempt, now)
            delay = delay_s(delivery.attempts, attempt.retry_after_s)
            if attempt.error is not None and delay is not None:
                delivery.next_at, delivery.delay_s = now + delay, delay
                item.due = _clock() + delay
                puts.append(self._put_due(item, bytes_of(delivery)))
                again.append(item)
                continue
            puts.append(self._put_due(item, None))
            finished.append(item)
            if attempt.error is None:
                puts.append(self._put_delivered(delivery))
            else:
                dead.append(delivery)
                events.append(dead_lettered(self._id, delivery))
        if dead:
            puts += await self._put_dead(dead)
        if any(attempt.is_gone for _, attempt in ended):
            put, event = self._disable()
            puts.append(put)
            events.append(event)
        revisions = await self._change(puts, events)
        for put, revision in zip(puts, revisions, strict=True):
            for item in again:
                if put.collection == self._due and put.document_id == item.delivery.document_id:
                    item.revision = revision
            if put.collection == ENDPOINTS:
                self._changed.set()
                _log.warning("the webhook %s is disabled: its target answered 410", self._id)
                self._means.counts.disabled += 1
        for item in again:
            self._schedule.later(item)
        for item in finished:
            self._schedule.done(item)
        self._count(finished, again)

    def _count(self, finished: Sequence[Item], again: Sequence[Item]) -> None:
        counts = self._means.counts
        dead = sum(item.delivery.last_error is not None for item in finished)
        counts.delivered += len(finished) - dead
        counts.dead += dead
        counts.failed += len(again) + dead

    def _note(self, attempt: Attempt, now: float) -> None:
        """Note how the endpoint does."""
        if attempt.error is None:
            self._failing, self._resumes = 0, 0.0
            self._state.delivered += 1
            self._state.last_success_at = now
            return
        self._state.last_failure_at, self._state.last_failure = now, attempt.error
        if attempt.wants_less:
            pause = _PAUSES_S[min(self._failing, len(_PAUSES_S) - 1)]
            self._failing += 1
            self._resumes = _clock() + max(pause, min(attempt.retry_after_s or 0.0, _PAUSES_S[-1]))

    def _put_due(self, item: Item, body: bytes | None) -> Put:
        return Put(self._due, item.delivery.document_id, body, item.revision)

    def _put_delivered(self, delivery: Delivery) -> Put:
        """In place of the one that is the oldest by then."""
        place = f"{delivery.number % MOST_DELIVERED:03}"
        return Put(deliveries(self._id, "delivered"), place, bytes_of(delivery))

    async def _put_dead(self, given_up: Sequence[Delivery]) -> list[Put]:
        """With the oldest removed where there are too many."""
        dead, documents = deliveries(self._id, "dead"), self._means.documents
        puts = [Put(dead, delivery.document_id, bytes_of(delivery)) for delivery in given_up]
        surplus = await documents.count(dead) + len(given_up) - MOST_DEAD
        if surplus > 0:
            oldest = await documents.page(dead, None, surplus)
            puts += [Put(dead, document.document_id, None) for document in oldest]
        return puts

    def _disable(self) -> tuple[Put, NewEvent]:
        reason = "the target answered 410: it wants no more webhooks"
        disabled = self._endpoint.model_copy(update={"enabled": False, "disabled_because": reason})
        data = {"webhook_id": self._id, "url": self._endpoint.url, "reason": reason}
        return (
            Put(ENDPOINTS, self._id, bytes_of(disabled), self.revision),
            told("webhook.disabled", self._id, str(self.revision), data),
        )

    async def _change(self, puts: Sequence[Put], events: Sequence[NewEvent] = ()) -> list[int]:
        """Change documents together with the state; the revisions of `puts`."""
        state = Put(STATES, self._id, bytes_of(self._state), self._state_revision)
        *revisions, self._state_revision = await self._means.documents.change(
            [*puts, state], events=events
        )
        return revisions


def _clock() -> float:
    """Seconds of a clock that nobody sets."""
    return time.monotonic()
