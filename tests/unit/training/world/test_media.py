"""A world with media: the same streamers as without, who show pictures and play sounds."""

import base64
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from model_export.contract.streamer import StreamerProfile
from training.disguises.pictures import decoded
from training.world import World, generate
from training.world.media.sounds import RATE_HZ
from training.world.media.sounds import decoded as heard
from training.world.media.studio import Picture, Placeholder, Sound, made

pytestmark = pytest.mark.slow

STREAMERS = 2000


@pytest.fixture(scope="module")
def world() -> World:
    return generate(STREAMERS, 5, media=True)


def test_all_else_is_as_in_the_world_without(world: World) -> None:
    plain = generate(STREAMERS, 5)
    assert plain.topics == world.topics
    assert plain.groups == world.groups
    assert plain.splits == world.splits
    for name in ("user", "streamer", "views"):
        assert (getattr(plain.audience, name) == getattr(world.audience, name)).all()
    added = {"avatar", "frames", "audio"}
    for one, other in zip(plain.profiles, world.profiles, strict=True):
        assert without(one, {"cover"}) == without(other, added | {"cover"})
        with_cover = [["cover" in item for item in items(profile)] for profile in (one, other)]
        assert with_cover[0] == with_cover[1]


def test_shares_of_missing_and_meaningless_media(world: World) -> None:
    anything = [p for p in world.profiles if "name" in p]
    assert len(anything) == round(0.99 * STREAMERS)
    with_items = [p for p in anything if items(p)]
    with_lives = [p for p in anything if p.get("lives")]
    for kind, people in (
        ("avatar", anything),
        ("cover", with_items),
        ("audio", with_items),
        ("frame", with_lives),
    ):
        shown = [[r for k, r in recipes(p) if k == kind] for p in people]
        assert np.mean([not s for s in shown]) == pytest.approx(0.3, abs=0.06)
        says_nothing = [bool(s) and all(isinstance(r, Placeholder) for r in s) for s in shown]
        assert np.mean(says_nothing) == pytest.approx(0.2, abs=0.05)


def test_each_placeholder_is_shown_by_many(world: World) -> None:
    holders = Counter(
        r
        for profile in world.profiles
        for r in {r for _, r in recipes(profile) if isinstance(r, Placeholder)}
    )
    assert len(holders) == 4 * 5
    assert min(holders.values()) > 0.005 * STREAMERS
    files = {r: r.file()[0] for r in holders}
    assert len(set(files.values())) == len(files)


def test_copies_show_the_same_in_disguise(world: World) -> None:
    groups: dict[str, list[dict[str, Any]]] = {}
    for profile, group in zip(world.profiles, world.groups, strict=True):
        if group:
            groups.setdefault(group, []).append(profile)
    shared, seen = Counter[str](), Counter[bytes]()
    for members in groups.values():
        shown: dict[tuple[object, ...], list[Picture | Sound]] = {}
        for profile in members:
            for kind, r in recipes(profile):
                if not isinstance(r, Placeholder):
                    shown.setdefault((kind, r.seed, getattr(r, "moment", 0)), []).append(r)
        for (kind, *_), same in shown.items():
            shared[str(kind)] += len(same) > 1
            assert sum(r.copied is None for r in same) <= 1  # the original, unless it lacks it
            assert len({r.copied for r in same}) == len(same)
            if len(same) > 1 and len(seen) < 300:
                seen.update(r.file()[0] for r in same)
    assert set(shared) == {"avatar", "cover", "frame", "audio"}
    assert min(shared.values()) > 10
    assert max(seen.values()) == 1


def test_what_is_written_is_valid_readable_and_small(world: World) -> None:
    sizes, kinds = [], Counter[str]()
    for profile in map(made, world.profiles[:150]):
        valid = StreamerProfile.model_validate(profile)
        sizes.append(len(valid.model_dump_json(exclude_none=True)))
        for _, media in recipes(profile):
            data = base64.b64decode(media["data"])
            kinds[media["content_type"]] += 1
            if media["content_type"] == "image/jpeg":
                assert min(decoded(data).size) >= 76  # of 96, less a fifth
            else:
                assert 1 <= len(heard(data)) / RATE_HZ <= 1.5
    assert kinds.keys() == {"image/jpeg", "audio/flac", "audio/mpeg"}
    assert np.mean(sizes) < 95_000  # 5,000 fit into 500 MB


def test_another_seed_is_another_world_to_look_at() -> None:
    one, two = (
        {r for p in generate(100, seed, media=True).profiles for _, r in recipes(p)}
        for seed in (1, 2)
    )
    assert {type(r) for r in one & two} == {Placeholder}


def items(profile: dict[str, Any]) -> list[dict[str, Any]]:
    return [*profile.get("videos", []), *profile.get("lives", [])]


def without(value: Any, names: set[str]) -> Any:
    if isinstance(value, dict):
        return {key: without(part, names) for key, part in value.items() if key not in names}
    return [without(part, names) for part in value] if isinstance(value, list) else value


def recipes(profile: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Kind and recipe of all media, or what was made of it."""
    if "avatar" in profile:
        yield "avatar", profile["avatar"]
    for item in items(profile):
        yield from ((kind, item[kind]) for kind in ("cover", "audio") if kind in item)
        yield from (("frame", frame) for frame in item.get("frames", []))
