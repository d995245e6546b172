"""Near-duplicates as a service finds them, in a simulated world with pictures and sounds.

    python -m tests.benchmarks.served_dedup --bundle BUNDLE --streamers 1500 --seed 8

Every streamer is written several times: as it is; with nothing but its pictures or its sounds; and
with its pictures among all else that a stranger shows. Each is a list of its own for `dedup`, with
and without copies of pictures. The bundle may be of another world, of the same towers.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, islice
from pathlib import Path
from typing import Any

from tests.support.api import NDJSON
from tests.support.service import Service
from training.world import World, generate
from training.world.media.studio import Picture, made

_LINES = 50
"""In one request: some 4 MB."""

Profile = dict[str, Any]
Pairs = set[tuple[str, str]]


def _items(profile: Profile) -> Iterator[Profile]:
    yield from profile.get("videos", [])
    yield from profile.get("lives", [])


def only(*kinds: str) -> Callable[[Profile, Profile], Profile]:
    """A profile that shows nothing but its media of these kinds."""

    def view(profile: Profile, stranger: Profile) -> Profile:
        shown: Profile = {k: profile[k] for k in kinds if k in profile}
        for part in ("videos", "lives"):
            items = [item for item in profile.get(part, []) if item.keys() & set(kinds)]
            kept = ("video_id", "live_id", *kinds)
            if items:
                shown[part] = [{k: v for k, v in item.items() if k in kept} for item in items]
        return shown

    return view


def among_strangers_words(profile: Profile, stranger: Profile) -> Profile:
    """The pictures of a profile, and all the words of another."""
    words = {k: v for k, v in stranger.items() if k not in ("avatar", "videos", "lives")}
    shown = only("avatar", "cover", "frames")(profile, stranger)
    titles = [item["title"] for item in _items(stranger)] or [""]
    for i, item in enumerate(_items(shown)):
        item["title"] = titles[i % len(titles)]
    return {**shown, **words}


def as_it_is(profile: Profile, stranger: Profile) -> Profile:
    """The whole profile."""
    return profile


VIEWS: dict[str, Callable[[Profile, Profile], Profile]] = {
    "whole profiles": as_it_is,
    "pictures alone": only("avatar", "cover", "frames"),
    "pictures, a stranger's words": among_strangers_words,
    "sounds alone": only("audio"),
}


def pictures_of(profile: Profile) -> set[tuple[int, int]]:
    """What each picture of an unmade profile shows, whatever its disguise."""
    found = [profile.get("avatar")]
    for item in _items(profile):
        found += [item.get("cover"), *item.get("frames", [])]
    return {(p.seed, p.moment) for p in found if isinstance(p, Picture)}


@dataclass(frozen=True)
class Found:
    """Pairs of a list: how many are copies, how many `dedup` joined, and how many of them right."""

    true: int
    joined: int
    right: int

    def line(self) -> str:
        """Recall and precision, for people."""
        recall, precision = self.right / max(1, self.true), self.right / max(1, self.joined)
        return f"{self.true:>6} {self.joined:>7} {recall:>7.3f} {precision:>10.3f}"


def write(service: Service, profiles: Iterator[Profile]) -> None:
    """Write profiles, and wait until they are found."""
    lines = (json.dumps(p, ensure_ascii=False) + "\n" for p in profiles)
    last: Profile = {}
    while part := "".join(islice(lines, _LINES)):
        answer = service.api.post("/v1/streamers:bulk", content=part, timeout=600, headers=NDJSON)
        answer.raise_for_status()
        outcomes = [json.loads(line) for line in answer.text.splitlines()]
        wrong = [one for one in outcomes if one.get("outcome") != "created"]
        assert not wrong, wrong[:1]
        last = outcomes[-1]
    query = {"positive": [{"profile": {"bio": "x"}}], "after_sequence": last["sequence"]}
    service.api.post("/v1/similar", json=query).raise_for_status()


def pair_of(one: str, other: str) -> tuple[str, str]:
    """The same for both orders."""
    return min(one, other), max(one, other)


def ask(service: Service, ids: list[str], true: Pairs, maybe: Pairs, pictures: bool) -> Found:
    """What `dedup` makes of a list; `maybe` are pairs of which neither is wrong."""
    body = {"ids": ids, "pictures": pictures}
    answer = service.api.post("/v1/dedup", json=body, timeout=600)
    answer.raise_for_status()
    joined: Pairs = set()
    for cluster in answer.json()["clusters"]:
        members = [member["streamer_id"] for member in cluster["members"]]
        joined.update(pair_of(a, b) for a, b in combinations(members, 2))
    joined -= maybe - true
    return Found(len(true), len(joined), len(joined & true))


def chosen(world: World, rng: random.Random, others: int | None) -> list[int]:
    """The places of all who are in groups of duplicates, and of so many others; None for all."""
    alone = [row for row, group in enumerate(world.groups) if group is None]
    kept = set(alone if others is None else rng.sample(alone, min(others, len(alone))))
    return [row for row, group in enumerate(world.groups) if group is not None or row in kept]


def measure(service: Service, world: World, seed: int, others: int | None) -> None:
    """Write every view, and print a line for each question."""
    rng = random.Random(seed)
    asked = chosen(world, rng, others)
    shown = [pictures_of(world.profiles[row]) for row in asked]
    group: dict[str, list[int]] = {}
    for place, row in enumerate(asked):
        if (name := world.groups[row]) is not None:
            group.setdefault(name, []).append(place)
    copied = [pair for places in group.values() for pair in combinations(places, 2)]
    names = [world.ids[row] for row in asked]
    profiles = [made(world.profiles[row]) for row in asked]
    elsewhere = generate(2 * len(profiles) + 100, seed + 1)
    alone = [p for p, g in zip(elsewhere.profiles, elsewhere.groups, strict=True) if g is None]
    strangers = rng.sample(alone, len(profiles))
    print(f"{len(asked)} streamers, {len(group)} groups")
    several = [(a, b) for a, b in copied if len(shown[a] & shown[b]) > 1]
    print(f"{'':<48} {'pairs':>6} {'joined':>7} {'recall':>7} {'precision':>10}")
    for number, (name, view) in enumerate(VIEWS.items()):
        begin, ids = time.monotonic(), [f"{number}-{i}" for i in names]
        rows = zip(ids, profiles, strangers, strict=True)
        write(service, ({**view(p, other), "streamer_id": i} for i, p, other in rows))
        print(f"{name}: written in {time.monotonic() - begin:.0f} s", flush=True)
        pairs = [{pair_of(ids[a], ids[b]) for a, b in some} for some in (copied, several)]
        for what, true in (("all duplicates", pairs[0]), ("two pictures in common", pairs[1])):
            for pictures in (False, True):
                begin = time.monotonic()
                found = ask(service, ids, true, pairs[0], pictures)
                label = f"  {what}, {'with' if pictures else 'without'} copies"
                print(f"{label:<48} {found.line()}  {time.monotonic() - begin:.1f} s", flush=True)


def main() -> int:
    """Serve the bundle, and print the figures."""
    parser = argparse.ArgumentParser(description="Near-duplicates as a service finds them.")
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--streamers", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=8)
    parser.add_argument("--others", type=int, help="so many without duplicates; all by default")
    args = parser.parse_args()
    world = generate(args.streamers, args.seed, media=True)
    with tempfile.TemporaryDirectory() as folder:
        memory = str(1 << 30)  # each view shows the same again
        data = Path(folder) / "data"
        with Service(args.bundle, data, STREAMER_TOWERS__RECENT_BYTES=memory) as service:
            measure(service.wait_until_ready(), world, args.seed, args.others)
    return 0


if __name__ == "__main__":
    sys.exit(main())
