"""Similar streamers: seeds, scores, filters, thresholds, reasons, pages and exports."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_export.contract.bundle import ESTABLISHED, file_entry
from model_export.contract.established import Established
from tests.support.api import Api
from tests.support.bundles import (
    BOILERPLATE,
    CALIBRATION,
    DIM,
    ESTABLISHED_IDS,
    ID_DIM,
    SPACE,
    TOPICS,
    curve,
    write_bundle,
    write_manifest,
)

WHOLE, ONE_MODALITY = CALIBRATION.embedding.curves
LEAST_COVERAGE = 0.4
COVERED = curve(1, None, (0.25, 0.99, 0.9), (-1.0, 0.97, 0.9)).model_copy(
    update={"least_coverage": LEAST_COVERAGE}
)
CALIBRATED = CALIBRATION.model_copy(
    update={"embedding": CALIBRATION.embedding.model_copy(update={"by_coverage": [COVERED]})}
)
OUTSIDER = {"bio": "quantum field theory and a soup of quarks", "tags": ["physics", "university"]}
PER_TOPIC = 5

Vectors = dict[str, np.ndarray]
Put = Callable[..., int]


def profiles() -> dict[str, dict[str, Any]]:
    """Streamers of every topic, told apart by their words and attributes."""
    made: dict[str, dict[str, Any]] = {}
    for topic, words in TOPICS.items():
        parts = words.split()
        for i in range(PER_TOPIC):
            made[f"{topic}-{i}"] = {
                "tags": [topic, parts[i]],
                "bio": " ".join(word for j, word in enumerate(parts) if j != i),
                "language": "zh" if i % 2 else "en",
                "category": topic,
                "attributes": {
                    "views": i * 100,
                    "partner": i == 0,
                    "account": 2**53 + i,
                    "share": i / 4,
                    "language": "fr" if i == 1 else "de",
                },
            }
            if i == 4:
                made[f"{topic}-{i}"]["attributes"]["region"] = "north"
    return made


PROFILES = profiles()


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return {
        "STREAMER_LIMITS__MAX_K": "40",
        "STREAMER_LIMITS__MAX_EXPLAINED": "20",
        "STREAMER_LIMITS__MAX_SEEDS": "4",
        "STREAMER_LIMITS__VISIBLE_TIMEOUT_MS": "100",
        "STREAMER_PAGING__MAX_HITS": "60",
    }


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its calibration promises by coverage; its first two established share an audience."""
    folder = tmp_path_factory.mktemp("bundle") / "bundle"
    manifest = write_bundle(folder, calibration=CALIBRATED).model_dump(mode="json")
    vectors = np.random.default_rng(1).standard_normal((len(ESTABLISHED_IDS), ID_DIM))
    vectors[1] = vectors[0]
    content = Established(ESTABLISHED_IDS, vectors.astype(np.float32)).dump()
    (folder / ESTABLISHED).write_bytes(content)
    manifest["files"][ESTABLISHED] = file_entry(content).model_dump()
    write_manifest(folder, manifest)
    return folder


@pytest.fixture(scope="module")
def vectors(api: Api) -> Vectors:
    """The streamers that are always there, with their vectors; what tests write goes again."""
    api.write([{"streamer_id": name, **profile} for name, profile in PROFILES.items()])
    return {name: np.array(api.embedding(name)) for name in PROFILES}


@pytest.fixture
def put(api: Api, vectors: Vectors) -> Iterator[Put]:
    """Writes a streamer that is gone after the test."""
    written: list[str] = []

    def write(streamer_id: str, **profile: Any) -> int:
        written.append(streamer_id)
        return api.put_streamer(streamer_id, **profile)

    yield write
    last = 0
    for name in dict.fromkeys(written):
        answer = api.delete(f"/v1/streamers/{name}")
        if answer.status_code == 200:
            last = answer.json()["sequence"]
    api.wait_until_indexed(last)


def ask(api: Api, *positive: dict[str, Any] | str, **query: Any) -> dict[str, Any]:
    seeds = [{"streamer_id": seed} if isinstance(seed, str) else seed for seed in positive]
    return api.ok("POST", "/v1/similar", {"positive": seeds, "k": 40, **query})


def ids(answer: dict[str, Any]) -> list[str]:
    return [hit["streamer_id"] for hit in answer["hits"]]


def scores(answer: dict[str, Any]) -> list[float]:
    return [hit["score"] for hit in answer["hits"]]


def ranked(
    vectors: Vectors, query: np.ndarray, without: Iterable[str] = ()
) -> list[tuple[str, float]]:
    """Everybody and their cosine with a query, best first."""
    unit = query / np.linalg.norm(query)
    known = {name: float(vector @ unit) for name, vector in vectors.items()}
    names = sorted(known.keys() - set(without), key=lambda name: (-known[name], name))
    return [(name, known[name]) for name in names]


def where(field: str, **condition: Any) -> dict[str, Any]:
    return {"must": [{"field": field, **condition}]}


# Seeds and scores


@pytest.mark.parametrize(
    ("way", "finds_itself"),
    [
        ({"params": {"k": 7}}, False),
        ({"params": {"k": 7, "exact": True}}, False),
        ({"params": {"k": 7, "min_score": -1}}, False),
        ({"seed": "streamer_id"}, False),
        ({"seed": "streamer_id", "exact": True}, False),
        ({"seed": "streamer_id", "filter": {"must_not": [{"field": "x", "any": [1]}]}}, False),
        ({"seed": "profile"}, True),
        ({"seed": "vector"}, True),
        ({"seed": "vector", "exact": True}, True),
    ],
)
def test_the_nearest_by_cosine_come_first(
    api: Api, vectors: Vectors, way: dict[str, Any], finds_itself: bool
) -> None:
    way = dict(way)
    if "params" in way:
        answer = api.ok("GET", "/v1/streamers/travel-1/similar", **way)
    else:
        seed = {
            "streamer_id": "travel-1",
            "profile": PROFILES["travel-1"],
            "vector": (1e3 * vectors["travel-1"]).tolist(),
        }
        kind = way.pop("seed")
        answer = ask(api, {kind: seed[kind]}, k=7, **way)
    expected = ranked(vectors, vectors["travel-1"], () if finds_itself else ["travel-1"])[:7]
    assert ids(answer) == [name for name, _ in expected]
    assert scores(answer) == pytest.approx([score for _, score in expected], abs=1e-5)
    assert [hit["rank"] for hit in answer["hits"]] == list(range(1, 8))
    assert {hit["reasons"] for hit in answer["hits"]} == {None}
    assert answer["exact"] is True
    assert answer["complete"] is ("min_score" not in way.get("params", {}))
    assert answer["model_version"] == "test-0"
    assert answer["next_cursor"] is None


def test_ten_hits_where_nothing_is_said(api: Api, vectors: Vectors) -> None:
    expected = [name for name, _ in ranked(vectors, vectors["music-2"], ["music-2"])[:10]]
    assert ids(api.ok("GET", "/v1/streamers/music-2/similar")) == expected
    seeds = {"positive": [{"streamer_id": "music-2"}]}
    assert ids(api.ok("POST", "/v1/similar", seeds)) == expected


@pytest.mark.parametrize("scale", [1.0, 1e-300])
@pytest.mark.parametrize("strategy", ["average", "best_score", "sum"])
def test_strategies_score_as_they_are_defined(
    api: Api, vectors: Vectors, strategy: str, scale: float
) -> None:
    positive, negative = {"music-0": 2.0, "travel-0": 1.0}, {"music-1": 1.0, "gaming-2": 3.0}
    answer = ask(
        api,
        *({"streamer_id": name, "weight": w * scale} for name, w in positive.items()),
        negative=[{"streamer_id": name, "weight": w * scale} for name, w in negative.items()],
        strategy=strategy,
    )

    def mean(seeds: dict[str, float]) -> np.ndarray:
        total = np.sum([w * vectors[name] for name, w in seeds.items()], axis=0)
        return total / np.linalg.norm(total)

    def expected(vector: np.ndarray) -> float:
        near = {name: float(vector @ vectors[name]) for name in (*positive, *negative)}
        if strategy == "average":
            return float(vector @ mean(positive) - vector @ mean(negative)) / 2
        if strategy == "sum":
            wanted = sum(w * near[name] for name, w in positive.items())
            return (wanted - sum(w * near[name] for name, w in negative.items())) / 7
        best, worst = max(near[n] for n in positive), max(near[n] for n in negative)
        return best if best >= worst else -worst

    others = set(vectors) - set(positive) - set(negative)
    assert set(ids(answer)) == others
    assert scores(answer) == sorted(scores(answer), reverse=True)
    for hit in answer["hits"]:
        assert hit["score"] == pytest.approx(expected(vectors[hit["streamer_id"]]), abs=1e-5)
        assert hit["precision"] is None  # it is no cosine with one seed


@pytest.mark.parametrize("strategy", ["average", "best_score", "sum"])
def test_opposite_seeds_have_an_answer(api: Api, vectors: Vectors, strategy: str) -> None:
    seed = vectors["music-0"]
    both = ({"vector": seed.tolist()}, {"vector": (-seed).tolist()})
    assert len(ids(ask(api, *both, strategy=strategy))) == len(vectors)


def test_copies_reach_the_highest_score(api: Api, vectors: Vectors, put: Put) -> None:
    for name in ("music-1", "cooking-3"):
        put(f"copy-{name}", **PROFILES[name])
        for seed in ({"streamer_id": name}, {"vector": vectors[name].tolist()}):
            found = ask(api, seed, min_score=1)
            assert {*ids(found), name} == {name, f"copy-{name}"}
            assert all(0.9999 < score <= 1 for score in scores(found))


def test_questions_see_updates_and_deletions(api: Api, put: Put) -> None:
    put("moving", tags=["travel"], bio=TOPICS["travel"])
    nearest = "/v1/streamers/music-0/similar?k=3"
    assert "moving" not in ids(api.ok("GET", nearest))
    put("moving", **PROFILES["music-0"])
    assert ids(api.ok("GET", nearest))[0] == "moving"
    sequence = api.ok("DELETE", "/v1/streamers/moving")["sequence"]
    after = ask(api, "music-0", after_sequence=sequence)
    assert "moving" not in ids(after)
    assert after["index_sequence"] >= sequence


@pytest.mark.parametrize("way", ["GET", "POST", "POST filtered", "export"])
def test_after_sequence_waits_for_a_write(api: Api, put: Put, way: str) -> None:
    put("late", tags=["travel"])  # it is gone after the test
    written = api.ok("PUT", "/v1/streamers/late", {"tags": ["music"], "bio": way})["sequence"]
    query = {"positive": [{"streamer_id": "music-0"}]}
    asked: dict[str, Callable[[int], tuple[Any, ...]]] = {
        "GET": lambda n: ("GET", f"/v1/streamers/music-0/similar?k=40&after_sequence={n}"),
        "POST": lambda n: ("POST", "/v1/similar", {**query, "k": 40, "after_sequence": n}),
        "POST filtered": lambda n: (
            "POST",
            "/v1/similar",
            {**query, "filter": where("streamer_id", any=["late"]), "after_sequence": n},
        ),
        "export": lambda n: (
            "POST",
            "/v1/similar/export",
            {**query, "min_score": -1, "after_sequence": n},
        ),
    }
    api.refused(*asked[way](written + 1000), status=503, code="not_yet_visible")
    if way != "export":
        assert "late" in ids(api.ok(*asked[way](written)))


# Filters


FILTERS: list[tuple[dict[str, Any], Callable[[str, dict[str, Any]], bool]]] = [
    (where("language", any=["zh"]), lambda _, p: p["language"] == "zh"),
    ({"must_not": [{"field": "language", "any": ["zh"]}]}, lambda _, p: p["language"] == "en"),
    (where("category", any=["music", "gaming"]), lambda _, p: p["category"] in "music gaming"),
    (where("tags", any=["guitar", "ranked"]), lambda n, _: n in ("music-0", "gaming-0")),
    (where("tags", all=["music", "vocal"]), lambda n, _: n == "music-1"),
    (where("tags", all=["music", "ranked"]), lambda *_: False),
    (where("streamer_id", any=["music-1", "cooking-2"]), lambda n, _: n in "music-1 cooking-2"),
    (
        {"must_not": [{"field": "streamer_id", "any": ["music-1", "cooking-2"]}]},
        lambda n, _: n not in "music-1 cooking-2",
    ),
    (where("views", gte=200, lt=400), lambda n, _: n[-1] in "23"),
    (where("views", gt=200, lte=400), lambda n, _: n[-1] in "34"),
    (where("attributes.views", any=[100, 300.0]), lambda n, _: n[-1] in "13"),
    (where("share", gte=0.5), lambda n, _: n[-1] in "234"),
    (where("share", any=[1]), lambda n, _: n[-1] == "4"),
    (where("partner", any=[True]), lambda n, _: n[-1] == "0"),
    (where("partner", any=[False]), lambda n, _: n[-1] != "0"),
    (where("partner", any=[0, 1]), lambda *_: False),
    (where("partner", gte=0), lambda *_: False),
    (where("account", gt=2**53), lambda n, _: n[-1] != "0"),
    (where("account", gte=2**53 + 1, lt=2**53 + 3), lambda n, _: n[-1] in "12"),
    (where("attributes.language", any=["fr"]), lambda n, _: n[-1] == "1"),
    (where("region", any=["north"]), lambda n, _: n[-1] == "4"),
    ({"must_not": [{"field": "region", "any": ["north"]}]}, lambda n, _: n[-1] != "4"),
    (
        {
            "must": [{"field": "category", "any": ["music"]}, {"field": "views", "lte": 200}],
            "must_not": [{"field": "views", "any": [100]}, {"field": "partner", "any": [True]}],
        },
        lambda n, _: n == "music-2",
    ),
]


@pytest.mark.parametrize(
    ("condition", "lets_through"), FILTERS, ids=[json.dumps(f) for f, _ in FILTERS]
)
def test_filters_let_through_who_fulfils_them(
    api: Api,
    vectors: Vectors,
    condition: dict[str, Any],
    lets_through: Callable[[str, dict[str, Any]], bool],
) -> None:
    order = ranked(vectors, vectors["travel-2"], ["travel-2"])
    expected = [name for name, _ in order if lets_through(name, PROFILES[name])]
    assert ids(ask(api, "travel-2", filter=condition)) == expected
    assert ids(ask(api, "travel-2", filter=condition, k=2)) == expected[:2]
    above = ask(api, "travel-2", filter=condition, min_score=-1, k=2)
    assert (ids(above), above["reached"]) == (expected[:2], len(expected))


def test_fields_and_values_that_nobody_has_are_named(api: Api, put: Put) -> None:
    condition = {
        "must": [{"field": "views", "gte": 100}],
        "must_not": [
            {"field": "viewz", "any": [1]},
            {"field": "category", "any": ["Music"]},
            {"field": "tags", "any": [f"n{i}" for i in range(12)]},
        ],
    }
    query = {"filter": condition, "min_score": -1}
    told = ask(api, "music-0", **query)["warnings"]
    assert "'viewz'" in told[0]
    assert '"Music"' in told[1]
    assert "'category'" in told[1]
    assert len(told) == 12  # the field, ten values, and how many there are beside
    assert "3" in told[-1]
    first = ask(api, "music-0", **query, pages=True, k=5)
    second = api.ok("GET", "/v1/similar", params={"cursor": first["next_cursor"]})
    *_, summary = export(api, "music-0", **query)
    assert first["warnings"] == second["warnings"] == summary["warnings"] == told
    put("odd", tags=[f"n{i}" for i in range(12)], category="Music", attributes={"viewz": 1})
    assert ask(api, "music-0", **query)["warnings"] == []


# Thresholds


def test_a_cut_answer_says_how_many_reach_the_score(api: Api, vectors: Vectors) -> None:
    order = ranked(vectors, vectors["music-0"], ["music-0"])
    cut = ask(api, "music-0", min_score=-1, k=3)
    assert (cut["complete"], cut["reached"]) == (False, len(order))
    assert str(len(order)) in cut["incomplete_because"]
    whole = ask(api, "music-0", min_score=-1)
    assert (whole["complete"], whole["incomplete_because"]) == (True, None)
    limit = whole["hits"][4]["score"]
    for answer in (
        ask(api, "music-0", min_score=limit),
        api.ok("GET", "/v1/streamers/music-0/similar", params={"k": 40, "min_score": limit}),
    ):
        assert ids(answer) == [name for name, _ in order[:5]]
        assert (answer["complete"], answer["reached"]) == (True, 5)


@pytest.mark.parametrize(
    ("wanted", "knot"),
    [(0.9, WHOLE.knots[0]), (0.8, WHOLE.knots[0]), (0.65, WHOLE.knots[1]), (0.4, WHOLE.knots[2])],
)
def test_a_precision_becomes_the_score_that_promises_it(
    api: Api, vectors: Vectors, wanted: float, knot: Any
) -> None:
    everyone = ask(api, "music-0")
    assert everyone["threshold"] is None
    expected = [hit for hit in everyone["hits"] if hit["score"] >= knot.score]
    path = "/v1/streamers/music-0/similar"
    for answer in (
        ask(api, "music-0", min_precision=wanted),
        api.ok("GET", path, params={"k": 40, "min_precision": wanted}),
    ):
        assert answer["hits"] == expected
        assert answer["threshold"]["min_precision"] == wanted
        assert answer["threshold"]["min_score"] == pytest.approx(knot.score)
        assert answer["threshold"]["at_least"] == pytest.approx(knot.at_least)
        assert answer["threshold"]["source"] == CALIBRATION.embedding.source
        assert answer["reached"] == len(expected)
    assert 0 < len(expected) < len(everyone["hits"])
    cut = ask(api, "music-0", min_precision=wanted, k=1)
    assert cut["complete"] is (len(expected) <= 1)


def test_hits_tell_the_precision_that_was_measured(api: Api, vectors: Vectors) -> None:
    for seed, measured in (("music-0", [WHOLE]), ({"profile": {"tags": ["music"]}}, [])):
        for hit in ask(api, seed)["hits"]:
            curves = measured or [ONE_MODALITY]
            assert hit["precision"] == pytest.approx(curves[0].precision_from(hit["score"]))
    both = ask(
        api,
        {"profile": {"tags": ["music"]}},
        "travel-0",
        strategy="best_score",
        min_precision=0.45,
    )
    # Of two seeds, the more demanding decides, and the less precise.
    assert both["threshold"]["min_score"] == pytest.approx(WHOLE.knots[1].score)
    for hit in both["hits"]:
        known = [c.precision_from(hit["score"]) or 1 for c in (WHOLE, ONE_MODALITY)]
        assert hit["precision"] == pytest.approx(min(known))
    thin = ask(api, {"profile": {"tags": ["music"]}}, min_precision=0.8)
    assert thin["threshold"]["min_score"] == pytest.approx(ONE_MODALITY.knots[0].score)
    assert thin["threshold"]["measured_on"].startswith("1 ")
    of_vector = ask(api, {"vector": [1.0] * DIM}, min_precision=0.9)
    assert of_vector["threshold"]["min_score"] == pytest.approx(WHOLE.knots[0].score)
    assert of_vector["coverage"] is None


def test_nothing_is_promised_to_who_shows_what_the_model_does_not_know(api: Api, put: Put) -> None:
    put("outsider", **OUTSIDER)
    for seed in ("outsider", {"profile": OUTSIDER}):
        answer = ask(api, seed)
        assert 0 < answer["coverage"] < LEAST_COVERAGE
        assert answer["hits"]
        assert {hit["precision"] for hit in answer["hits"]} == {None}
        assert "coverage" in answer["warnings"][0]
        for more in ({}, {"pages": True}, {"explain": True, "k": 5}):
            none = ask(api, seed, min_precision=0.4, **more)
            assert (none["hits"], none["reached"], none["complete"]) == ([], 0, True)
            assert none["threshold"] is None
            assert "coverage" in none["warnings"][0]
        (summary,) = export(api, seed, min_precision=0.4)
        assert (summary["reached"], summary["coverage"]) == (0, answer["coverage"])
    path = "/v1/streamers/outsider/similar"
    assert "coverage" in api.ok("GET", path)["warnings"][0]
    assert api.ok("GET", path, params={"min_precision": 0.4})["hits"] == []
    among = ask(api, "music-0", {"profile": OUTSIDER}, strategy="best_score", min_precision=0.4)
    assert (among["hits"], among["coverage"]) == ([], answer["coverage"])


# Reasons


SEED: dict[str, Any] = {
    "name": "guitar evenings",
    "bio": TOPICS["music"],
    "tags": ["music", "guitar"],
    "category": "music",
    "language": "en",
    "avatar": {"vector": [1, 2, 3, 4], "space": SPACE},
    "videos": [{"video_id": "v", "title": "vocal cover"}],
}
NEAR: dict[str, Any] = {
    "name": "ranked match",
    "bio": "guitar vocal 音乐 concert",
    "tags": ["music", "vocal", "soup"],
    "category": "gaming",
    "language": "en",
    "videos": [{"video_id": "v", "title": "guitar concert", "tags": ["music"]}],
    "lives": [{"live_id": "l", "title": "soup"}],
}
FAR: dict[str, Any] = {"bio": "mountain beach guitar", "tags": ["travel"], "language": "zh"}


def reasons(api: Api, *positive: dict[str, Any] | str, hit: str, **query: Any) -> dict[str, Any]:
    """Why one streamer is in the answer."""
    only = where("streamer_id", any=[hit])
    (found,) = ask(api, *positive, explain=True, filter=only, k=1, **query)["hits"]
    assert found["streamer_id"] == hit
    return found["reasons"] | {"score": found["score"]}


def shares_of(told: dict[str, Any]) -> dict[str, float]:
    """What each modality contributes, which adds up to the similarity."""
    shares = {m: one["contribution"] for m, one in told["contributions"].items()}
    known = {m: share for m, share in shares.items() if share is not None}
    assert sum(known.values()) == pytest.approx(told["similarity"], abs=1e-5)
    return known


class Worths:
    """Cosines of two profiles of which only some fields are left, by writing them so."""

    def __init__(self, api: Api, put: Put) -> None:
        self._api = api
        put("part")  # it is gone after the test
        self._known: dict[str, np.ndarray | None] = {}

    def _vector(self, profile: dict[str, Any]) -> np.ndarray | None:
        key = json.dumps(profile)
        if key not in self._known:
            assert self._api.put("/v1/streamers/part", json=profile).status_code == 200
            answer = self._api.get("/v1/streamers/part/embedding")
            shows = answer.status_code == 200
            self._known[key] = np.array(answer.json()["embedding"]) if shows else None
        return self._known[key]

    def _worth(self, a: dict[str, Any], b: dict[str, Any], shown: set[str]) -> float:
        one, other = (self._vector({name: p[name] for name in p if name in shown}) for p in (a, b))
        return 0.0 if one is None or other is None else float(one @ other)

    def shares(self, a: dict[str, Any], b: dict[str, Any]) -> dict[str, float]:
        """By field: the mean of the cosine of it alone and of the loss without it, scaled."""
        fields = {*a, *b}
        whole = self._worth(a, b, fields)
        found = {
            f: (self._worth(a, b, {f}) + whole - self._worth(a, b, fields - {f})) / 2
            for f in fields
        }
        missing, size = whole - sum(found.values()), sum(map(abs, found.values()))
        return {f: share + missing * abs(share) / size for f, share in found.items()}


def test_contributions_are_what_the_cosine_loses_and_add_up(api: Api, put: Put) -> None:
    put("seed", **SEED)
    worths = Worths(api, put)
    for profile in (NEAR, FAR):
        put("hit", **profile)
        expected = worths.shares(SEED, profile)
        for seed, label in (("seed", "seed"), ({"profile": SEED}, "/positive/0")):
            told = reasons(api, seed, hit="hit")
            assert told["nearest_seed"] == label
            assert told["similarity"] == pytest.approx(told["score"], abs=1e-5)
            assert told["unexplained_because"] is None
            assert shares_of(told) == pytest.approx(expected, abs=1e-4)
            assert -1 <= told["content_similarity"] <= 1


def test_modalities_are_used_absent_or_say_nothing(api: Api, put: Put) -> None:
    url = {"url": "https://media.example.org/a.png"}
    put("seed", **{**SEED, "bio": BOILERPLATE, "avatar": url})
    put("hit", **{**NEAR, "avatar": url})
    told = reasons(api, "seed", hit="hit")["contributions"]
    uses = {m: (one["seed"], one["hit"]) for m, one in told.items()}
    assert uses["bio"] == ("uninformative", "used")
    assert uses["avatar"] == ("unsupported", "unsupported")
    assert told["avatar"]["contribution"] is None
    assert uses["lives"] == ("absent", "used")
    assert uses["tags"] == ("used", "used")
    assert not {"audio", "frames", "covers"} & set(uses)


def test_of_several_seeds_the_nearest_is_told(api: Api, vectors: Vectors) -> None:
    for hit, nearest in (("music-3", "music-0"), ("travel-3", "travel-0")):
        told = reasons(
            api,
            {"streamer_id": "music-0", "weight": 9},
            "travel-0",
            negative=[{"profile": {"tags": ["soup"]}}],
            strategy="sum",
            hit=hit,
        )
        assert told["nearest_seed"] == nearest
        similarity = float(vectors[nearest] @ vectors[hit])
        assert told["similarity"] == pytest.approx(similarity, abs=1e-5)
        assert told["score"] != pytest.approx(similarity, abs=1e-3)
        assert shares_of(told)["bio"] > 0.05


def test_a_vector_has_no_modalities_to_explain(api: Api, vectors: Vectors) -> None:
    told = reasons(api, {"vector": vectors["music-1"].tolist()}, hit="music-1")
    assert told["nearest_seed"] == "/positive/0"
    assert told["contributions"] is None
    assert "/positive/0" in told["unexplained_because"]
    assert told["similarity"] == pytest.approx(1, abs=1e-4)
    assert set(told["shared"]) == {"topic"}
    assert {pair["seed_quote"] for pair in told["shared"]["topic"]} == {""}
    assert all(pair["hit_quote"] for pair in told["shared"]["topic"])


PICTURE = {"data": "iVBORyBvbmU=", "content_type": "image/png"}
SOUND = {"data": "SUQzIG9uZQ==", "content_type": "audio/mpeg"}
SHARED: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "tags, category and language": (
        {"tags": ["music", "guitar"], "category": "music", "language": "en"},
        {"tags": ["soup", "music"], "category": "music", "language": "en"},
        {"tags": ["music"], "category": ["music"], "language": ["en"]},
    ),
    "the very same files and titles": (
        {
            "tags": ["music"],
            "avatar": PICTURE,
            "videos": [
                {"video_id": "a", "title": "Concert: vocal!", "cover": SEED["avatar"]},
                {"video_id": "b", "title": "?!", "audio": SOUND},
            ],
        },
        {
            "tags": ["music", "soup"],
            "avatar": SEED["avatar"],
            "videos": [
                {"video_id": "c", "title": "!?"},
                {"video_id": "d", "title": "concert vocal", "cover": PICTURE},
            ],
            "lives": [{"live_id": "e", "audio": SOUND}],
        },
        {
            "tags": ["music"],
            "pictures": [("avatar", "videos[1].cover"), ("videos[0].cover", "avatar")],
            "sounds": [("videos[1].audio", "lives[0].audio")],
            "titles": [("videos[0].title", "videos[1].title")],
        },
    ),
    "a contact": (
        {"bio": "guitar, 微信: lark_2041", "tags": ["music"]},
        {"bio": "vocal, vx：lark_2041", "tags": ["music"]},
        {"contacts": [("bio", "bio")], "phrases": [("bio", "bio")], "tags": ["music"]},
    ),
    "a phrase in another place": (
        {"bio": "每周五吉他弹唱,自制皮影戏灯笼", "tags": ["美食"]},
        {"tags": ["旅行"], "lives": [{"live_id": "l", "title": "音乐与自制皮影戏灯笼展"}]},
        {"phrases": [("bio", "lives[0].title")]},
    ),
    "boilerplate is never shared": (
        {"bio": BOILERPLATE, "language": "zh", "tags": ["热门", "music"], "name": "关注我"},
        {"bio": BOILERPLATE, "language": "zh", "tags": ["热门", "guitar"], "name": "关注我"},
        {"language": ["zh"], "topic": [("tags[1]", "tags[1]")]},
    ),
    "a topic": (
        {"bio": "guitar vocal concert", "tags": ["soup"], "language": "en"},
        {
            "language": "en",
            "videos": [
                {"video_id": "a", "title": "beach train hostel"},
                {"video_id": "b", "title": "vocal guitar recipe"},
            ],
        },
        {"language": ["en"], "topic": [("bio", "videos[1].title")]},
    ),
    "pictures of one topic": (
        {"avatar": {"vector": [1, 2, 3, 4], "space": SPACE}, "language": "en"},
        {"avatar": {"vector": [1, 2, 3, 1], "space": SPACE}, "language": "en"},
        {"language": ["en"], "topic": [("avatar", "avatar")]},
    ),
}


@pytest.mark.parametrize("case", SHARED)
def test_what_both_show_is_told(api: Api, put: Put, case: str) -> None:
    seed, hit, expected = SHARED[case]
    put("seed", **seed)
    put("hit", **hit)
    for one in ("seed", {"profile": seed}):
        shared = reasons(api, one, hit="hit")["shared"]
        places = {
            kind: [v if isinstance(v, str) else (v["seed"], v["hit"]) for v in values]
            for kind, values in shared.items()
        }
        assert places == expected


def test_quotes_are_as_they_are_written(api: Api, put: Put) -> None:
    bio = "guitar evenings with homemade lanterns and marbles"
    copied = bio.replace("e", "\u0435").replace("o", "\u043e")  # Cyrillic letters
    put("seed", bio=bio, tags=["music"])
    put("hit", bio=copied, tags=["music"])
    (phrase,) = reasons(api, "seed", hit="hit")["shared"]["phrases"]
    assert (phrase["seed_quote"], phrase["hit_quote"]) == (bio, copied)
    assert "confusable" in phrase["disguises"]


def test_an_audience_of_both_is_told_where_it_is_known(api: Api, put: Put) -> None:
    for name in (*ESTABLISHED_IDS[:3], "newcomer"):
        put(name, bio="guitar vocal", language="en")
    told = {
        hit: "audience" in reasons(api, ESTABLISHED_IDS[0], hit=hit)["shared"]
        for hit in (*ESTABLISHED_IDS[1:3], "newcomer")
    }
    assert told == {ESTABLISHED_IDS[1]: True, ESTABLISHED_IDS[2]: False, "newcomer": False}


def test_reasons_are_given_where_they_are_asked_for(api: Api, vectors: Vectors) -> None:
    path = "/v1/streamers/music-0/similar"
    for answer in (
        api.ok("GET", path, params={"k": 4, "explain": True}),
        ask(api, "music-0", k=4, explain=True, min_score=-1),
    ):
        assert len(answer["hits"]) == 4
        for hit in answer["hits"]:
            shares_of(hit["reasons"])
            assert "music" in hit["reasons"]["shared"]["tags"]
    only_search = api.with_key("search")
    assert only_search.ok("GET", path)["hits"]
    query = {"positive": [{"streamer_id": "music-0"}], "explain": True}
    only_search.refused("POST", "/v1/similar", query, status=403, code="missing_scope")
    only_search.refused("GET", f"{path}?explain=true", status=403, code="missing_scope")


# Pages


@pytest.mark.parametrize(
    ("least", "k"), [(-1.0, 1), (-1.0, 7), (-1.0, 20), (-1.0, 40), (0.1, 3), (0.3, 40), (1.0, 7)]
)
def test_pages_together_are_everyone_who_reaches_the_score(
    api: Api, vectors: Vectors, least: float, k: int
) -> None:
    query = vectors["cooking-1"] + 0.5 * vectors["gaming-3"]
    expected = [(n, s) for n, s in ranked(vectors, query) if s >= least]
    page = ask(api, {"vector": query.tolist()}, min_score=least, k=k, pages=True)
    pages = [page]
    while page["next_cursor"] is not None:
        page = api.ok("GET", "/v1/similar", params={"cursor": page["next_cursor"]})
        pages.append(page)
    hits = [hit for page in pages for hit in page["hits"]]
    assert [hit["streamer_id"] for hit in hits] == [name for name, _ in expected]
    assert [hit["score"] for hit in hits] == pytest.approx([s for _, s in expected], abs=1e-5)
    assert [hit["rank"] for hit in hits] == list(range(1, len(hits) + 1))
    assert len(pages) == max(1, -(-len(expected) // k))
    assert all(len(page["hits"]) == k for page in pages[:-1])
    assert all(page["complete"] and page["exact"] for page in pages)
    assert {page["reached"] for page in pages} == {len(expected)}
    assert {page["index_sequence"] for page in pages} == {pages[0]["index_sequence"]}


def test_pages_are_of_the_moment_of_the_question(api: Api, vectors: Vectors, put: Put) -> None:
    put("leaving", **PROFILES["travel-3"])
    put("changing", **PROFILES["gaming-3"])
    first = ask(api, "music-0", min_score=-1, k=2, pages=True)
    whole = ids(ask(api, "music-0", min_score=-1))
    api.ok("DELETE", "/v1/streamers/leaving")
    put("arriving", **PROFILES["music-0"])
    put("changing", **PROFILES["music-0"])
    found, cursor = ids(first), first["next_cursor"]
    again = api.ok("GET", "/v1/similar", params={"cursor": cursor})
    while cursor is not None:
        page = api.ok("GET", "/v1/similar", params={"cursor": cursor})
        assert page["reached"] == first["reached"] == len(whole)
        found, cursor = found + ids(page), page["next_cursor"]
    assert found == [name for name in whole if name != "leaving"]
    assert ids(again) == found[2:4]


def test_an_old_answer_makes_room_for_new_ones(api: Api, vectors: Vectors) -> None:
    cursors = [ask(api, "music-0", min_score=-1, k=2, pages=True)["next_cursor"] for _ in range(5)]
    newest = api.ok("GET", "/v1/similar", params={"cursor": cursors[-1]})
    assert len(newest["hits"]) == 2
    for cursor in (cursors[0], "nothing.10", "nothing", cursors[-1].split(".")[0] + ".-1"):
        params = {"cursor": cursor}
        api.refused("GET", "/v1/similar", params=params, status=410, code="cursor_expired")


# Exports


def export(api: Api, *positive: dict[str, Any] | str, **query: Any) -> list[dict[str, Any]]:
    """The lines of an export."""
    seeds = [{"streamer_id": seed} if isinstance(seed, str) else seed for seed in positive]
    answer = api.post("/v1/similar/export", json={"positive": seeds, **query})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.content.splitlines()]


@pytest.mark.parametrize(
    "query",
    [
        {"min_score": -1.0},
        {"min_score": 0.3},
        {"min_score": 0.9, "filter": where("language", any=["zh"])},
        {"min_precision": 0.65},
        {"min_score": 0.5, "filter": where("language", any=["fr"])},
    ],
)
def test_an_export_is_all_pages_at_once(api: Api, vectors: Vectors, query: dict[str, Any]) -> None:
    *lines, summary = export(api, "gaming-1", **query)
    page = ask(api, "gaming-1", **query, pages=True)
    for hit in page["hits"]:
        del hit["reasons"]
    assert lines == page["hits"]
    assert summary["reached"] == len(lines) == page["reached"]
    same = ("threshold", "complete", "model_version", "index_sequence", "warnings", "coverage")
    assert {name: summary[name] for name in same} == {name: page[name] for name in same}


def test_a_job_writes_the_same_export(api: Api, vectors: Vectors) -> None:
    query = {"positive": [{"streamer_id": "gaming-1"}], "min_score": 0.1}
    expected = export(api, "gaming-1", min_score=0.1)
    headers = {"Prefer": "respond-async", "Idempotency-Key": '"export-1"'}
    answer = api.post("/v1/similar/export", json=query, headers=headers)
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"
    again = api.post("/v1/similar/export", json=query, headers=headers)
    assert again.json()["job_id"] == answer.json()["job_id"]
    job = api.finished(answer.json())
    assert answer.headers["location"].endswith(f"/v1/jobs/{job['job_id']}")
    assert job["kind"] == "similar_export"
    result = api.get(f"/v1/jobs/{job['job_id']}/result")
    assert [json.loads(line) for line in result.content.splitlines()] == expected
    only_search = api.with_key("search")
    headers = {"Prefer": "respond-async"}
    refused = {"headers": headers, "status": 403, "code": "missing_scope"}
    only_search.refused("POST", "/v1/similar/export", query, **refused)
    assert only_search.post("/v1/similar/export", json=query).status_code == 200


# Errors

MUSIC = {"streamer_id": "music-0"}
NOBODY = {"streamer_id": "nobody"}
ONE = [1.0] * DIM


@pytest.mark.parametrize(
    ("pointer", "body"),
    [
        ("/positive", {}),
        ("/positive", {"positive": []}),
        ("/positive", {"positive": [MUSIC] * 5}),
        ("/positive/0", {"positive": [{}]}),
        ("/positive/0", {"positive": [{**MUSIC, "vector": ONE}]}),
        ("/positive/0/weight", {"positive": [{**MUSIC, "weight": 0}]}),
        ("/positive/0/vector", {"positive": [{"vector": [1.0]}]}),
        ("/positive/0/vector", {"positive": [{"vector": [0.0] * DIM}]}),
        ("/positive/0/profile", {"positive": [{"profile": {}}]}),
        ("/positive/0/profile/nmae", {"positive": [{"profile": {"nmae": "x"}}]}),
        ("/positive/0/streamer_id", {"positive": [{"streamer_id": "bare"}]}),
        ("/negative", {"negative": [{"vector": ONE}] * 5}),
        ("/negative", {"positive": [{"vector": ONE}], "negative": [{"vector": ONE}]}),
        ("/negative/1/streamer_id", {"negative": [{"vector": ONE}, MUSIC]}),
        ("/strategy", {"strategy": "max"}),
        ("/k", {"k": 0}),
        ("/k", {"k": 41}),
        ("/k", {"k": 21, "explain": True}),
        ("/min_score", {"min_score": 1.1}),
        ("/min_precision", {"min_precision": 0}),
        ("/min_precision", {"min_precision": 0.5, "negative": [{"vector": ONE}]}),
        ("/min_precision", {"min_precision": 0.5, "positive": [MUSIC, {"vector": ONE}]}),
        ("", {"min_score": 0.5, "min_precision": 0.5}),
        ("/pages", {"pages": True}),
        ("/pages", {"pages": True, "min_score": 0, "explain": True}),
        ("/filter/must_not/0", {"filter": {"must_not": [{"field": "tags"}]}}),
        ("/filter/must/0/gt", {"filter": where("views", gt="1")}),
        ("/filter/must/0/lte", {"filter": where("views", lte=True)}),
        ("/filter/must/0/above", {"filter": where("views", above=3)}),
        ("/limit", {"limit": 3}),
    ],
)
def test_questions_that_are_wrong(api: Api, put: Put, pointer: str, body: dict[str, Any]) -> None:
    put("bare")
    body = body if pointer == "/positive" else {"positive": [MUSIC], **body}
    wrong: dict[str, Any] = {"status": 422, "code": "invalid_request"}
    problem = api.refused("POST", "/v1/similar", body, **wrong)
    assert [error["pointer"] for error in problem["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("body", "status", "code", "pointers"),
    [
        (
            {"positive": [MUSIC, NOBODY], "negative": [{"streamer_id": "no-one"}], "min_score": 0},
            404,
            "streamer_not_found",
            ["/positive/1/streamer_id", "/negative/0/streamer_id"],
        ),
        (
            {"positive": [MUSIC], "min_precision": 0.95},
            422,
            "precision_not_promised",
            ["/min_precision"],
        ),
    ],
)
@pytest.mark.parametrize("path", ["/v1/similar", "/v1/similar/export"])
def test_questions_that_have_no_answer(
    api: Api,
    vectors: Vectors,
    path: str,
    body: dict[str, Any],
    status: int,
    code: str,
    pointers: list[str],
) -> None:
    problem = api.refused("POST", path, body, status=status, code=code)
    assert [error["pointer"] for error in problem["errors"]] == pointers


def test_best_score_has_an_answer_where_a_seed_is_wanted_and_unwanted(
    api: Api, vectors: Vectors
) -> None:
    seed = {"vector": vectors["music-0"].tolist()}
    assert ids(ask(api, seed, negative=[seed], strategy="best_score"))


@pytest.mark.parametrize(
    ("path", "status", "code", "parameter"),
    [
        ("/v1/streamers/nobody/similar", 404, "streamer_not_found", "streamer_id"),
        ("/v1/streamers/nobody/similar?k=5", 404, "streamer_not_found", "streamer_id"),
        ("/v1/streamers/bare/similar", 422, "invalid_request", "streamer_id"),
        ("/v1/streamers/music-0/similar?k=0", 422, "invalid_request", "k"),
        ("/v1/streamers/music-0/similar?k=41", 422, "invalid_request", "k"),
        ("/v1/streamers/music-0/similar?k=21&explain=true", 422, "invalid_request", "k"),
        ("/v1/streamers/music-0/similar?k=many", 422, "invalid_request", "k"),
        ("/v1/streamers/music-0/similar?min_score=2", 422, "invalid_request", "min_score"),
        (
            "/v1/streamers/music-0/similar?min_score=0.5&min_precision=0.5",
            422,
            "invalid_request",
            "min_precision",
        ),
        (
            "/v1/streamers/music-0/similar?min_precision=0.95",
            422,
            "precision_not_promised",
            "min_precision",
        ),
        ("/v1/streamers/music-0/similar?limit=3", 422, "invalid_request", "limit"),
        ("/v1/similar", 422, "invalid_request", "cursor"),
    ],
)
def test_addresses_that_are_refused(
    api: Api, put: Put, path: str, status: int, code: str, parameter: str
) -> None:
    put("bare")
    problem = api.refused("GET", path, status=status, code=code)
    assert [error["parameter"] for error in problem["errors"]] == [parameter]


@pytest.mark.parametrize(
    ("pointer", "body"),
    [
        ("", {"positive": [MUSIC]}),
        ("", {"positive": [MUSIC], "min_score": 0.5, "min_precision": 0.5}),
        ("/k", {"positive": [MUSIC], "min_score": 0.5, "k": 3}),
        ("/positive", {"positive": [MUSIC] * 5, "min_score": 0}),
    ],
)
def test_exports_that_are_wrong(
    api: Api, vectors: Vectors, pointer: str, body: dict[str, Any]
) -> None:
    wrong: dict[str, Any] = {"status": 422, "code": "invalid_request"}
    problem = api.refused("POST", "/v1/similar/export", body, **wrong)
    assert [error["pointer"] for error in problem["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/streamers/music-0/similar", None),
        ("POST", "/v1/similar", {"positive": [MUSIC]}),
        ("GET", "/v1/similar?cursor=x", None),
        ("POST", "/v1/similar/export", {"positive": [MUSIC], "min_score": 0}),
    ],
)
def test_questions_need_the_scope_search(
    api: Api, vectors: Vectors, method: str, path: str, body: Any
) -> None:
    other = api.with_key("streamers:read", "explain")
    other.refused(method, path, body, status=403, code="missing_scope")
