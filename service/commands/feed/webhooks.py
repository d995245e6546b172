"""`webhooks`: who is told what happens in a running service."""

import argparse

from service.client import Client
from service.client.models import (
    DeliveryOut,
    DeliveryPage,
    TestedOut,
    WebhookOut,
    WebhookWithSecretOut,
)
from service.commands.answers import Cell, answer, print_rows
from service.commands.arguments import whole_number
from service.commands.questions.asking import add_common, ask, tell_more, with_client
from service.commands.questions.moments import shown

_COLUMNS = [
    "webhook_id",
    "url",
    "kinds",
    "state",
    "due",
    "dead",
    "delivered",
    "missed",
    "last failure",
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, and with which webhook."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add(name: str, summary: str, *, with_id: bool = True) -> argparse.ArgumentParser:
        part = actions.add_parser(name, help=summary, description=f"{summary.capitalize()}.")
        if with_id:
            part.add_argument("webhook_id", metavar="ID", help="as `webhooks list` shows it")
        return part

    add("list", "all webhooks, and how they do", with_id=False)
    create = add("create", "post events to a URL; prints the secret, this once", with_id=False)
    create.add_argument("target", metavar="TARGET", help="https://host/path")
    create.add_argument("--kinds", required=True, metavar="K,K", help="such as watchlist.*")
    create.add_argument("--description", default="", help="for people")
    add("show", "one webhook")
    add("test", "send a ping; how that ended")
    add("enable", "send again, as after it was disabled by a 410 or a restore")
    add("disable", "send nothing until it is enabled")
    rotate = add("rotate", "give it another secret, which is printed this once")
    rotate.add_argument(
        "--grace-s",
        type=whole_number(0, most=30 * 86_400),
        default=86_400,
        help="seconds in which the secret before signs too (a day)",
    )
    listing = add("deliveries", "its messages: due, delivered of late, or dead")
    listing.add_argument("--state", choices=("due", "delivered", "dead"), default="due")
    listing.add_argument("--limit", type=whole_number(1, most=1000), default=100, help="(100)")
    replay = add("replay", "send dead letters again")
    replay.add_argument("deliveries", nargs="*", metavar="DELIVERY", help="some (all)")
    add("delete", "remove it with all that waits for it")
    for action in actions.choices.values():
        add_common(action)


def run(args: argparse.Namespace) -> int:
    """Do it, and show how it is then."""
    name: str = getattr(args, "webhook_id", "")
    if args.action == "create":
        kinds = [kind.strip() for kind in args.kinds.split(",") if kind.strip()]
        return ask(args, lambda c: c.webhooks.create(args.target, kinds, args.description), _secret)
    if args.action == "rotate":
        return ask(args, lambda c: c.webhooks.rotate(name, args.grace_s), _secret)
    if args.action == "show":
        return ask(args, lambda c: c.webhooks.get(name), lambda found: _show([found]))
    if args.action in ("enable", "disable"):
        is_on = args.action == "enable"
        return ask(args, lambda c: c.webhooks.update(name, enabled=is_on), lambda w: _show([w]))
    if args.action == "test":
        return _test(args, name)
    if args.action == "deliveries":
        return ask(
            args, lambda c: c.webhooks.deliveries(name, args.state, limit=args.limit), _deliveries
        )
    return with_client(args, lambda client: _do(client, args, name))


def _test(args: argparse.Namespace, name: str) -> int:
    """Send a ping; 1 where it was not delivered, too."""
    found: list[TestedOut] = []

    def test(client: Client) -> TestedOut:
        found.append(client.webhooks.test(name))
        return found[0]

    return ask(args, test, _tested) or int(not found[0].delivered)


def _do(client: Client, args: argparse.Namespace, name: str) -> None:
    if args.action == "list":
        found = list(client.webhooks.all())
        fields = {"webhooks": [webhook.model_dump(mode="json") for webhook in found]}
        answer(args, fields, lambda: _show(found))
    elif args.action == "replay":
        count = client.webhooks.replay(name, args.deliveries or None)
        answer(args, {"replayed": count}, lambda: print(f"{count} are due again"))
    else:
        client.webhooks.delete(name)
        answer(args, {"webhook_id": name}, lambda: print(f"{name} is deleted"))


def _secret(webhook: WebhookWithSecretOut) -> None:
    print_rows(["webhook_id", "secret"], [[webhook.webhook_id, webhook.secret]])


def _show(webhooks: list[WebhookOut]) -> None:
    print_rows(_COLUMNS, [_row(webhook) for webhook in webhooks])


def _row(webhook: WebhookOut) -> list[Cell]:
    state = "on" if webhook.enabled else "off"
    counts: list[Cell] = [webhook.due, webhook.dead, webhook.delivered, webhook.missed]
    why = webhook.disabled_because or webhook.last_failure
    return [webhook.webhook_id, webhook.url, ",".join(webhook.kinds), state, *counts, why]


def _tested(tested: TestedOut) -> None:
    print_rows(
        ["delivered", "status", "error"], [[str(tested.delivered), tested.status, tested.error]]
    )


def _deliveries(page: DeliveryPage) -> None:
    columns = ["delivery_id", "kind", "event_at", "attempts", "status", "error"]
    print_rows(columns, [_delivery(one) for one in page.deliveries])
    tell_more(page.next_cursor)


def _delivery(one: DeliveryOut) -> list[Cell]:
    when = shown(one.event_at)
    return [one.delivery_id, one.kind, when, one.attempts, one.last_status, one.last_error]
