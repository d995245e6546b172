"""What the simulated world promises: its shares, its truth, and that it can be learned from."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

from model_export.contract.features import piece_tokens
from model_export.contract.pieces import pieces_of
from model_export.contract.streamer import StreamerProfile
from training.errors import UsageError
from training.world import World, generate
from training.world.media.cover_vectors import COVER_SPACE, COVER_WIDTH
from training.world.topics import load_interests, load_phrases

pytestmark = pytest.mark.slow

STREAMERS = 2000


@pytest.fixture(scope="module")
def world() -> World:
    return generate(STREAMERS, seed=5)


@pytest.fixture(scope="module")
def profiles(world: World) -> list[StreamerProfile]:
    return [StreamerProfile.model_validate(profile) for profile in world.profiles]


def test_the_hierarchy_is_complete() -> None:
    interests = load_interests()
    topics = Counter(interest.topic for interest in interests)
    assert len({topic.split("/")[0] for topic in topics}) == 12
    assert len(topics) >= 80
    assert set(topics.values()) == {3}
    for interest in interests:
        assert [len(set(words)) for words in interest.words] == [5, 5]
        assert [len(set(words)) for words in interest.topic_words] == [6, 6]


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
    assert _share(not p.bio for p in profiles) == pytest.approx(0.3, abs=0.06)
    assert _share(p.bio in bios for p in profiles) == pytest.approx(0.2, abs=0.05)
    assert _share(not p.category for p in profiles) == pytest.approx(0.3, abs=0.06)
    assert _share(p.category in categories for p in profiles) == pytest.approx(0.2, abs=0.05)
    assert _share(not p.tags for p in profiles) == pytest.approx(0.3, abs=0.06)
    assert _share(bool(p.tags) and spam.issuperset(p.tags) for p in profiles) == pytest.approx(
        0.2, abs=0.05
    )
    assert _share(not p.videos for p in profiles) == pytest.approx(0.3, abs=0.06)
    assert _share(not p.lives for p in profiles) == pytest.approx(0.3, abs=0.06)
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
    weights = _tfidf(profiles)
    cosine = (weights @ weights.T).toarray()
    groups = np.array([group or f"alone{i}" for i, group in enumerate(world.groups)])
    one, other = np.triu_indices(STREAMERS, 1)
    same = groups[one] == groups[other]
    scores = cosine[one, other]
    assert scores[same].min() > 0.45
    assert np.sort(scores[~same])[-3] < 0.5
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
    weights = _tfidf(profiles)
    cosine = (weights @ weights.T).toarray()
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


def _share(flags: Iterable[bool]) -> float:
    return float(np.mean(list(flags)))


def _covers(profile: StreamerProfile) -> list[tuple[float, ...]]:
    items = (*profile.videos, *profile.lives)
    return [tuple(i.cover.vector or ()) for i in items if i.cover is not None]


def _tfidf(profiles: list[StreamerProfile]) -> sp.csr_matrix:
    """(N, V), rows of length 1; texts that many share count for nothing, as in a vocabulary."""
    pieces = [[p for p in pieces_of(profile) if p.kind != "language"] for profile in profiles]
    holders = Counter(h for found in pieces for h in {p.content_hash for p in found})
    bags = [
        Counter(
            token
            for piece in found
            if piece.kind != "text" or holders[piece.content_hash] <= 6
            for token in piece_tokens(piece)
        )
        for found in pieces
    ]
    column = {token: i for i, token in enumerate(dict.fromkeys(t for bag in bags for t in bag))}
    rows = np.repeat(np.arange(len(bags)), [len(bag) for bag in bags])
    columns = np.array([column[token] for bag in bags for token in bag])
    counts = np.array([n for bag in bags for n in bag.values()])
    frequency = np.bincount(columns)
    values = (1 + np.log(counts)) * (np.log((1 + len(bags)) / (1 + frequency[columns])) + 1)
    return _unit(sp.csr_matrix((values, (rows, columns)), (len(bags), len(column))))


def _unit(matrix: sp.csr_matrix) -> sp.csr_matrix:
    length: NDArray[np.float64] = np.sqrt(np.asarray(matrix.multiply(matrix).sum(1)).ravel())
    return sp.csr_matrix(sp.diags_array(1 / np.maximum(length, 1e-9)) @ matrix)
