"""The simulated world: its shares, its truth, its media, and that it can be learned from."""

import base64
import csv
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

from model_export.contract.pieces import pieces_of
from model_export.contract.streamer import StreamerProfile
from training.commands.cli import main
from training.data import load_dataset
from training.disguises import KINDS
from training.disguises.pictures import decoded, jpeg
from training.errors import UsageError
from training.features.bags import corpus_bags, tf_idf
from training.features.vocabulary import build_vocabulary
from training.world import World, generate
from training.world.hidden_rings import SEEDS
from training.world.look_alikes import KINDS as LOOK_ALIKES
from training.world.media.cover_vectors import COVER_SPACE, COVER_WIDTH
from training.world.media.looks import Look, interest_look, personal_look, topic_looks
from training.world.media.pictures import (
    PLACEHOLDERS,
    draw_avatar,
    draw_cover,
    draw_frame,
    draw_placeholder,
)
from training.world.media.sounds import PLACEHOLDERS as SOUND_PLACEHOLDERS
from training.world.media.sounds import RATE_HZ, SECONDS, flac, placeholder, synthesise
from training.world.media.sounds import decoded as heard
from training.world.media.studio import Picture, Placeholder, Sound, made
from training.world.media.voices import Voice, interest_voice, personal_voice, topic_voices
from training.world.rings import FAMILIES, LARGEST, SMALLEST
from training.world.topics import load_phrases

STREAMERS = 1000


@pytest.fixture(scope="module")
def world() -> World:
    return generate(STREAMERS, seed=5)


@pytest.fixture(scope="module")
def profiles(world: World) -> list[StreamerProfile]:
    return [StreamerProfile.model_validate(profile) for profile in world.profiles]


def test_every_streamer_is_a_valid_profile_with_truth(
    world: World, profiles: list[StreamerProfile]
) -> None:
    assert len(profiles) == len(world.topics) == len(world.groups) == len(world.splits) == STREAMERS
    assert len(set(world.ids)) == STREAMERS
    languages = Counter(p.language for p in profiles)
    assert min(languages["zh"], languages["en"]) > 0.35 * STREAMERS
    for p in profiles:
        covers = [i.cover for i in (*p.videos, *p.lives) if i.cover is not None]
        assert all(c.space == COVER_SPACE and len(c.vector or ()) == COVER_WIDTH for c in covers)
        assert len(p.videos) <= 12
        assert p.attributes.keys() == {"followers", "partner", "joined_days"}


def test_shares_of_missing_and_meaningless_parts(profiles: list[StreamerProfile]) -> None:
    phrases = load_phrases().values()
    bios, categories, spam = (
        {line for language in phrases for line in language[kind]}
        for kind in ("boilerplate_bios", "other_categories", "spam_tags")
    )
    for part in ("bio", "category", "tags", "videos", "lives"):
        assert _share(not getattr(p, part) for p in profiles) == pytest.approx(0.3, abs=0.06)
    for means_nothing in (
        [p.bio in bios for p in profiles],
        [p.category in categories for p in profiles],
        [bool(p.tags) and spam.issuperset(p.tags) for p in profiles],
    ):
        assert _share(means_nothing) == pytest.approx(0.2, abs=0.05)
    common = Counter(_covers(p)[0] for p in profiles if _covers(p)).most_common(1)[0][0]
    placeholder = [p for p in profiles if set(_covers(p)) == {common}]
    shown = [p for p in profiles if p.videos or p.lives]
    assert len(placeholder) / len(shown) == pytest.approx(0.2, abs=0.05)
    assert _share(not _covers(p) for p in shown) == pytest.approx(0.3, abs=0.06)


def test_some_show_nothing_and_all_others_show_something_telling(
    profiles: list[StreamerProfile],
) -> None:
    empty = [p for p in profiles if not any(x.kind != "language" for x in pieces_of(p))]
    assert len(empty) == STREAMERS // 100
    assert all(p.attributes for p in empty)
    rest = [p for p in profiles if p not in empty]
    assert all(p.name for p in rest)
    assert all(p.bio or p.videos or p.lives for p in rest)


def test_groups_and_splits(world: World) -> None:
    sizes = Counter(group for group in world.groups if group)
    assert set(sizes.values()) <= {2, 3, 4}
    assert sum(sizes.values()) == pytest.approx(0.06 * STREAMERS, abs=3)
    assert {2, 3} <= set(sizes.values())
    for group in sizes:
        rows = [i for i, g in enumerate(world.groups) if g == group]
        assert len({world.splits[i] for i in rows}) == 1
        assert len({world.topics[i] for i in rows}) == 1
    shares = Counter(world.splits)
    for name, share in (("train", 0.7), ("val", 0.1), ("test", 0.2)):
        assert shares[name] / STREAMERS == pytest.approx(share, abs=0.01)


def test_copies_are_disguised_but_not_beyond_recognition(
    world: World, profiles: list[StreamerProfile]
) -> None:
    """A plain TF-IDF cosine tells duplicates from strangers, so the truth can be found."""
    cosine = _lexical(profiles)
    groups = np.array([group or f"alone{i}" for i, group in enumerate(world.groups)])
    one, other = np.triu_indices(STREAMERS, 1)
    same = groups[one] == groups[other]
    scores = cosine[one, other]
    assert scores[same].min() > 0.45
    assert (scores[~same] > 0.5).mean() < 1e-4
    assert scores[same].max() < 0.9999  # no copy is left untouched
    size = Counter(world.groups)
    for a, b in zip(one[same].tolist(), other[same].tolist(), strict=True):
        assert profiles[a].name != profiles[b].name or size[world.groups[a]] > 2


def test_audiences_follow_the_hierarchy_across_languages(world: World) -> None:
    audience = world.audience
    shape = (STREAMERS, audience.users)
    views = sp.csr_matrix((audience.views, (audience.streamer, audience.user)), shape, np.float64)
    assert views.nnz == len(audience.user)  # no pair comes twice
    cosine = _unit(views) @ _unit(views).T
    dense = cosine.toarray()
    np.fill_diagonal(dense, np.nan)
    topics = np.array(world.topics)
    domains = np.array([topic.split("/")[0] for topic in world.topics])
    language = np.array([p.get("language", "?") for p in world.profiles])
    topic = topics[:, None] == topics
    domain = (domains[:, None] == domains) & ~topic
    abroad = (language[:, None] == "zh") & (language == "en")
    everywhere = np.nanmean(dense)
    assert np.nanmean(dense[topic]) > 5 * everywhere
    assert np.nanmean(dense[domain]) > 1.15 * everywhere
    assert np.nanmean(dense[topic & abroad]) > 3 * np.nanmean(dense[abroad])


def test_words_of_one_topic_are_rarely_shared_across_languages(
    world: World, profiles: list[StreamerProfile]
) -> None:
    """So what audiences have in common across languages must be learned, not read off."""
    cosine = _lexical(profiles)
    topics = np.array(world.topics)
    language = np.array([p.language or "?" for p in profiles])
    topic = topics[:, None] == topics
    np.fill_diagonal(topic, val=False)
    at_home = topic & (language[:, None] == language) & (language != "?")
    abroad = topic & (language[:, None] == "zh") & (language == "en")
    assert cosine[abroad].mean() < 0.2 * cosine[at_home].mean()


def test_too_small_a_world_is_refused_and_the_smallest_works() -> None:
    with pytest.raises(UsageError, match="at least 10"):
        generate(9, seed=0)
    small = generate(10, seed=0)
    assert sorted(Counter(small.splits).values()) == [1, 2, 7]
    for share in (0.31, -0.1, 0.01):
        with pytest.raises(UsageError, match=r"0 to 0\.3|fewer than"):
            generate(100, 0, ring_share=share)


def _share(flags: Iterable[bool]) -> float:
    return float(np.mean(list(flags)))


def _covers(profile: StreamerProfile) -> list[tuple[float, ...]]:
    items = (*profile.videos, *profile.lives)
    return [tuple(i.cover.vector or ()) for i in items if i.cover is not None]


def _lexical(profiles: list[StreamerProfile]) -> NDArray[np.float32]:
    """TF-IDF cosines of all pairs (N, N)."""
    pieces = [pieces_of(profile) for profile in profiles]
    words = build_vocabulary(pieces)
    weights = tf_idf(corpus_bags(pieces, words)[0], words)
    return (weights @ weights.T).toarray()


def _unit(matrix: sp.csr_matrix) -> sp.csr_matrix:
    length: NDArray[np.float64] = np.sqrt(np.asarray(matrix.multiply(matrix).sum(1)).ravel())
    return sp.csr_matrix(sp.diags_array(1 / np.maximum(length, 1e-9)) @ matrix)


@pytest.fixture(scope="module")
def media_world() -> World:
    return generate(STREAMERS, 5, media=True)


def test_all_else_is_as_in_the_world_without(world: World, media_world: World) -> None:
    assert world.topics == media_world.topics
    assert world.groups == media_world.groups
    assert world.splits == media_world.splits
    for name in ("user", "streamer", "views"):
        assert (getattr(world.audience, name) == getattr(media_world.audience, name)).all()
    added = {"avatar", "frames", "audio"}
    for one, other in zip(world.profiles, media_world.profiles, strict=True):
        assert without(one, {"cover"}) == without(other, added | {"cover"})
        with_cover = [["cover" in item for item in items(profile)] for profile in (one, other)]
        assert with_cover[0] == with_cover[1]


def test_shares_of_missing_and_meaningless_media(media_world: World) -> None:
    anything = [p for p in media_world.profiles if "name" in p]
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


def test_copies_show_the_same_in_disguise(media_world: World) -> None:
    groups: dict[str, list[dict[str, Any]]] = {}
    for profile, group in zip(media_world.profiles, media_world.groups, strict=True):
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
            if len(same) > 1 and len(seen) < 100:
                seen.update(r.file()[0] for r in same)
    assert set(shared) == {"avatar", "cover", "frame", "audio"}
    assert min(shared.values()) > 4
    assert max(seen.values()) == 1


def test_what_is_written_is_valid_readable_and_small(media_world: World) -> None:
    sizes, kinds = [], Counter[str]()
    for profile in map(made, media_world.profiles[:150]):
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


TOPICS = [f"d{domain}/t{topic}" for domain in range(4) for topic in range(6)]
PEOPLE = 9
"""Of each topic."""


def hues(look: Look, number: int) -> NDArray[np.float64]:
    image = decoded(jpeg(draw_cover(look, number), 75)).convert("HSV")
    hue, saturation, _ = (np.asarray(channel, np.float64).ravel() for channel in image.split())
    return np.sqrt(np.bincount((hue // 16).astype(int), saturation, 16) / saturation.sum())


def bands(voice: Voice, number: int) -> NDArray[np.float64]:
    samples = heard(flac(synthesise(voice, number)))
    power = np.abs(np.fft.rfft(samples[: len(samples) // 1024 * 1024].reshape(-1, 1024))) ** 2
    edges = np.unique(np.geomspace(1, 512, 40).astype(int))
    logs = np.log(np.add.reduceat(power, edges, axis=1) + 1e-3)
    return np.concatenate([logs.mean(0), logs.std(0)])


@pytest.mark.parametrize(
    ("of_topics", "of_interest", "of_person", "features"),
    [
        (topic_looks, interest_look, personal_look, hues),
        (topic_voices, interest_voice, personal_voice, bands),
    ],
    ids=["pictures", "sounds"],
)
def test_the_nearest_centre_tells_the_topic_of_some_not_of_all(
    of_topics: Any, of_interest: Any, of_person: Any, features: Any
) -> None:
    rng = random.Random(11)
    shown = np.array(
        [
            [features(of_person(rng, of_interest(rng, topic)), 50 * t + i) for i in range(PEOPLE)]
            for t, topic in enumerate(of_topics(rng, TOPICS))
        ]
    )
    centres, asked = shown[:, :6].mean(1), shown[:, 6:]
    nearest = ((asked[:, :, None] - centres) ** 2).sum(-1).argmin(-1)
    share = (nearest == np.arange(len(TOPICS))[:, None]).mean()
    assert 4 / len(TOPICS) < share < 0.95


def test_pictures_and_sounds_are_small_and_the_same_each_time() -> None:
    rng = random.Random(11)
    for i, (seen, played) in enumerate(
        zip(topic_looks(rng, TOPICS), topic_voices(rng, TOPICS), strict=True)
    ):
        look = personal_look(rng, interest_look(rng, seen))
        for image in (draw_cover(look, i), draw_avatar(look, i), draw_frame(look, i, 1)):
            assert image.mode == "RGB"
            assert 96 <= min(image.size) <= max(image.size) <= 160
            assert len(jpeg(image, 80)) < 16_000
        assert draw_cover(look, i).tobytes() == draw_cover(look, i).tobytes()
        voice = personal_voice(rng, interest_voice(rng, played))
        samples = synthesise(voice, i)
        assert np.abs(samples).max() == pytest.approx(voice.loudness, rel=1e-5)
        assert len(heard(flac(samples))) == round(SECONDS * RATE_HZ)
        assert len(flac(samples)) < 24_000
        assert flac(synthesise(voice, i)) == flac(samples)


def test_placeholders_say_nothing() -> None:
    for kind in ("cover", "avatar", "frame"):
        placeholders = [draw_placeholder(number, kind) for number in range(PLACEHOLDERS)]
        assert len({image.tobytes() for image in placeholders}) == PLACEHOLDERS
        for image in placeholders:  # have no colour
            assert np.ptp(np.asarray(image, np.int16), axis=2).max() == 0
    assert not placeholder(0).any()
    for number in range(1, SOUND_PLACEHOLDERS):
        loud, louder = sorted(float(np.std(half)) for half in np.split(placeholder(number), 2))
        assert louder < 1.05 * loud


RINGS_STREAMERS = 1500
SHARE = 0.15


@pytest.fixture(scope="module")
def rings_world() -> World:
    return generate(RINGS_STREAMERS, 5, ring_share=SHARE)


def rings_of(rings_world: World) -> dict[str, list[int]]:
    found: defaultdict[str, list[int]] = defaultdict(list)
    for row, (group, kind) in enumerate(zip(rings_world.groups, rings_world.kinds, strict=True)):
        if group is not None and kind in ("ring", "ring_original"):
            found[group].append(row)
    return found


def test_every_ring_has_one_original_and_disguised_copies(rings_world: World) -> None:
    rings = rings_of(rings_world)
    assert sum(map(len, rings.values())) == round(SHARE * RINGS_STREAMERS)
    for rows in rings.values():
        assert SMALLEST <= len(rows) <= LARGEST
        assert Counter(rings_world.kinds[row] for row in rows)["ring_original"] == 1
        assert {rings_world.splits[row] for row in rows} == {"test"}
        names = {rings_world.profiles[row]["name"] for row in rows}
        assert len(names) > len(rows) / 2
        for row in rows:
            kinds = rings_world.disguises[row]
            assert bool(kinds) == (rings_world.kinds[row] == "ring")
            assert all(sum(kind in family for kind in kinds) <= 1 for family in FAMILIES)
    used = Counter(kind for kinds in rings_world.disguises for kind in kinds)
    assert used.keys() <= set(KINDS)
    assert len(used) >= len(KINDS) - 3
    several = sum(len(kinds) > 1 for kinds in rings_world.disguises)
    assert 0.2 < several / sum(bool(kinds) for kinds in rings_world.disguises) < 0.5


def test_look_alikes_are_of_all_kinds_and_no_duplicates(rings_world: World) -> None:
    rows = [row for row, found in enumerate(rings_world.look_alikes) if found is not None]
    assert len(rows) == pytest.approx(SHARE * RINGS_STREAMERS, abs=1)
    assert {rings_world.kinds[row] for row in rows} == set(LOOK_ALIKES)
    assert not any(rings_world.groups[row] for row in rows)
    contents = [rings_world.profiles[row] for row in rows]
    texts = [str({k: v for k, v in p.items() if k not in ("bio", "attributes")}) for p in contents]
    assert len(set(texts)) == len(texts)
    shops = [
        p["bio"]
        for row, p in zip(rows, contents, strict=True)
        if rings_world.kinds[row] == "franchise"
    ]
    assert len(set(shops)) == len(shops)


def test_profiles_are_valid_and_a_world_without_rings_is_as_ever(rings_world: World) -> None:
    for profile in rings_world.profiles:
        StreamerProfile.model_validate(profile)
    plain = generate(200, 5)
    assert not any(plain.look_alikes)
    assert not any(plain.disguises)
    assert set(plain.kinds) == {None, "original", "second_account", "reupload"}


def test_truth_is_in_the_files(tmp_path: Path) -> None:
    folder = tmp_path / "w"
    make = ["world", "--out", str(folder), "--streamers", "200", "--rings", "0.1"]
    assert main(make) == 0
    with (folder / "duplicates.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert Counter(row["kind"] for row in rows).keys() >= {"ring", "ring_original"}
    for row in rows:
        kinds = row["disguise"].split("+") if row["disguise"] else []
        assert bool(kinds) == (row["kind"] == "ring")
        assert set(kinds) <= set(KINDS)
    with (folder / "look_alikes.csv").open(encoding="utf-8") as file:
        look_alikes = list(csv.DictReader(file))
    assert len(look_alikes) == 20
    dataset = load_dataset(folder)
    assert dataset.duplicates is not None
    assert len(set(dataset.duplicates.tolist())) == 200 - len(rows) + len(
        {r["group"] for r in rows}
    )

    assert main(make) == 0  # it is there already
    assert main(make[:-2]) == 1  # another world
    assert main([*make[:-2], "--overwrite"]) == 0
    assert not (folder / "look_alikes.csv").exists()


HIDDEN_RINGS_STREAMERS = 1200
HIDDEN_RINGS_SHARE = 0.1


@pytest.fixture(scope="module")
def hidden_rings_world() -> World:
    return generate(HIDDEN_RINGS_STREAMERS, 5, hidden_share=HIDDEN_RINGS_SHARE)


def test_each_ring_has_two_seeds_and_disguised_accounts_in_the_test_split(
    hidden_rings_world: World,
) -> None:
    rings: defaultdict[str, list[int]] = defaultdict(list)
    for row, ring in enumerate(hidden_rings_world.rings):
        if ring is not None:
            rings[ring].append(row)
    assert sum(map(len, rings.values())) <= round(HIDDEN_RINGS_SHARE * HIDDEN_RINGS_STREAMERS)
    for rows in rings.values():
        kinds = Counter(hidden_rings_world.kinds[row] for row in rows)
        assert kinds["ring_seed"] == SEEDS
        for row in rows:
            assert hidden_rings_world.splits[row] == "test"
            assert hidden_rings_world.groups[row] is None
            assert bool(hidden_rings_world.disguises[row]) == (
                hidden_rings_world.kinds[row] == "ring"
            )
            StreamerProfile.model_validate(hidden_rings_world.profiles[row])


def test_the_folder_tells_who_is_in_which_ring(tmp_path: Path) -> None:
    command = ["world", "--streamers", "300", "--hidden-rings", "0.1", "--out", str(tmp_path)]
    assert main(command) == 0
    with (tmp_path / "rings.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    hidden_rings_world = generate(300, 0, hidden_share=0.1)
    told = {row["streamer_id"]: (row["ring"], row["kind"]) for row in rows}
    assert told == {
        name: (ring, kind)
        for name, ring, kind in zip(
            hidden_rings_world.ids, hidden_rings_world.rings, hidden_rings_world.kinds, strict=True
        )
        if ring is not None
    }
    assert len(load_dataset(tmp_path).ids) == 300
