"""From two accounts under suspicion to a webhook when the next copy of them signs up.

    python examples/investigate.py SEED SEED --url http://127.0.0.1:8000 --export case.zip

It compares the seeds, expands a case from them, confirms whom it is sure of, exports the case and
checks the export, makes a watchlist of the confirmed, and tells of each alert that the service
posts to it, until it is stopped. The service has to reach this program: with the default of
`--listen` it runs on the same machine, with STREAMER_WEBHOOKS__PRIVATE_NETWORKS=127.0.0.0/8.
"""

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import SimpleQueue
from typing import Any, cast

from standardwebhooks import Webhook, WebhookVerificationError

from service.client import Client
from service.client.models import AlertOut, CompareOut, JobOut, WatchlistOut

MOST_BYTES = 1 << 16
SECRET_S = 30


class Receiver(HTTPServer):
    """Takes webhooks.

    Attributes:
        secret: by which they are signed, once it is known.
        events: each that came, once.
    """

    def __init__(self, host: str, port: int) -> None:
        """Listen there; port 0 is any that is free."""
        super().__init__((host, port), Message)
        self.secret = Future[str]()
        self.events = SimpleQueue[dict[str, Any]]()
        self._seen = set[str]()

    def take(self, headers: dict[str, str], body: bytes) -> int:
        """The status that answers a message: it is refused unless the service signed it."""
        try:
            event = Webhook(self.secret.result(SECRET_S)).verify(body, headers)
        except WebhookVerificationError:
            return 400
        if headers["webhook-id"] not in self._seen:  # it may come twice
            self._seen.add(headers["webhook-id"])
            self.events.put(event)
        return 204


class Message(BaseHTTPRequestHandler):
    """One of them."""

    timeout = 5

    def do_POST(self) -> None:
        """Take it."""
        size = int(self.headers.get("Content-Length", "0"))
        status = 413
        if size <= MOST_BYTES:
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = cast(Receiver, self.server).take(headers, self.rfile.read(size))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@contextmanager
def receiving(client: Client, host: str, port: int) -> Iterator[Receiver]:
    """Have alerts posted to this program until the end."""
    with Receiver(host, port) as receiver:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        url = f"http://{host}:{receiver.server_port}/alerts"
        made = client.webhooks.create(url, ["watchlist.matched"], "an investigation")
        try:
            receiver.secret.set_result(made.secret)  # it is shown this once
            print(f"alerts are posted to {url}")
            yield receiver
        finally:
            client.webhooks.delete(made.webhook_id)
            receiver.shutdown()


def ring_of(client: Client, title: str, seeds: list[str], surely: float) -> tuple[str, list[str]]:
    """A case of the seeds, expanded; who is as sure as that is confirmed, the others are noted."""
    case = client.cases.create(title, seeds)
    ran = client.cases.expand(case.case_id, case.revision)
    if isinstance(ran, JobOut):
        client.jobs.wait(ran.job_id)
    revision = client.cases.get(case.case_id).revision
    confirmed: list[str] = []
    for member in list(client.cases.members(case.case_id)):
        is_sure = member.probability >= surely
        decided = client.cases.decide(
            case.case_id,
            member.streamer_id,
            "confirmed" if is_sure else "unsure",
            revision,
            f"by the path {' > '.join(member.path)}",
        )
        revision = decided.revision
        confirmed += [member.streamer_id] if is_sure else []
    return case.case_id, confirmed


def reasons(comparison: CompareOut) -> str:
    """What speaks most for the verdict, in the words of both."""
    told: list[str] = []
    for channel in sorted(comparison.channels, key=lambda each: -each.weight)[:2]:
        quotes = "; ".join(f"{quote.a!r} and {quote.b!r}" for quote in channel.quotes[:1])
        told.append(f"{channel.channel} {channel.weight:+.1f} bits {quotes}".rstrip())
    return ", ".join(told)


def export(client: Client, case_id: str, archive: Path) -> None:
    """Write a case to an archive, and check this as whoever gets it does."""
    draft = archive.with_name(f"{archive.name}.draft")  # so that the one before stays until then
    draft.write_bytes(client.cases.export(case_id))
    subprocess.run([sys.executable, "-m", "service", "verify-case", str(draft)], check=True)
    draft.replace(archive)


def watch(client: Client, name: str, case_id: str, probability: float) -> WatchlistOut:
    """A watchlist of the confirmed, once all that is stored was matched with it."""
    made = client.watchlists.create(
        {"name": name, "positive": [{"case_id": case_id}], "min_probability": probability}
    )
    while made.sweep.state != "done":
        time.sleep(0.2)
        made = client.watchlists.get(made.watchlist_id)
    return made


def alerts_of(client: Client, watchlist_id: str, receiver: Receiver) -> Iterator[AlertOut]:
    """Alerts of a list as they are posted."""
    while True:
        data = receiver.events.get()["data"]
        if data["watchlist_id"] == watchlist_id:
            yield client.alerts.get(data["alert_id"])


def main() -> None:
    """Investigate."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("seeds", nargs=2, metavar="SEED", help="stored accounts under suspicion")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--min-probability", type=float, default=0.9)
    parser.add_argument("--export", type=Path, help="write the case to this archive")
    parser.add_argument("--listen", default="127.0.0.1:0", help="where webhooks are received")
    parser.add_argument("--alerts", type=int, default=0, help="end after so many (0: never)")
    args = parser.parse_args()
    host, _, port = args.listen.rpartition(":")
    with Client(args.url, os.environ.get("STREAMER_API_KEY")) as client:
        one, other = args.seeds
        comparison = client.compare(one, other)
        print(f"{one}, {other}: {comparison.verdict}, probability {comparison.probability:.4f}")
        print(f"  {reasons(comparison)}")
        title = f"the ring of {one}"
        case_id, members = ring_of(client, title, args.seeds, args.min_probability)
        print(f"{case_id}: {', '.join(sorted(members))}", flush=True)
        if args.export is not None:
            export(client, case_id, args.export)
        with receiving(client, host, int(port)) as receiver:
            made = watch(client, title, case_id, args.min_probability)
            print(f"watching by {made.watchlist_id}: {made.alerts.open} of those stored match too")
            alerts = alerts_of(client, made.watchlist_id, receiver)
            for number, alert in enumerate(alerts, start=1):
                like = alert.seed_id or "a profile"
                print(
                    f"{alert.streamer_id} is like {like}: {alert.verdict}, {alert.probability:.4f}"
                )
                if number == args.alerts:
                    return


if __name__ == "__main__":
    main()
