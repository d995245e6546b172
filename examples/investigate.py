"""From two accounts under suspicion to an alarm when the next copy of them signs up.

    python examples/investigate.py SEED SEED --url http://127.0.0.1:8000

It asks a running service who is the same as the seeds, shows why, judges the pair, makes a
watchlist of all that it found, and waits for alerts until it is stopped.
"""

import argparse
import os
import time
from collections.abc import Iterator

from service.client import Client
from service.client.models import AlertOut, CompareOut, WatchlistOut


def ring_of(client: Client, seeds: list[str]) -> list[str]:
    """The seeds, and whom evidence takes for duplicates of them."""
    found = dict.fromkeys(seeds)
    for seed in seeds:
        found |= dict.fromkeys(tie.streamer_id for tie in client.duplicates.of(seed).duplicates)
    return list(found)


def reasons(comparison: CompareOut) -> str:
    """What speaks most for the verdict, in the words of both."""
    told: list[str] = []
    for channel in sorted(comparison.channels, key=lambda each: -each.weight)[:2]:
        quotes = "; ".join(f"{quote.a!r} and {quote.b!r}" for quote in channel.quotes[:1])
        told.append(f"{channel.channel} {channel.weight:+.1f} bits {quotes}".rstrip())
    return ", ".join(told)


def watch(client: Client, members: list[str], probability: float) -> WatchlistOut:
    """A watchlist of the ring, once all that is stored was matched with it."""
    made = client.watchlists.create(
        {
            "name": f"the ring of {members[0]}",
            "positive": [{"streamer_id": member} for member in members],
            "min_probability": probability,
        }
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
    parser.add_argument("--alerts", type=int, default=0, help="end after so many (0: never)")
    args = parser.parse_args()
    with Client(args.url, os.environ.get("STREAMER_API_KEY")) as client:
        one, other = args.seeds
        comparison = client.compare(one, other)
        print(f"{one}, {other}: {comparison.verdict}, probability {comparison.probability:.4f}")
        print(f"  {reasons(comparison)}")
        if comparison.verdict in ("same_media", "near_duplicate", "same_contact"):
            client.judgements.put(one, other, "same", "looked at by examples/investigate.py")
        members = ring_of(client, args.seeds)
        print(f"the ring: {', '.join(members)}")
        made = watch(client, members, args.min_probability)
        print(f"watching by {made.watchlist_id}: {made.alerts.open} of those stored match too")
        for number, alert in enumerate(alerts_of(client, made.watchlist_id), start=1):
            like = alert.seed_id or "a profile"
            print(f"{alert.streamer_id} is like {like}: {alert.verdict}, {alert.probability:.4f}")
            if number == args.alerts:
                return


if __name__ == "__main__":
    main()
