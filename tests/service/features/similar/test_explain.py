"""Reasons over HTTP: by contributions, by shared evidence, and where there are none."""

import asyncio
import base64
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from model_export.contract.bundle import Bundle
from model_export.contract.features import Featurizer
from model_export.contract.pieces import MODALITIES, pieces_of
from model_export.contract.streamer import StreamerContent
from service.app import create_app
from service.engine.encoding.onnx_encoder import OnnxEncoder
from service.engine.work.turns import Turns
from service.settings import Limits, Settings
from tests.bundles import BOILERPLATE, SPACE, TOPICS
from tests.service.conftest import put, wait_until_visible
from tests.service.http.test_openapi import SCHEMAS

Hit = dict[str, Any]


def cover(*numbers: float) -> dict[str, Any]:
    return {"vector": list(numbers), "space": SPACE}


SEED: dict[str, Any] = {
    "name": "guitar evenings",
    "bio": TOPICS["music"],
    "tags": ["music", "guitar"],
    "category": "music",
    "language": "en",
    "avatar": cover(1, 2, 3, 4),
    "videos": [{"video_id": "v", "title": "vocal cover", "cover": cover(1, 0, 0, 2)}],
}
NEAR: dict[str, Any] = {
    "name": "ranked match",
    "bio": "guitar vocal 音乐 concert",
    "tags": ["music", "vocal", "soup"],
    "category": "gaming",
    "language": "en",
    "videos": [
        {"video_id": "v", "title": "guitar concert", "cover": cover(1, 1, 0, 2)},
        {"video_id": "w", "title": "beach train", "tags": ["music"]},
    ],
    "lives": [{"live_id": "l", "title": "soup"}],
}
FAR: dict[str, Any] = {"bio": "mountain beach guitar", "tags": ["travel"], "language": "zh"}


def explained(client: TestClient, **query: Any) -> dict[str, Hit]:
    """The hits by id, with reasons."""
    answer = client.post("/v1/similar", json={"k": 20, "explain": True, **query})
    assert answer.status_code == 200, answer.text
    return {hit["streamer_id"]: hit for hit in answer.json()["hits"]}


class Reference:
    """The cosine of two profiles whose pieces are left out before anything is made of them."""

    def __init__(self, bundle: Path) -> None:
        opened = Bundle(bundle)
        self._featurizer: Featurizer = opened.featurizer
        self._encoder = OnnxEncoder(opened)

    def worth(self, a: dict[str, Any], b: dict[str, Any], shown: Collection[str]) -> float:
        """The cosine of what is left of both, 0 if nothing is left of one."""
        vectors = []
        for profile in (a, b):
            pieces = pieces_of(StreamerContent.model_validate(profile))
            left = self._featurizer.from_pieces([p for p in pieces if p.modality in shown])
            if not left.usable:
                return 0.0
            (encoded,) = self._encoder.encode([left])
            vectors.append(encoded.embedding)
        return float(vectors[0] @ vectors[1])

    def contributions(self, a: dict[str, Any], b: dict[str, Any]) -> dict[str, float]:
        """By modality, the mean of the cosine of it alone and of the loss without it, scaled."""
        whole = self.worth(a, b, MODALITIES)
        shares: dict[str, float] = {}
        for modality in MODALITIES:
            others = [m for m in MODALITIES if m != modality]
            loss = whole - self.worth(a, b, others)
            shares[modality] = (self.worth(a, b, [modality]) + loss) / 2
        missing = whole - sum(shares.values())
        size = sum(abs(share) for share in shares.values())
        return {m: share + missing * abs(share) / size for m, share in shares.items()}


@pytest.fixture(scope="module")
def reference(bundle: Path) -> Reference:
    return Reference(bundle)


def assert_explained(hit: Hit, expected: Mapping[str, float]) -> dict[str, Any]:
    """Its contributions, which are the expected ones and add up to the similarity."""
    reasons = hit["reasons"]
    told: dict[str, Any] = reasons["contributions"]
    shares = {m: one["contribution"] for m, one in told.items() if one["contribution"] is not None}
    assert sum(shares.values()) == pytest.approx(reasons["similarity"], abs=1e-6)
    for modality, share in expected.items():
        assert shares.get(modality, 0.0) == pytest.approx(share, abs=1e-5), modality
    return told


def test_contributions_are_those_of_encoding_again_and_add_up(
    client: TestClient, reference: Reference
) -> None:
    put(client, "seed", **SEED)
    put(client, "near", **NEAR)
    sequence = put(client, "far", **FAR)
    hits = explained(client, positive=[{"streamer_id": "seed"}], after_sequence=sequence)
    assert set(hits) == {"near", "far"}
    for streamer_id, profile in {"near": NEAR, "far": FAR}.items():
        hit = hits[streamer_id]
        assert hit["reasons"]["similarity"] == pytest.approx(hit["score"], abs=1e-6)
        assert hit["reasons"]["unexplained_because"] is None
        assert_explained(hit, reference.contributions(SEED, profile))
    near = hits["near"]["reasons"]["contributions"]
    assert near["bio"]["contribution"] > 0.02
    assert near["avatar"]["contribution"] < -0.001  # only one of them shows one


def test_a_copy_is_explained_by_all_that_it_shows(client: TestClient) -> None:
    put(client, "seed", **SEED)
    sequence = put(client, "copy", **SEED)
    hits = explained(client, positive=[{"streamer_id": "seed"}], after_sequence=sequence)
    told = assert_explained(hits["copy"], {})
    assert hits["copy"]["reasons"]["similarity"] == pytest.approx(1, abs=1e-5)
    shares = [one["contribution"] for one in told.values()]
    assert sum(share > 0.01 for share in shares) >= 3


def test_of_two_modalities_that_say_the_same_both_count(client: TestClient) -> None:
    twice = {"name": TOPICS["music"], "bio": TOPICS["music"]}
    put(client, "seed", **twice)
    sequence = put(client, "hit", **twice)
    hits = explained(client, positive=[{"streamer_id": "seed"}], after_sequence=sequence)
    told = assert_explained(hits["hit"], {})
    assert told["name"]["contribution"] == pytest.approx(0.5, abs=1e-5)
    assert told["bio"]["contribution"] == pytest.approx(0.5, abs=1e-5)


def test_absent_is_told_apart_from_unlike(client: TestClient) -> None:
    put(client, "seed", **SEED)
    sequence = put(client, "near", **NEAR)
    hits = explained(client, positive=[{"streamer_id": "seed"}], after_sequence=sequence)
    told = hits["near"]["reasons"]["contributions"]
    assert (told["avatar"]["seed"], told["avatar"]["hit"]) == ("used", "absent")
    assert (told["lives"]["seed"], told["lives"]["hit"]) == ("absent", "used")
    assert (told["name"]["seed"], told["name"]["hit"]) == ("used", "used")
    assert not {"frames", "audio"} & set(told)  # neither shows any


def test_what_says_nothing_and_what_can_not_be_read_has_no_number(client: TestClient) -> None:
    url = {"url": "https://media.example.org/a.png"}
    put(client, "seed", **{**SEED, "bio": BOILERPLATE, "avatar": url})
    put(client, "told", **{**NEAR, "avatar": url})
    sequence = put(client, "boring", **{**NEAR, "bio": BOILERPLATE, "avatar": cover(0, 0, 0, 0)})
    hits = explained(client, positive=[{"streamer_id": "seed"}], after_sequence=sequence)
    told = {i: hit["reasons"]["contributions"] for i, hit in hits.items()}
    bio = told["told"]["bio"]
    assert (bio["seed"], bio["hit"]) == ("uninformative", "used")
    assert told["boring"]["bio"] == {
        "contribution": None,
        "seed": "uninformative",
        "hit": "uninformative",
    }
    assert told["told"]["avatar"] == {
        "contribution": None,
        "seed": "unsupported",
        "hit": "unsupported",
    }
    assert told["boring"]["avatar"]["hit"] == "uninformative"


def test_of_a_language_alone_nothing_is_known(client: TestClient, reference: Reference) -> None:
    bare = {"tags": ["music"], "language": "en"}
    put(client, "seed", **SEED)
    sequence = put(client, "bare", **bare)
    hits = explained(client, positive=[{"streamer_id": "seed"}], after_sequence=sequence)
    assert_explained(hits["bare"], reference.contributions(SEED, bare))


def test_a_profile_as_seed_is_explained_like_a_stored_one(
    client: TestClient, reference: Reference
) -> None:
    sequence = put(client, "near", **NEAR)
    hits = explained(client, positive=[{"profile": SEED}], after_sequence=sequence)
    assert hits["near"]["reasons"]["nearest_seed"] == "/positive/0"
    assert_explained(hits["near"], reference.contributions(SEED, NEAR))


@pytest.mark.parametrize("strategy", ["average", "best_score", "sum"])
def test_of_several_seeds_the_nearest_one_is_meant(
    client: TestClient, reference: Reference, strategy: str
) -> None:
    put(client, "music", **SEED)
    put(client, "travel", tags=["travel"], bio=TOPICS["travel"], language="zh")
    put(client, "near", **NEAR)
    sequence = put(client, "far", **FAR)
    hits = explained(
        client,
        positive=[{"streamer_id": "music", "weight": 9}, {"streamer_id": "travel"}],
        negative=[{"profile": {"tags": ["soup"]}}],
        strategy=strategy,
        after_sequence=sequence,
    )
    near, far = hits["near"]["reasons"], hits["far"]["reasons"]
    assert (near["nearest_seed"], far["nearest_seed"]) == ("music", "travel")
    assert near["similarity"] == pytest.approx(reference.worth(SEED, NEAR, MODALITIES), abs=1e-5)
    assert_explained(hits["near"], reference.contributions(SEED, NEAR))
    assert "avatar" not in far["contributions"]


def test_a_vector_as_seed_says_why_it_is_not_explained(client: TestClient) -> None:
    put(client, "near", **NEAR)
    sequence = put(client, "far", **FAR)
    vector = client.get("/v1/streamers/near/embedding").json()["embedding"]
    hits = explained(
        client,
        positive=[{"vector": vector}, {"streamer_id": "far"}],
        after_sequence=sequence,
    )
    reasons = hits["near"]["reasons"]
    assert reasons["nearest_seed"] == "/positive/0"
    assert reasons["contributions"] is None
    assert "/positive/0 is a vector" in reasons["unexplained_because"]
    assert reasons["similarity"] == pytest.approx(1, abs=1e-5)
    assert set(reasons["shared"]) == {"topic"}
    assert {pair["seed_quote"] for pair in reasons["shared"]["topic"]} == {""}
    assert all(pair["hit_quote"] for pair in reasons["shared"]["topic"])


def test_the_same_pictures_sounds_and_titles_are_named_on_both_sides(client: TestClient) -> None:
    picture = {"data": base64.b64encode(b"\x89PNG one").decode(), "content_type": "image/png"}
    sound = {"data": base64.b64encode(b"ID3 one").decode(), "content_type": "audio/mpeg"}
    put(
        client,
        "seed",
        tags=["music"],
        avatar=picture,
        videos=[
            {"video_id": "a", "title": "Concert: vocal!", "cover": cover(1, 2, 3, 4)},
            {"video_id": "b", "title": "?!", "cover": cover(0, 0, 0, 0), "audio": sound},
        ],
    )
    sequence = put(
        client,
        "copy",
        tags=["music", "soup"],
        avatar=cover(1, 2, 3, 4),
        videos=[
            {"video_id": "c", "title": "!?", "cover": cover(0, 0, 0, 0)},
            {"video_id": "d", "title": "concert vocal", "cover": picture},
        ],
        lives=[{"live_id": "e", "audio": sound}],
    )
    hits = explained(client, positive=[{"streamer_id": "seed"}], after_sequence=sequence)
    shared = {
        kind: [v if isinstance(v, str) else {"seed": v["seed"], "hit": v["hit"]} for v in values]
        for kind, values in hits["copy"]["reasons"]["shared"].items()
    }
    assert shared == {
        "tags": ["music"],
        "pictures": [
            {"seed": "avatar", "hit": "videos[1].cover"},
            {"seed": "videos[0].cover", "hit": "avatar"},
        ],
        "sounds": [{"seed": "videos[1].audio", "hit": "lives[0].audio"}],
        "titles": [{"seed": "videos[0].title", "hit": "videos[1].title"}],
    }


def test_reasons_follow_a_change(client: TestClient, reference: Reference) -> None:
    put(client, "seed", **SEED)
    put(client, "near", **NEAR)
    changed = {**NEAR, "bio": "beach hostel"}
    sequence = put(client, "near", **changed)
    hits = explained(client, positive=[{"streamer_id": "seed"}], after_sequence=sequence)
    assert_explained(hits["near"], reference.contributions(SEED, changed))


def test_without_explain_there_are_no_reasons(client: TestClient) -> None:
    put(client, "seed", **SEED)
    sequence = put(client, "near", **NEAR)
    params: dict[str, Any] = {"after_sequence": sequence}
    (hit,) = client.get("/v1/streamers/seed/similar", params=params).json()["hits"]
    assert hit["reasons"] is None
    params["explain"] = True
    (hit,) = client.get("/v1/streamers/seed/similar", params=params).json()["hits"]
    assert hit["reasons"]["contributions"]["bio"]["contribution"] is not None


@pytest.fixture(scope="module")
def strict(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service that explains two hits at most."""
    settings = Settings(
        bundle=bundle,
        data_dir=tmp_path_factory.mktemp("strict"),
        limits=Limits(max_k=20, max_explained=2),
    )
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        yield client


def test_more_than_the_limit_are_not_explained(strict: TestClient) -> None:
    sequence = put(strict, "seed", **SEED)
    query: dict[str, Any] = {
        "positive": [{"streamer_id": "seed"}],
        "k": 3,
        "after_sequence": sequence,
    }
    strict.post("/v1/similar", json=query).raise_for_status()
    strict.post("/v1/similar", json={**query, "k": 2, "explain": True}).raise_for_status()
    refused = strict.post("/v1/similar", json={**query, "explain": True})
    assert refused.status_code == 422
    detail = "may be at most 2 with explain (STREAMER_LIMITS__MAX_EXPLAINED); it is 3"
    (error,) = refused.json()["errors"]
    assert (error["pointer"], error["detail"]) == ("/k", detail)
    refused = strict.get("/v1/streamers/seed/similar", params={"k": 3, "explain": True})
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert (error["parameter"], error["detail"]) == ("k", detail)
    too_many = strict.post("/v1/similar", json={**query, "k": 21, "explain": True})
    assert too_many.json()["errors"][0]["detail"] == "may be at most 20; it is 21"


def test_the_reasons_are_documented() -> None:
    assert set(SCHEMAS["ContributionOut"]["properties"]) == {"contribution", "seed", "hit"}
    (example,) = SCHEMAS["SimilarOut"]["examples"]
    assert set(example) <= set(SCHEMAS["SimilarOut"]["properties"])
    (hit,) = example["hits"]
    assert set(hit) <= set(SCHEMAS["HitOut"]["properties"])
    assert set(hit["reasons"]) <= set(SCHEMAS["ReasonsOut"]["properties"])
    assert set(hit["reasons"]["contributions"]) < set(MODALITIES)


def test_too_many_explanations_are_refused_at_once(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = max(put(client, f"s{i}", tags=["cooking"]) for i in range(3))
    wait_until_visible(client, last)
    services = client.app_state["services"]  # type: ignore[attr-defined]
    taken = Turns("explanations", at_once=1, max_queue=0, deadline_s=60)
    monkeypatch.setattr(taken, "_free", asyncio.Semaphore(0))
    monkeypatch.setattr(services.similar.explainer, "_turns", taken)
    query = {"positive": [{"streamer_id": "s0"}], "explain": True}
    answer = client.post("/v1/similar", json=query)
    assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
    assert int(answer.headers["retry-after"]) >= 1
