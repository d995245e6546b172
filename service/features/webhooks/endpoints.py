"""`/v1/webhooks`: who is told what happens."""

from typing import Annotated

from fastapi import Depends, Path, Query, Response

from service.errors import (
    IdempotencyKeyReused,
    StoreFull,
    TooManyWebhooks,
    VersionConflict,
    WebhookNotFound,
)
from service.features.webhooks.records import Delivery
from service.features.webhooks.schemas import (
    ID_PATTERN,
    DeliveryOut,
    DeliveryPage,
    Listed,
    ReplayedOut,
    ReplayIn,
    RotateSecretIn,
    TestedOut,
    WebhookChangesIn,
    WebhookDeletedOut,
    WebhookIn,
    WebhookOut,
    WebhookPage,
    WebhookWithSecretOut,
)
from service.features.webhooks.service import Shown, Webhooks
from service.http.auth.audit import CurrentAudit
from service.http.auth.callers import CurrentCaller
from service.http.auth.route_scopes import requires
from service.http.dependencies import CheckedRouter, service_named
from service.http.documents import BODY, STORE, responses
from service.http.headers.cursors import Cursor, cursor_of, place_of
from service.http.headers.etag import ETAG, ExpectedVersions
from service.http.headers.idempotency import OnceByKey
from service.http.json_bodies import JsonRoute
from service.http.openapi import RUNNING_IT
from service.http.problems import Checked

router = CheckedRouter(route_class=JsonRoute, prefix="/v1", tags=[RUNNING_IT])
CurrentWebhooks = Annotated[Webhooks, Depends(service_named("webhooks", Webhooks))]
WebhookIdPath = Annotated[
    str,
    Path(
        pattern=ID_PATTERN,
        description="As POST /v1/webhooks answered; GET lists them.",
    ),
]
_WRITE = (*STORE, StoreFull)
_LISTING = "webhooks"
_ROTATE_BY_DEFAULT, _REPLAY_BY_DEFAULT = RotateSecretIn(), ReplayIn()


def _fields(shown: Shown) -> dict[str, object]:
    endpoint, state = shown.endpoint, shown.state
    before = endpoint.secrets[1:]
    return {
        **endpoint.model_dump(exclude={"secrets", "begins", "replays"}),
        "version": shown.revision,
        "previous_secret_until": before[0].until if before else None,
        "due": shown.due,
        "dead": shown.dead,
        **state.model_dump(exclude={"place", "following"}),
    }


def _tagged(shown: Shown, response: Response) -> dict[str, object]:
    response.headers["ETag"] = f'"{shown.revision}"'
    return _fields(shown)


def _with_secret(shown: Shown, secret: str, response: Response) -> WebhookWithSecretOut:
    response.headers["Cache-Control"] = "no-store"
    return WebhookWithSecretOut.model_validate({**_tagged(shown, response), "secret": secret})


def _delivery_out(delivery: Delivery) -> DeliveryOut:
    fields = delivery.model_dump(exclude={"number", "message", "key", "body", "next_at", "delay_s"})
    return DeliveryOut.model_validate(
        {
            **fields,
            "delivery_id": delivery.document_id,
            "message_id": delivery.message,
            "next_at": delivery.next_at or None,
        }
    )


@router.post(
    "/webhooks",
    operation_id="create_webhook",
    summary="Send events to another service",
    dependencies=[requires("admin")],
    status_code=201,
    responses=responses(*BODY, *_WRITE, TooManyWebhooks, IdempotencyKeyReused)
    | {201: {"headers": ETAG}},
)
async def create_webhook(
    webhooks: CurrentWebhooks,
    caller: CurrentCaller,
    audit: CurrentAudit,
    body: Checked[WebhookIn],
    once: OnceByKey,
    response: Response,
) -> WebhookWithSecretOut:
    """Each event from now on is posted as Standard Webhooks says; the secret is shown this once.

    Messages are signed, arrive at least once, in order of each streamer, and are tried again for
    three days; those that no attempt delivers are dead letters (`webhook.dead_lettered` in
    GET /v1/events). A target that answers 410 is disabled (`webhook.disabled`). Events that leave
    the feed before they can be sent are counted (`webhook.missed`).
    """
    shown, secret = await webhooks.create(
        body.url, body.kinds, body.description, caller.key_id, once
    )
    audit.about([shown.endpoint.webhook_id])
    return _with_secret(shown, secret, response)


@router.get(
    "/webhooks",
    operation_id="list_webhooks",
    summary="List webhooks, in pages",
    dependencies=[requires("admin")],
    responses=responses(*STORE),
)
async def list_webhooks(
    webhooks: CurrentWebhooks,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=100, description="Most webhooks on a page.")] = 50,
) -> WebhookPage:
    """Without secrets, which are shown once."""
    found, following = await webhooks.page(place_of(cursor, _LISTING), limit)
    return WebhookPage(
        webhooks=[WebhookOut.model_validate(_fields(shown)) for shown in found],
        next_cursor=cursor_of(following, _LISTING),
    )


@router.get(
    "/webhooks/{webhook_id:name}",
    operation_id="get_webhook",
    summary="Get a webhook",
    dependencies=[requires("admin")],
    responses=responses(*STORE, WebhookNotFound) | {200: {"headers": ETAG}},
)
async def get_webhook(
    webhooks: CurrentWebhooks, webhook_id: WebhookIdPath, response: Response
) -> WebhookOut:
    """How it does, without its secret."""
    return WebhookOut.model_validate(_tagged(await webhooks.get(webhook_id), response))


@router.patch(
    "/webhooks/{webhook_id:name}",
    operation_id="change_webhook",
    summary="Change a webhook, disable or enable it (JSON merge patch)",
    dependencies=[requires("admin")],
    responses=responses(*BODY, *_WRITE, WebhookNotFound, VersionConflict)
    | {200: {"headers": ETAG}},
)
async def change_webhook(
    webhooks: CurrentWebhooks,
    audit: CurrentAudit,
    webhook_id: WebhookIdPath,
    versions: ExpectedVersions,
    body: Checked[WebhookChangesIn],
    response: Response,
) -> WebhookOut:
    """Kinds that it had go on where they are; those that are new begin now."""
    audit.about([webhook_id], action=f"change {', '.join(sorted(body.model_fields_set))}")
    changes = body.model_dump(exclude_unset=True)
    shown = await webhooks.update(webhook_id, changes, versions)
    return WebhookOut.model_validate(_tagged(shown, response))


@router.delete(
    "/webhooks/{webhook_id:name}",
    operation_id="delete_webhook",
    summary="Delete a webhook",
    dependencies=[requires("admin")],
    responses=responses(*_WRITE, WebhookNotFound, VersionConflict),
)
async def delete_webhook(
    webhooks: CurrentWebhooks, webhook_id: WebhookIdPath, versions: ExpectedVersions
) -> WebhookDeletedOut:
    """With all that waits for it, and its dead letters."""
    await webhooks.delete(webhook_id, versions)
    return WebhookDeletedOut(webhook_id=webhook_id)


@router.post(
    "/webhooks/{webhook_id}:rotate",
    operation_id="rotate_webhook_secret",
    summary="Give a webhook another secret",
    dependencies=[requires("admin")],
    responses=responses(*BODY, *_WRITE, WebhookNotFound, IdempotencyKeyReused)
    | {200: {"headers": ETAG}},
)
async def rotate_webhook_secret(
    webhooks: CurrentWebhooks,
    webhook_id: WebhookIdPath,
    once: OnceByKey,
    response: Response,
    body: Checked[RotateSecretIn] = _ROTATE_BY_DEFAULT,
) -> WebhookWithSecretOut:
    """The new secret is shown this once; messages are signed with both for the time of grace."""
    return _with_secret(*await webhooks.rotate(webhook_id, body.grace_s, once), response)


@router.post(
    "/webhooks/{webhook_id}:test",
    operation_id="test_webhook",
    summary="Send a ping to a webhook",
    dependencies=[requires("admin")],
    responses=responses(*STORE, WebhookNotFound),
)
async def test_webhook(webhooks: CurrentWebhooks, webhook_id: WebhookIdPath) -> TestedOut:
    """`webhook.ping`, once and at once, also to one that is disabled; how that ended."""
    attempt = await webhooks.test(webhook_id)
    return TestedOut(delivered=attempt.error is None, status=attempt.status, error=attempt.error)


@router.get(
    "/webhooks/{webhook_id:name}/deliveries",
    operation_id="list_deliveries",
    summary="List messages of a webhook: due, delivered, dead",
    dependencies=[requires("admin")],
    responses=responses(*STORE, WebhookNotFound),
)
async def list_deliveries(
    webhooks: CurrentWebhooks,
    webhook_id: WebhookIdPath,
    state: Annotated[
        Listed,
        Query(
            description="due: not done yet (up to 500; more waits in the feed). delivered: the "
            "newest 100. dead: given up (the newest 1,000)."
        ),
    ] = "due",
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most messages on a page.")] = 100,
) -> DeliveryPage:
    """In the order of their events."""
    listing = f"{webhook_id} {state}"
    found, following = await webhooks.deliveries(
        webhook_id, state, place_of(cursor, listing), limit
    )
    return DeliveryPage(
        deliveries=[_delivery_out(delivery) for delivery in found],
        next_cursor=cursor_of(following, listing),
    )


@router.post(
    "/webhooks/{webhook_id}:replay",
    operation_id="replay_dead_letters",
    summary="Send dead letters again",
    dependencies=[requires("admin")],
    responses=responses(*BODY, *_WRITE, WebhookNotFound, VersionConflict)
    | {200: {"headers": ETAG}},
)
async def replay_dead_letters(
    webhooks: CurrentWebhooks,
    webhook_id: WebhookIdPath,
    body: Checked[ReplayIn] = _REPLAY_BY_DEFAULT,
) -> ReplayedOut:
    """With the same message ids, and all attempts again; behind what is due already."""
    return ReplayedOut(replayed=await webhooks.replay(webhook_id, body.delivery_ids))
