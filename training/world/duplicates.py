"""Simulation of duplicates: second accounts, and accounts that re-upload videos."""

import copy
import random
from dataclasses import dataclass, replace
from typing import Any

from training.world.streamers import People, Person

SHARE = 0.06
"""Share of accounts with a duplicate."""
_SIZES = (2, 2, 2, 2, 2, 2, 2, 3, 3, 4)
_MIN_VIDEOS = 6
"""Number of videos that suffice to recognise an account."""


@dataclass(frozen=True)
class Account:
    """An account, with what is true of it.

    Attributes:
        person: person and profile.
        group: duplicate group; None without duplicates.
        kind: role in its group (`original`, `second_account`, `reupload`, `ring_original`, `ring`),
            or kind of its look-alikes.
        disguises: disguises of a ring's account.
        look_alikes: set of honest accounts that look alike, if in one.
        ring: ring whose accounts hang together by chains (`training.world.hidden_rings`), if in
            one; its kinds are `ring_seed` and `ring`.
    """

    person: Person
    group: str | None = None
    kind: str | None = None
    disguises: tuple[str, ...] = ()
    look_alikes: str | None = None
    ring: str | None = None


def group_sizes(rng: random.Random, accounts: int) -> list[int]:
    """Sizes of the duplicate groups, 2 to 4, for a number of accounts."""
    left, sizes = round(SHARE * accounts), []
    while left >= 2:
        size = min(rng.choice(_SIZES), left)
        sizes.append(size)
        left -= size
    return sizes


def is_recognisable(person: Person) -> bool:
    """Whether a copy of this account would be recognisable."""
    return _has_enough_videos(person) or len(person.real & {"bio", "lives", "tags"}) >= 2


def _has_enough_videos(person: Person) -> bool:
    return "videos" in person.real and len(person.profile["videos"]) >= _MIN_VIDEOS


def duplicate(rng: random.Random, people: People, original: Person, group: str) -> Account:
    """Create a duplicate of an account."""
    reuploads = _has_enough_videos(original) and rng.random() < 0.4
    copied = (_reuploaded if reuploads else _second_account)(rng, people, original)
    copied.profile["attributes"] = people.attributes(copied)
    return Account(copied, group, "reupload" if reuploads else "second_account")


def _second_account(rng: random.Random, people: People, original: Person) -> Person:
    """Second account of the same person: other name, content with small changes."""
    writer = original.writer
    profile = copy.deepcopy(original.profile)
    profile["name"] = writer.second_name(profile["name"])
    if "bio" in original.real:
        profile["bio"] = writer.disguise(profile["bio"])
    _save_media_again(people, profile)
    tags = profile.get("tags", [])
    if len(tags) > 2:
        rng.shuffle(tags)
        tags.pop()
    profile["videos"] = _uploaded_again(rng, people, original, profile.get("videos", []))
    for live in profile.get("lives", []):
        if "lives" in original.real and rng.random() < 0.5:
            live["title"] = writer.disguise(live["title"])
        live["started_at"] = people.moment(60)
        _save_media_again(people, live)
    return replace(original, popularity=original.popularity * 0.4, profile=profile)


def _reuploaded(rng: random.Random, people: People, original: Person) -> Person:
    """Account of another person with copied videos and covers, and own name."""
    writer = people.stranger_writer(original)
    shown = original.profile
    profile: dict[str, Any] = {"name": writer.name(), **people.media.stranger(original.interest)}
    if "bio" in original.real and rng.random() < 0.4:
        profile["bio"] = writer.disguise(shown["bio"])
    if "tags" in shown and rng.random() < 0.5:
        profile["tags"] = list(shown["tags"])
    profile |= {name: shown[name] for name in ("category", "language") if name in shown}
    profile["videos"] = _uploaded_again(rng, people, original, copy.deepcopy(shown["videos"]))
    return replace(
        original,
        popularity=original.popularity * 0.3,
        writer=writer,
        real=original.real - {"lives"},
        profile=profile,
    )


def _uploaded_again(
    rng: random.Random, people: People, original: Person, videos: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Most of the videos, with new times and changed titles."""
    kept = rng.sample(videos, round(rng.uniform(0.8, 1.0) * len(videos)))
    for video in kept:
        if "videos" in original.real:
            video["title"] = original.writer.remark(video["title"])
        video["published_at"] = people.moment(60)
        _save_media_again(people, video)
    return kept


def _save_media_again(people: People, item: dict[str, Any]) -> None:
    for name in ("avatar", "cover", "audio"):
        if name in item:
            item[name] = people.media.again(item[name])
    if "frames" in item:
        item["frames"] = [people.media.again(frame) for frame in item["frames"]]
