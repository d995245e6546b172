"""From two accounts under suspicion to an alarm when the next copy of them signs up.

    python examples/investigate.py SEED SEED --url http://127.0.0.1:8000

It compares the seeds, expands a case from them, confirms whom it is sure of, exports the case for
the file, makes a watchlist of the confirmed, and waits for alerts until it is stopped.
"""

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path

from service.client import Client
from service.client.models import AlertOut, CompareOut, JobOut, WatchlistOut


def ring_of(client: Client, title: str, seeds: list[str], surely: float) -> tuple[str, list[str]]:
    """A case of the seeds, expanded; who is as sure as that is confirmed."""
    case = client.cases.create(title, seeds)
    ran = client.cases.expand(case.case_id, case.revision)
    if isinstance(ran, JobOut):
        client.jobs.wait(ran.job_id)
    members = [m for m in client.cases.members(case.case_id) if m.probability >= surely]
    revision = client.cases.get(case.case_id).revision
    for member in members:
        path = " > ".join(member.path)
        decided = client.cases.decide(
            case.case_id, member.streamer_id, "confirmed", revision, f"by the path {path}"
        )
        revision = decided.revision
    return case.case_id, [member.streamer_id for member in members]


def reasons(comparison: CompareOut) -> str:
    """What speaks most for the verdict, in the words of both."""
    told: list[str] = []
    for channel in sorted(comparison.channels, key=lambda each: -each.weight)[:2]:
        quotes = "; ".join(f"{quote.a!r} and {quote.b!r}" for quote in channel.quotes[:1])
        told.append(f"{channel.channel} {channel.weight:+.1f} bits {quotes}".rstrip())
    return ", ".join(told)


def watch(client: Client, name: str, case_id: str, probability: float) -> WatchlistOut:
    """A watchlist of the confirmed, once all that is stored was matched with it."""
    made = client.watchlists.create(
        {"name": name, "positive": [{"case_id": case_id}], "min_probability": probability}
    )
    while made.sweep.state != "done":
        time.sleep(0.2)
        made = client.watchlists.get(made.watchlist_id)
    return made


def alerts_of(client: Client, watchlist_id: str) -> Iterator[AlertOut]:
    """Alerts as they come, each once."""
    cursor: str | None = None
    while True:
        page = client.alerts.page(watchlist_id=watchlist_id, cursor=cursor)
        yield from page.alerts
        cursor = page.next_cursor
        if not page.alerts:
            time.sleep(0.5)


def main() -> None:
    """Investigate."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("seeds", nargs=2, metavar="SEED", help="stored accounts under suspicion")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--min-probability", type=float, default=0.9)
    parser.add_argument("--export", type=Path, help="write the case to this archive")
    parser.add_argument("--alerts", type=int, default=0, help="end after so many (0: never)")
    args = parser.parse_args()
    with Client(args.url, os.environ.get("STREAMER_API_KEY")) as client:
        one, other = args.seeds
        comparison = client.compare(one, other)
        print(f"{one}, {other}: {comparison.verdict}, probability {comparison.probability:.4f}")
        print(f"  {reasons(comparison)}")
        title = f"the ring of {one}"
        case_id, members = ring_of(client, title, args.seeds, args.min_probability)
        print(f"{case_id}: {', '.join(sorted(members))}")
        if args.export is not None:
            args.export.write_bytes(client.cases.export(case_id))
        made = watch(client, title, case_id, args.min_probability)
        print(f"watching by {made.watchlist_id}: {made.alerts.open} of those stored match too")
        for number, alert in enumerate(alerts_of(client, made.watchlist_id), start=1):
            like = alert.seed_id or "a profile"
            print(f"{alert.streamer_id} is like {like}: {alert.verdict}, {alert.probability:.4f}")
            if number == args.alerts:
                return


if __name__ == "__main__":
    main()
