"""Webhooks as those who manage them see them."""

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from service.errors import (
    InvalidRequest,
    TooManyWebhooks,
    VersionConflict,
    WebhookNotFound,
)
from service.features.events.kinds import UnknownKind, selection
from service.features.webhooks.records import (
    ENDPOINTS,
    MOST_DEAD,
    MOST_ENDPOINTS,
    REQUESTS,
    STATES,
    Delivery,
    DeliveryState,
    Endpoint,
    Secret,
    State,
    bytes_of,
    deliveries,
    feed_place,
    place_of,
)
from service.features.webhooks.sending import Attempt
from service.features.webhooks.signing import body_of, headers_of, new_secret
from service.features.webhooks.targets import Targets
from service.features.webhooks.worker import Means
from service.store.base import ANY_STORED
from service.store.documents import Document, Put, RevisionConflict
from service.store.events import FeedPlace
from service.store.once import Made, Once, Requests

_MOST_IN_GRACE = 5
"""Secrets that sign beside the newest one: each makes the header longer."""
_OWN = "webhook"
"""Events of webhooks themselves: sent by webhooks, each failure would make another."""


@dataclass(frozen=True)
class Shown:
    """An endpoint, its revision, how far it is, and how many deliveries are due and dead."""

    endpoint: Endpoint
    revision: int
    state: State
    due: int
    dead: int


class Webhooks:
    """The use-cases behind `/v1/webhooks`."""

    def __init__(self, means: Means, targets: Targets, wake: Callable[[], None]) -> None:
        """Manage endpoints.

        Args:
            means: what the workers have too.
            targets: which may be asked.
            wake: tells the process's dispatcher of changes.
        """
        self._means = means
        self._documents = means.documents
        self._targets = targets
        self._wake = wake
        self._requests = Requests(means.documents, REQUESTS)

    async def create(
        self,
        url: str,
        kinds: Sequence[str],
        description: str,
        key_id: str,
        once: Once | None = None,
    ) -> tuple[Shown, str]:
        """Send events of some kinds to a target from now on; and the secret.

        Raises:
            InvalidRequest: the target may not be asked, or a kind is none.
            IdempotencyKeyReused: another request has the name of this one.
            TooManyWebhooks: there are as many as there may be.
        """
        noted = await self._requests.made(once)
        if once is not None and (made := await self._made_before(once, noted)) is not None:
            return made
        _check(kinds)
        await self._targets.check(self._targets.parsed(url))
        if await self._documents.count(ENDPOINTS) >= MOST_ENDPOINTS:
            raise TooManyWebhooks(f"there are {MOST_ENDPOINTS} webhooks already; delete one first")
        begins = place_of(await self._means.events.newest())
        webhook_id, secret = f"wh-{secrets.token_hex(8)}", new_secret()
        endpoint = Endpoint(
            webhook_id=webhook_id,
            url=url,
            kinds=list(kinds),
            description=description,
            secrets=[Secret(text=secret)],
            enabled=True,
            disabled_because=None,
            begins=begins,
            created_at=self._means.now(),
            created_by=key_id,
            request="" if once is None else once.request,
        )
        state = State(place=begins)
        puts = [
            Put(ENDPOINTS, webhook_id, bytes_of(endpoint), 0),
            Put(STATES, webhook_id, bytes_of(state), 0),
            *self._requests.making(once, webhook_id, noted),
        ]
        try:
            revision, *_ = await self._documents.change(puts)
        except RevisionConflict:  # the same request came twice at once
            noted = await self._requests.made(once)
            if once is None or (made := await self._made_before(once, noted)) is None:
                raise
            return made
        self._wake()
        return Shown(endpoint, revision, state, 0, 0), secret

    async def _made_before(self, once: Once, noted: Made) -> tuple[Shown, str] | None:
        """What an earlier request with this name made; None if there is none."""
        (found,) = await self._documents.get(ENDPOINTS, [noted.made_id])
        if found is None:
            return None
        shown = await self._shown(found)
        once.check(shown.endpoint.request)
        return shown, shown.endpoint.secrets[0].text

    async def page(self, after: str, limit: int) -> tuple[list[Shown], str | None]:
        """Endpoints by id, and the id that the next page comes after; None on the last one."""
        found = await self._documents.page(ENDPOINTS, after or None, limit + 1)
        shown = [await self._shown(document) for document in found[:limit]]
        return shown, found[limit - 1].document_id if len(found) > limit else None

    async def get(self, webhook_id: str) -> Shown:
        """An endpoint.

        Raises:
            WebhookNotFound: there is none.
        """
        return await self._shown(await self._stored(webhook_id))

    async def update(
        self, webhook_id: str, changes: Mapping[str, object], versions: Sequence[int]
    ) -> Shown:
        """Change url, kinds, description or enabled.

        Args:
            webhook_id: of the endpoint.
            changes: by field.
            versions: of which it must have one; none = any.

        Raises:
            WebhookNotFound, VersionConflict: as they say.
            InvalidRequest: the target may not be asked, or a kind is none.
        """
        if isinstance(url := changes.get("url"), str):
            await self._targets.check(self._targets.parsed(url))
        newest = await self._means.events.newest()

        def change(before: Endpoint) -> Endpoint:
            after = before.model_copy(update=dict(changes))
            if after.kinds != before.kinds:
                _check(after.kinds)
                begins = _begins(before, after.kinds, newest)
                after = after.model_copy(update={"begins": place_of(begins)})
            if after.enabled:
                after = after.model_copy(update={"disabled_because": None})
            return after

        return await self._changed(webhook_id, change, versions)

    async def rotate(
        self, webhook_id: str, grace_s: float, once: Once | None = None
    ) -> tuple[Shown, str]:
        """Give an endpoint another secret; the one before signs too for a while.

        So do those before it whose time is not over, up to a bound; without a time all end.

        Raises:
            WebhookNotFound: there is none.
            IdempotencyKeyReused: another request has the name of this one.
        """
        secret, now = new_secret(), self._means.now()
        rotation = "" if once is None else once.request

        def change(before: Endpoint) -> Endpoint:
            if once is not None and before.rotation.startswith(once.key):
                once.check(before.rotation)
                return before
            last, *earlier = before.secrets
            kept = [Secret(text=last.text, until=now + grace_s)]
            kept += [one for one in earlier if one.until is not None and one.until > now]
            secrets = [Secret(text=secret), *kept[: _MOST_IN_GRACE if grace_s else 0]]
            return before.model_copy(update={"secrets": secrets, "rotation": rotation})

        shown = await self._changed(webhook_id, change)
        return shown, shown.endpoint.secrets[0].text

    async def delete(self, webhook_id: str, versions: Sequence[int]) -> None:
        """Remove an endpoint with all that waits for it.

        Raises:
            WebhookNotFound, VersionConflict: as they say.
        """
        while True:
            found = await self._stored(webhook_id)
            _check_version(found, versions)
            request = Endpoint.model_validate_json(found.body).request
            gone = [
                Put(ENDPOINTS, webhook_id, None, found.revision),
                Put(STATES, webhook_id, None),
                *self._requests.forgetting(request),
            ]
            # No worker adds to these any more: each of its changes expects the state.
            waiting = [deliveries(webhook_id, state) for state in get_args(DeliveryState)]
            try:
                await self._documents.change(gone, drops=waiting)
            except RevisionConflict:
                continue
            self._wake()
            return

    async def test(self, webhook_id: str) -> Attempt:
        """Send `webhook.ping` at once; how that ended. It is tried once.

        Raises:
            WebhookNotFound: there is none.
        """
        endpoint = Endpoint.model_validate_json((await self._stored(webhook_id)).body)
        now = self._means.now()
        event_id, message = f"evt-{secrets.token_hex(12)}", f"msg_{secrets.token_hex(12)}"
        data = json.dumps({"webhook_id": webhook_id}).encode()
        body = body_of(event_id, "webhook.ping", now, data)
        headers = headers_of(message, body, now, endpoint.keys(now))
        return await self._means.sender.post(endpoint.url, headers, body)

    async def deliveries(
        self, webhook_id: str, state: DeliveryState, after: str, limit: int
    ) -> tuple[list[Delivery], str | None]:
        """Deliveries that are due, dead, or of late delivered; the first in the feed first.

        Raises:
            WebhookNotFound: there is no such endpoint.
        """
        await self._stored(webhook_id)
        collection = deliveries(webhook_id, state)
        if state == "delivered":  # a ring
            ring = [_delivery(d) for d in await self._documents.page(collection, None, 1000)]
            ring.sort(key=lambda delivery: delivery.number)
            found = [delivery for delivery in ring if delivery.document_id > after]
        else:
            page = await self._documents.page(collection, after or None, limit + 1)
            found = [_delivery(document) for document in page]
        more = len(found) > limit
        return found[:limit], found[limit - 1].document_id if more else None

    async def replay(self, webhook_id: str, ids: Sequence[str] | None) -> int:
        """Make dead letters due again, with the same message ids; how many.

        Args:
            webhook_id: of the endpoint.
            ids: of deliveries; None = all.

        Raises:
            WebhookNotFound: there is no such endpoint.
            InvalidRequest: a delivery is not among the dead.
            VersionConflict: others changed the endpoint again and again.
        """
        dead, due = deliveries(webhook_id, "dead"), deliveries(webhook_id, "due")
        for _ in range(5):
            found = await self._stored(webhook_id)
            if ids is None:
                letters = await self._documents.page(dead, None, MOST_DEAD)
            else:
                letters = _all_there(ids, await self._documents.get(dead, ids))
            endpoint = Endpoint.model_validate_json(found.body)
            endpoint.replays += 1
            puts = [Put(ENDPOINTS, webhook_id, bytes_of(endpoint), found.revision)]
            for letter in letters:
                again = _delivery(letter).model_copy(
                    update={"attempts": 0, "next_at": 0.0, "delay_s": 0.0}
                )
                puts.append(Put(dead, letter.document_id, None, letter.revision))
                puts.append(Put(due, letter.document_id, bytes_of(again), 0))
            try:
                await self._documents.change(puts if letters else [])
            except RevisionConflict:
                continue
            self._wake()
            return len(letters)
        raise VersionConflict(f"the webhook {webhook_id!r} is being changed; try again")

    async def _changed(
        self,
        webhook_id: str,
        change: Callable[[Endpoint], Endpoint],
        versions: Sequence[int] = (),
    ) -> Shown:
        while True:
            found = await self._stored(webhook_id)
            _check_version(found, versions)
            before = Endpoint.model_validate_json(found.body)
            after = change(before)
            if after == before:
                return await self._shown(found)
            try:
                (revision,) = await self._documents.change(
                    [Put(ENDPOINTS, webhook_id, bytes_of(after), found.revision)]
                )
            except RevisionConflict:
                continue
            self._wake()
            return await self._shown(Document(webhook_id, revision, bytes_of(after)))

    async def _stored(self, webhook_id: str) -> Document:
        (found,) = await self._documents.get(ENDPOINTS, [webhook_id])
        if found is None:
            raise WebhookNotFound(f"there is no webhook {webhook_id!r}; GET /v1/webhooks lists all")
        return found

    async def _shown(self, document: Document) -> Shown:
        endpoint = Endpoint.model_validate_json(document.body)
        (stored,) = await self._documents.get(STATES, [document.document_id])
        state = (
            State(place=endpoint.begins)
            if stored is None
            else State.model_validate_json(stored.body)
        )
        due, dead = [
            await self._documents.count(deliveries(document.document_id, kind))
            for kind in ("due", "dead")
        ]
        return Shown(endpoint, document.revision, state, due, dead)


def _check(kinds: Sequence[str]) -> None:
    """Refuse kinds that are none, or that are not sent."""
    try:
        wanted = selection(kinds)
    except UnknownKind as error:
        raise InvalidRequest.of("/kinds", str(error)) from None
    if wanted.groups and _OWN in wanted.groups:
        raise InvalidRequest.of(
            "/kinds", f"{_OWN}.* is not sent by webhooks; read it with GET /v1/events"
        )


def _begins(before: Endpoint, kinds: Sequence[str], newest: FeedPlace) -> FeedPlace:
    """Where kinds begin that are sent from now on; the others go on where they are."""
    known = selection(before.kinds).groups or frozenset()
    added = (selection(kinds).groups or frozenset()) - known
    old = feed_place(before.begins)
    kept = dict(old.numbers) if old.epoch == newest.epoch else dict[str, int]()
    numbers = {**kept, **{g: n for g, n in newest.numbers.items() if g in added}}
    return FeedPlace(newest.epoch, numbers)


def _check_version(found: Document, versions: Sequence[int]) -> None:
    if versions and ANY_STORED not in versions and found.revision not in versions:
        raise VersionConflict(
            f"the webhook {found.document_id!r} is at version {found.revision}; read it again and "
            "repeat the change"
        )


def _all_there(ids: Sequence[str], found: Sequence[Document | None]) -> list[Document]:
    for at, (name, document) in enumerate(zip(ids, found, strict=True)):
        if document is None:
            raise InvalidRequest.of(
                f"/delivery_ids/{at}",
                f"{name!r} is not among the dead letters; GET .../deliveries?state=dead lists them",
            )
    return [document for document in found if document is not None]


def _delivery(document: Document) -> Delivery:
    return Delivery.model_validate_json(document.body)
