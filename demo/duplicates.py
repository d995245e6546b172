"""The fourth answer: which of all accounts are one, and what gives two of them away."""

import time
from collections import Counter
from typing import Any

from demo.errors import DemoError
from demo.profiles import Profile, shorten
from demo.serving import Service

EVALUATED_TIMEOUT_S = 600
_MOST_COMPARED = 8
_SHOWN = 46


def show_duplicates(service: Service, profiles: dict[str, Profile]) -> None:
    """Show the largest group of all that are stored, and compare two of it behind a disguise."""
    print(f"\n4. Which of all {len(profiles):,} accounts are the same?\n", flush=True)
    wait_until_evaluated(service)
    groups = service.ask("GET", "/v1/duplicates?limit=1000")["groups"]
    if not groups:
        print("   none: there are no duplicates among them")
        return
    group = service.ask("GET", f"/v1/duplicates/{groups[0]['group_id']}")
    more = "+" if len(groups) == 1000 else ""
    print(f"   {len(groups)}{more} groups; the largest has {group['size']} accounts:\n")
    for member in group["members"][:10]:
        print(f"   {member}  {words_of(profiles.get(member, {}))}")
    kinds = Counter(edge["kind"] for edge in group["edges"]).most_common()
    told = ", ".join(f"{count} by {kind}" for kind, count in kinds)
    print(f"\n   {len(group['edges'])} of their pairs are taken for duplicates: {told}")
    if group["edges"]:
        show_comparison(*disguised(service, group["edges"]))


def wait_until_evaluated(service: Service) -> None:
    """Wait until the groups take every write into account: they follow the load in the background.

    Raises:
        DemoError: that takes too long.
    """
    written = service.ask("GET", "/readyz")["store_sequence"]
    deadline = time.monotonic() + EVALUATED_TIMEOUT_S
    while (service.ask("GET", "/v1/duplicates?limit=1")["evaluated_sequence"] or 0) < written:
        if time.monotonic() > deadline:
            raise DemoError(
                f"the duplicates were not found within {EVALUATED_TIMEOUT_S} s; see service.log"
            )
        time.sleep(0.2)


def words_of(profile: Profile) -> str:
    """What an account says first, however it is written."""
    pieces = [*profile.get("videos", ()), *profile.get("lives", ())]
    titles = [piece["title"] for piece in pieces if piece.get("title")]
    said = profile.get("bio") or next(iter(titles), "")
    return "  ".join(part for part in (profile.get("name"), shorten(said, 60)) if part)


def disguised(service: Service, edges: list[dict[str, Any]]) -> tuple[str, str, dict[str, Any]]:
    """Two that evidence joins although one is disguised, and their comparison."""

    def undone(comparison: dict[str, Any]) -> int:
        return sum(len(channel["disguises"]) for channel in comparison["channels"])

    compared: list[tuple[str, str, dict[str, Any]]] = []
    for edge in sorted(edges, key=lambda e: -e["weight"])[:_MOST_COMPARED]:
        a, b = edge["a"], edge["b"]
        body = {"a": {"streamer_id": a}, "b": {"streamer_id": b}}
        compared.append((a, b, service.ask("POST", "/v1/compare", body)))
    return max(compared, key=lambda found: undone(found[2]))


def show_comparison(a: str, b: str, comparison: dict[str, Any]) -> None:
    """The channels that speak for it, by weight, each with a quote."""
    print(f"\n   What gives {a} and {b} away:\n")
    for channel in sorted(comparison["channels"], key=lambda c: -c["weight"]):
        if channel["weight"] < 0.5:
            continue
        print(f"   {channel['weight']:+5.1f} bits  {channel['channel']} ({channel['level']})")
        for quote in channel["quotes"][:1]:
            undone = (
                f"  (undone: {', '.join(channel['disguises'])})" if channel["disguises"] else ""
            )
            if quote["a"] or quote["b"]:
                print(f"               {shorten(quote['a'], _SHOWN)}")
                print(f"               {shorten(quote['b'], _SHOWN)}{undone}")
    probability = comparison["probability"]
    likely = f"{probability:.4f}" if probability < 0.9999 else "above 0.9999"
    print(
        f"   {comparison['weight']:+5.1f} bits in all, {comparison['threshold']:.1f} are needed: "
        f"{comparison['verdict']}, probability {likely}"
    )
