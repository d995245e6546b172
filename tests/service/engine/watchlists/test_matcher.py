"""The index of seeds loses no match that an exact comparison of all pairs would find."""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from model_export.contract.bundle import Bundle
from model_export.contract.evidence import Side
from model_export.contract.streamer import StreamerProfile
from service.engine.evidence.engine import Evidence
from service.engine.watchlists.bounds import Bounds
from service.engine.watchlists.matcher import ListSeeds, Matcher
from service.engine.watchlists.seed_index import SeedIndex
from service.engine.work.lanes import run_to_end

LETTERS = "面条红烧肉做饭游戏开黑上分电竞唱歌吉他弹唱旅行户外徒步露营abcdefghijk"
TAGS = ["热门", "cooking", "gaming", "music", "flour", "k9", "zz-top", "vlog"]
DIM = 16


@pytest.fixture(scope="module")
def evidence(bundle: Path) -> Evidence:
    return Evidence(Bundle(bundle))


def _text(choices: random.Random, length: int) -> str:
    return "".join(choices.choices(LETTERS, k=length))


class World:
    """Profiles that share this and that, of every channel."""

    def __init__(self, evidence: Evidence, seed: int) -> None:
        self.evidence = evidence
        self.choices = random.Random(seed)
        self.rng = np.random.default_rng(seed)
        self.texts = [_text(self.choices, n) for n in (30, 80, 200, 400)]
        self.titles = [_text(self.choices, 12) for _ in range(12)]
        self.vectors = self.rng.normal(size=(6, 8))
        self.styles = self.rng.normal(size=(4, DIM))

    def side(self) -> Side:
        pick = self.choices
        shown: dict[str, object] = {}
        if pick.random() < 0.8:
            text = pick.choice(self.texts)
            begin = pick.randrange(len(text) // 2)
            bio = text[begin : begin + pick.randrange(10, 200)]
            shown["bio"] = _text(pick, pick.randrange(0, 60)) + bio
            if pick.random() < 0.1:
                shown["bio"] = _text(pick, 4000)[: 4900 - len(bio)] + bio
            if pick.random() < 0.3:
                shown["bio"] = f"{str(shown['bio'])[:4900]} wx: noodle{pick.randrange(4)}88"
        if pick.random() < 0.6:
            shown["name"] = pick.choice(["面条师傅", "面条师傅2", "night kitchen", _text(pick, 4)])
        if pick.random() < 0.6:
            shown["tags"] = pick.sample(TAGS, pick.randrange(1, 6))
        if pick.random() < 0.6:
            shown["category"] = pick.choice(["cooking", "gaming"])
            shown["language"] = pick.choice(["zh", "en"])
        if pick.random() < 0.6:
            titles = pick.sample(self.titles, pick.randrange(1, 5))
            shown["videos"] = [{"video_id": f"v{i}", "title": t} for i, t in enumerate(titles)]
        if pick.random() < 0.4:
            vector = pick.choice(list(self.vectors)) + pick.choice([0.0, 0.01, 1.0])
            shown["avatar"] = {"vector": vector.tolist(), "space": "clip"}
        embedding = None
        if pick.random() < 0.8:
            near = pick.choice(list(self.styles)) + pick.choice([0.1, 0.5, 2.0]) * self.rng.normal(
                size=DIM
            )
            embedding = (near / np.linalg.norm(near)).astype(np.float32)
        profile = StreamerProfile(streamer_id="s", **shown)  # type: ignore[arg-type]
        return self.evidence.side(profile, embedding)


def _exact(evidence: Evidence, one: Sequence[Side], other: Sequence[Side]) -> "np.ndarray":  # type: ignore[type-arg]
    """Match weights of all pairs (one, other), by the comparison alone."""
    a, b = np.divmod(np.arange(len(one) * len(other)), len(other))
    compared = run_to_end(evidence.compare([*one, *other], a, len(one) + b))
    return compared.matches.weights.reshape(len(one), len(other))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_no_seed_that_is_reached_is_left_out(evidence: Evidence, seed: int) -> None:
    world = World(evidence, seed)
    seeds = [world.side() for _ in range(150)]
    written = [world.side() for _ in range(60)]
    weights = _exact(evidence, written, seeds)
    for required in np.quantile(weights, [0.05, 0.5, 0.9, 0.99]):
        index = SeedIndex(seeds, np.full(len(seeds), required), evidence)
        reached = run_to_end(index.reached(written))
        for rows, exact in zip(reached, weights, strict=True):
            assert set(np.flatnonzero(exact >= required)) <= set(rows.tolist())


def test_a_part_of_a_long_text_is_reached(evidence: Evidence) -> None:
    """Of a long text a sample of the shingles is kept, and few of these are shared."""
    rng = np.random.default_rng(1)
    letters = [chr(c) for c in range(0x4E00, 0x5E00)]
    titles = [{"video_id": f"v{i}", "title": "".join(rng.choice(letters, 400))} for i in range(20)]
    text = "".join(rng.choice(letters, 4000))
    long = evidence.side(StreamerProfile(streamer_id="s", bio=text, videos=titles))  # type: ignore[arg-type]
    parts = [text[start : start + 25] for start in range(0, 4000, 25)]
    seeds = [evidence.side(StreamerProfile(streamer_id="s", bio=part)) for part in parts]
    (exact,) = _exact(evidence, [long], seeds)
    required = np.full(len(seeds), evidence.matcher.parameters.threshold)
    (rows,) = run_to_end(SeedIndex(seeds, required, evidence).reached([long]))
    assert (exact >= required).sum() > len(seeds) / 2
    assert set(np.flatnonzero(exact >= required)) <= set(rows.tolist())


@pytest.mark.slow
def test_few_seeds_are_compared(evidence: Evidence) -> None:
    """What the bounds let through at a probability that people ask for."""
    world = World(evidence, 9)
    seeds = [world.side() for _ in range(300)]
    written = [world.side() for _ in range(60)]
    required = Bounds(evidence.matcher).required(0.9)
    index = SeedIndex(seeds, np.full(len(seeds), required), evidence)
    passed = sum(map(len, run_to_end(index.reached(written))))
    true = int((_exact(evidence, written, seeds) >= required).sum())
    assert true <= passed < len(seeds) * len(written) / 8


@pytest.mark.parametrize("probability", [1e-9, 0.2, 0.5, 0.99, 0.999999, 1.0])
def test_the_weight_that_a_probability_needs(evidence: Evidence, probability: float) -> None:
    required = Bounds(evidence.matcher).required(probability)
    at, above = evidence.matcher.probability(np.array([required - 0.1, required + 0.1]))
    assert at < probability <= above


def _list(
    name: str, positive: list[Side], negative: list[Side], least: float, version: int = 1
) -> ListSeeds:
    ids = [f"{name}-{place}" for place in range(len(positive))]
    return ListSeeds(name, version, positive, ids, negative, {}, least)


@pytest.mark.slow
def test_hits_are_those_of_all_pairs(evidence: Evidence) -> None:
    world = World(evidence, 5)
    written = [world.side() for _ in range(60)]
    ids = [f"w{place}" for place in range(len(written))]
    lists = [
        _list(
            f"l{place}",
            [world.side() for _ in range(world.choices.randrange(1, 12))],
            [world.side() for _ in range(world.choices.randrange(3))],
            world.choices.choice([0.05, 0.5, 0.9, 0.999]),
        )
        for place in range(30)
    ]
    expected: dict[tuple[str, str], tuple[int, float]] = {}
    for each in lists:
        positive = _exact(evidence, written, each.positive)
        negative = _exact(evidence, written, each.negative) if each.negative else None
        for place, weights in enumerate(positive):
            best = int(weights.argmax())
            reaches = evidence.matcher.probability(weights[[best]])[0] >= each.min_probability
            cancelled = negative is not None and negative[place].max() >= weights[best]
            if reaches and not cancelled:
                expected[ids[place], each.list_id] = best, float(weights[best])
    matcher = Matcher(evidence)
    for start in range(0, len(lists), 7):  # so that there are several segments, and merges
        matcher.take(matcher.changed(lists[start : start + 7]))
    assert (matcher.lists, matcher.version("l3"), matcher.version("none")) == (30, 1, None)
    hits = run_to_end(matcher.match(ids, written))
    found = {(ids[hit.written], hit.list_id): (hit.seed, hit.weight) for hit in hits}
    assert len(found) == len(hits) > 20
    assert found.keys() == expected.keys()
    for key, (seed, weight) in found.items():
        assert (seed, weight) == (expected[key][0], pytest.approx(expected[key][1]))
    assert any(each.evidence for each in hits)
    for hit in hits:
        assert sum(each.weight for each in hit.evidence) == pytest.approx(hit.weight)


def test_lists_are_replaced_and_forgotten(evidence: Evidence) -> None:
    world = World(evidence, 6)
    seed, other = world.side(), world.side()
    matcher = Matcher(evidence)
    matcher.take(matcher.changed([_list("a", [seed], [], 0.5), _list("b", [seed], [], 0.5)]))

    def matched(name: str = "w") -> set[tuple[str, int]]:
        return {(h.list_id, h.version) for h in run_to_end(matcher.match([name], [seed]))}

    assert matched() == {("a", 1), ("b", 1)}
    assert matched("a-0") == {("b", 1)}  # a seed of a
    matcher.take(matcher.changed([_list("a", [seed], [], 0.5, version=2)], ["b"]))
    assert matched() == {("a", 2)}
    matcher.take(matcher.changed([_list("a", [seed], [seed, other], 0.5, version=3)]))
    assert matched() == set()
    assert (matcher.lists, matcher.seeds) == (1, 3)
    matcher.take(matcher.changed([], ["a"]))
    assert matched() == set()
    assert matcher.lists == 0
