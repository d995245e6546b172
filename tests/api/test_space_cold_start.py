"""Cold start in a space that a recommender hands over: neighbours, a vector, and users."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.support.api import NDJSON, Api, wrong_fields
from tests.support.bundles import TOPICS
from tests.support.hand_overs import (
    USERS,
    WORDS,
    HandOver,
    hand_over_of,
    handed_over,
    store_streamers,
)

COUNT, LATE, FEW = 420, 10, 30
"""Streamers; the last ones, who have no vectors yet; the first ones, learned from little."""
POTTERS = slice(50, 60)
ATTRIBUTES: list[dict[str, Any]] = [
    {
        **({} if i % 5 == 0 else {"country": ("CN", "TW", "日本")[i % 3]}),
        **({} if i % 7 == 0 else {"level": i % 10}),
        "is_vip": i % 2 == 0,
    }
    for i in range(USERS)
]
PROFILE = {"bio": TOPICS["cooking"], "tags": ["cooking", "guitar"]}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Vectors lie in a folder that replicas would share."""
    folder = str(tmp_path_factory.mktemp("chunks"))
    return {"STREAMER_SPACES__CHUNKS_DIR": folder, "STREAMER_DUPLICATES__EVALUATE": "false"}


@pytest.fixture(scope="module")
def everybody(api: Api) -> HandOver:
    """What would be handed over of all who are stored."""
    ids = store_streamers(api, COUNT)
    potters = ids[POTTERS]
    bio = " ".join(WORDS[:4])
    api.write({"streamer_id": name, "bio": bio, "category": "pottery"} for name in potters)
    return hand_over_of(api, ids)


@pytest.fixture(scope="module")
def handed(api: Api, everybody: HandOver) -> HandOver:
    """The generation that is served as `monday`; the ten who came late are not in it."""
    interactions = np.full(COUNT - LATE, 50, np.float32)
    interactions[:FEW] = 2
    given = everybody.first(streamers=-LATE)
    given = given.but(interactions=interactions, attributes=ATTRIBUTES)
    handed_over(api, "als", "monday", given.npz(), promote=True)
    return given


@pytest.fixture
def serving(api: Api, handed: HandOver) -> Iterator[HandOver]:
    """The same; what a test promotes in its place is taken back."""
    yield handed
    api.ok("POST", "/v1/spaces/als/generations/monday:promote")


def ask(api: Api, **body: Any) -> dict[str, Any]:
    return api.ok("POST", "/v1/cold-start", {"space": "als", **body})


def cosine(one: Any, other: Any) -> float:
    return float(np.dot(one, other) / np.linalg.norm(one) / np.linalg.norm(other))


def names(answer: dict[str, Any], of: str = "neighbours", name: str = "streamer_id") -> list[str]:
    return [each[name] for each in answer[of]]


def users(answer: dict[str, Any]) -> list[str]:
    return names(answer, "users", "user_id")


def test_a_newcomer_gets_the_vector_that_follows_from_what_it_shows(
    api: Api, everybody: HandOver, handed: HandOver
) -> None:
    answer = ask(api, streamer_id=everybody.ids[-1])
    found = answer["id_embedding"]
    assert (found["space"], found["generation"], found["source"]) == ("als", "monday", "mapped")
    assert cosine(found["vector"], everybody.vectors[-1]) > 0.9
    lengths = np.linalg.norm(handed.vectors, axis=1)
    assert lengths.min() < np.linalg.norm(found["vector"]) < lengths.max()
    assert found["age_s"] >= 0
    assert (found["confidence"] is None) == (found["confidence_withheld_because"] is not None)
    assert answer["fallback"] == {"used": False, "reason": None}
    assert (answer["complete"], answer["missing"], answer["model_version"]) == (True, [], "test-0")


def test_the_same_profile_is_answered_whether_it_is_stored_or_not(
    api: Api, handed: HandOver
) -> None:
    sequence = api.put("/v1/streamers/newcomer", json=PROFILE).json()["sequence"]
    stored = ask(api, streamer_id="newcomer", after_sequence=sequence, users=5)
    shown = ask(api, profile=PROFILE, users=5)
    assert stored["id_embedding"]["vector"] == pytest.approx(
        shown["id_embedding"]["vector"], abs=1e-4
    )
    assert (names(stored), users(stored)) == (names(shown), users(shown))
    assert stored["index_sequence"] >= sequence
    assert (shown["modalities"]["bio"], shown["modalities"]["lives"]) == ("used", "absent")


def test_users_have_the_largest_inner_products_with_the_vector(api: Api, handed: HandOver) -> None:
    answer = ask(api, profile=PROFILE, users=7)
    scores = handed.user_vectors @ np.array(answer["id_embedding"]["vector"])
    order = np.argsort(-scores).tolist()
    assert users(answer) == [handed.user_ids[i] for i in order[:7]]
    assert [u["score"] for u in answer["users"]] == pytest.approx(scores[order[:7]], rel=1e-3)
    without = ask(
        api,
        profile=PROFILE,
        users=7,
        exclude_users=[handed.user_ids[i] for i in order[:3]] + ["nobody", "x" * 256],
        min_score=float(scores[order[5]] + scores[order[6]]) / 2,
    )
    assert users(without) == [handed.user_ids[i] for i in order[3:6]]
    assert ask(api, profile=PROFILE)["users"] == []
    assert sorted(users(ask(api, profile=PROFILE, users=1000))) == sorted(handed.user_ids)


def test_as_many_users_as_may_be_are_excluded(api: Api, handed: HandOver) -> None:
    strangers = [f"stranger-{i}" for i in range(100_000 - 100)] + handed.user_ids[:100]
    found = users(ask(api, profile=PROFILE, users=50, exclude_users=strangers))
    assert set(found) == set(handed.user_ids[100:])


ONE_OF = {"field": "country", "any": ["CN", "日本"]}
VIP = {"field": "is_vip", "any": [True]}


@pytest.mark.parametrize(
    ("wanted", "holds"),
    [
        ({"must": [ONE_OF]}, lambda a: a.get("country") in ("CN", "日本")),
        ({"must": [VIP]}, lambda a: a["is_vip"]),
        ({"must": [{"field": "level", "any": [0, 9]}]}, lambda a: a.get("level") in (0, 9)),
        (
            {"must": [{"field": "attributes.level", "gte": 3, "lt": 7}], "must_not": [ONE_OF, VIP]},
            lambda a: (
                3 <= a.get("level", -1) < 7
                and a.get("country") not in ("CN", "日本")
                and not a["is_vip"]
            ),
        ),
    ],
)
def test_users_are_filtered_by_attributes(
    api: Api, handed: HandOver, wanted: dict[str, Any], holds: Any
) -> None:
    answer = ask(api, profile=PROFILE, users=USERS, user_filter=wanted)
    expected = [handed.user_ids[i] for i in range(USERS) if holds(ATTRIBUTES[i])]
    assert sorted(users(answer)) == sorted(expected)
    assert answer["unknown_user_fields"] == []
    best = ask(api, profile=PROFILE, users=3, user_filter=wanted)
    assert users(best) == users(answer)[:3]


def test_fields_that_no_user_has_are_named(api: Api, handed: HandOver) -> None:
    wanted = {"must": [{"field": "contry", "any": ["CN"]}]}
    answer = ask(api, profile=PROFILE, users=5, user_filter=wanted)
    assert (answer["users"], answer["unknown_user_fields"]) == ([], ["contry"])


def test_who_has_a_vector_gets_it(api: Api, handed: HandOver) -> None:
    name = handed.ids[FEW + 5]
    answer = ask(api, streamer_id=name)
    found = answer["id_embedding"]
    assert (found["source"], found["confidence"]) == ("own", 1)
    assert found["vector"] == pytest.approx(handed.vectors[FEW + 5].tolist(), rel=1e-5)
    assert name not in names(answer)
    # Also of a streamer who is not stored any more; others find them no more.
    gone = handed.ids[FEW + 12]
    sequence = api.ok("DELETE", f"/v1/streamers/{gone}")["sequence"]
    assert ask(api, streamer_id=gone, after_sequence=sequence)["id_embedding"]["source"] == "own"
    assert gone not in names(ask(api, profile=PROFILE, neighbours=1000))


def test_who_was_learned_from_little_gets_a_blend(api: Api, handed: HandOver) -> None:
    found = ask(api, streamer_id=handed.ids[3])["id_embedding"]
    assert found["source"] == "blended"
    assert cosine(found["vector"], handed.vectors[3]) > 0.8
    assert (found["confidence"] is None) == (found["confidence_withheld_because"] is not None)
    enough = ask(api, streamer_id=handed.ids[3], min_interactions=1)["id_embedding"]
    assert enough["source"] == "own"
    assert enough["vector"] == pytest.approx(handed.vectors[3].tolist(), rel=1e-5)


def test_neighbours_are_established_and_stored(api: Api, handed: HandOver) -> None:
    answer = ask(api, profile=PROFILE, neighbours=1000)
    found = answer["neighbours"]
    assert len(found) > 100
    assert set(names(answer)) <= set(handed.ids[FEW:])
    weights = [n["weight"] for n in found]
    assert sum(weights) == pytest.approx(1, abs=1e-3)
    assert weights == sorted(weights, reverse=True)
    assert set(found[0]["via"]) <= set(handed.ids[FEW:])
    fewer = ask(api, profile=PROFILE, neighbours=5)
    assert names(fewer) == names(answer)[:5]
    assert sum(n["weight"] for n in fewer["neighbours"]) == pytest.approx(1, abs=1e-3)
    more = ask(api, profile=PROFILE, neighbours=1000, min_interactions=0)
    assert set(names(more)) & set(handed.ids[:FEW])
    nobody = ask(api, profile=PROFILE, neighbours=1000, min_interactions=1e9)
    assert nobody["neighbours"] == []
    assert nobody["fallback"] == {"used": True, "reason": "no_established_neighbours"}


def test_the_established_vote_for_the_neighbours_that_they_came_with(
    api: Api, serving: HandOver
) -> None:
    """Each voter names one star, whom neither content nor its vector tells of."""
    star = FEW + 100
    before = ask(api, profile=PROFILE)
    assert serving.ids[star] not in names(before)
    alone = [[] if row == star else [(star, 1.0)] for row in range(len(serving.ids))]
    given = serving.but(neighbours=alone).npz()
    handed_over(api, "als", "starry", given, promote=True, force=True)
    found = ask(api, profile=PROFILE)["neighbours"]
    assert found[0]["streamer_id"] == serving.ids[star]
    assert found[0]["weight"] > 3 * found[1]["weight"]
    assert found[0]["via"]


def test_the_next_generation_counts_from_its_promotion_on(
    api: Api, serving: HandOver, everybody: HandOver
) -> None:
    late = everybody.ids[-LATE:]
    before = ask(api, profile=PROFILE, users=20)
    handed_over(api, "als", "tuesday", everybody.turned(3).npz())
    assert ask(api, streamer_id=late[0])["id_embedding"]["source"] == "mapped"
    api.ok("POST", "/v1/spaces/als/generations/tuesday:promote")
    after = ask(api, profile=PROFILE, users=20, neighbours=1000)
    assert after["id_embedding"]["generation"] == "tuesday"
    # The directions are others, and who suits whom is not.
    assert cosine(after["id_embedding"]["vector"], before["id_embedding"]["vector"]) < 0.9
    assert len({*users(before)} & {*users(after)}) >= 15
    assert set(names(after)) & set(late)
    own = ask(api, streamer_id=late[0])["id_embedding"]
    assert own["source"] == "own"
    assert own["vector"] == pytest.approx(everybody.turned(3).vectors[-LATE].tolist(), rel=1e-5)


@pytest.mark.parametrize(
    ("profile", "reason", "method"),
    [
        ({"name": "x"}, "insufficient_content", "popularity"),
        ({"name": "x", "category": "pottery"}, "insufficient_content", "category"),
    ],
)
def test_who_shows_nothing_gets_the_mean_of_its_category_or_of_all(
    api: Api, handed: HandOver, profile: dict[str, Any], reason: str, method: str
) -> None:
    answer = ask(api, profile=profile, users=5)
    assert answer["fallback"] == {"used": True, "reason": reason}
    found = answer["id_embedding"]
    assert (found["source"], found["method"], found["confidence"]) == ("centroid", method, 0)
    assert len(answer["users"]) == 5
    assert len(answer["neighbours"]) == 10
    assert {n["score"] for n in answer["neighbours"]} == {None}
    if method == "category":
        mean = handed.vectors[POTTERS].mean(axis=0)
        assert found["vector"] == pytest.approx(mean.tolist(), rel=1e-3)
        assert set(names(answer)) == set(handed.ids[POTTERS])


def test_labels_that_training_has_not_seen_are_read_as_text(api: Api, handed: HandOver) -> None:
    as_text = ask(api, profile={"bio": "guitar vocal"})
    as_tag = ask(api, profile={"tags": ["guitar vocal"]})
    assert not as_text["fallback"]["used"]
    assert as_tag["fallback"] == as_text["fallback"]
    assert (as_tag["modalities"]["tags"], as_tag["modalities"]["bio"]) == ("used", "absent")


def test_what_is_ready_by_the_deadline_is_answered(api: Api, handed: HandOver) -> None:
    late: dict[str, Any] = {"users": 5, "deadline_ms": 30, "after_sequence": 1 << 40}
    answer = ask(api, profile=PROFILE, **late)
    assert set(answer["missing"]) == {"id_embedding", "neighbours", "users"}
    assert (answer["complete"], answer["fallback"]) == (
        False,
        {"used": True, "reason": "deadline"},
    )
    assert "deadline_ms" in answer["incomplete_because"]
    assert answer["id_embedding"]["source"] == "centroid"
    own = ask(api, streamer_id=handed.ids[FEW + 5], **late)
    assert (own["id_embedding"]["source"], own["complete"]) == ("own", False)
    assert set(own["missing"]) == {"neighbours", "users"}
    little = ask(api, streamer_id=handed.ids[3], **late)
    assert (little["id_embedding"]["source"], little["id_embedding"]["confidence"]) == ("own", None)
    assert "id_embedding" in little["missing"]
    bundle = ask(api, profile=PROFILE, **late | {"space": "test-ids", "users": 0})
    assert set(bundle["missing"]) == {"id_embedding", "neighbours"}


def test_the_space_may_be_left_out_where_it_is_clear(api: Api, serving: HandOver) -> None:
    question = {"streamer_id": serving.ids[FEW + 5], "users": 3}
    assert api.ok("POST", "/v1/cold-start", question)["id_embedding"]["space"] == "als"
    bundle = api.ok("POST", "/v1/cold-start", {"profile": PROFILE, "space": "test-ids"})
    found = bundle["id_embedding"]
    assert (found["space"], found["generation"], len(found["vector"])) == ("test-ids", None, 8)
    without = ask(api, profile=PROFILE, space="test-ids", users=3)
    assert without["users"] is None
    assert without["users_unavailable_because"]
    handed_over(api, "second", "g", serving.npz(), promote=True)
    problem = api.refused("POST", "/v1/cold-start", question, status=422, code="invalid_request")
    assert wrong_fields(problem) == ["/space"]
    assert all(name in problem["detail"] for name in ("als", "second", "test-ids"))
    assert ask(api, **question, space="second")["id_embedding"]["space"] == "second"
    api.ok("DELETE", "/v1/spaces/second/generations/g", status=204)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, ""),
        ({"streamer_id": "s005", "profile": PROFILE}, ""),
        ({"profile": PROFILE, "space": "other"}, "/space"),
        ({"profile": PROFILE, "neighbours": 0}, "/neighbours"),
        ({"profile": PROFILE, "neighbours": 1001}, "/neighbours"),
        ({"profile": PROFILE, "users": -1}, "/users"),
        ({"profile": PROFILE, "users": 1001}, "/users"),
        ({"profile": PROFILE, "exclude_users": ["x"] * 100_001}, "/exclude_users"),
        ({"profile": PROFILE, "exclude_users": [""]}, "/exclude_users/0"),
        ({"profile": PROFILE, "min_score": "high"}, "/min_score"),
        ({"profile": PROFILE, "min_interactions": -1}, "/min_interactions"),
        ({"profile": PROFILE, "deadline_ms": 0}, "/deadline_ms"),
        ({"profile": PROFILE, "user_filter": {"must": [{"field": "x"}]}}, "/user_filter/must/0"),
        ({"profile": PROFILE, "nieghbours": 3}, "/nieghbours"),
        ({"profile": {"bio": 1}}, "/profile/bio"),
        ({"streamer_id": "a b"}, "/streamer_id"),
    ],
)
def test_wrong_fields_are_named(
    api: Api, handed: HandOver, body: dict[str, Any], pointer: str
) -> None:
    body = {"space": "als", **body}
    problem = api.refused("POST", "/v1/cold-start", body, status=422, code="invalid_request")
    assert wrong_fields(problem) == [pointer]


def test_strangers_and_missing_scopes(api: Api, handed: HandOver) -> None:
    body = {"space": "als", "streamer_id": "nobody"}
    api.refused("POST", "/v1/cold-start", body, status=404, code="streamer_not_found")
    question = {"space": "als", "streamer_id": handed.ids[FEW + 5], "users": 3}
    with api.with_key("coldstart") as reader, api.with_key("search") as searcher:
        shown = ask(reader, **question)
        assert shown["id_embedding"]["vector"] is None
        assert shown["id_embedding"]["source"] == "own"
        assert "embeddings:read" in shown["id_embedding_unavailable_because"]
        assert len(shown["users"]) == 3
        for path, options in (
            ("/v1/cold-start", {"body": question}),
            ("/v1/cold-start:batch", {"content": b"{}\n", "headers": NDJSON}),
        ):
            searcher.refused("POST", path, status=403, code="missing_scope", **options)


def test_many_questions_in_one_request(api: Api, handed: HandOver) -> None:
    single = ask(api, profile=PROFILE, users=3)
    lines = [
        json.dumps({"space": "als", "profile": PROFILE, "users": 3}),
        "",
        json.dumps({"space": "als", "streamer_id": "nobody"}),
        "{",
        json.dumps({"space": "als", "streamer_id": "s005", "neighbours": 0}),
        json.dumps({"space": "als", "streamer_id": "s100"}),
    ]
    path = "/v1/cold-start:batch"
    answer = api.post(path, content="\n".join(lines).encode(), headers=NDJSON)
    assert (answer.status_code, answer.headers["content-type"]) == (200, NDJSON["Content-Type"])
    found = [json.loads(line) for line in answer.text.splitlines()]
    assert [each["line"] for each in found] == [1, 3, 4, 5, 6]
    assert users(found[0]["answer"]) == users(single)
    assert names(found[0]["answer"]) == names(single)
    assert found[1]["problem"]["code"] == "streamer_not_found"
    assert found[2]["problem"]["code"] == "malformed_body"
    assert wrong_fields(found[3]["problem"]) == ["/neighbours"]
    assert found[4]["answer"]["id_embedding"]["source"] == "own"
    empty = {"status": 422, "code": "invalid_request", "headers": NDJSON}
    api.refused("POST", path, content=b"\n", **empty)
    api.refused("POST", path, content=b"{}\n" * 10_001, **empty)
    api.refused("POST", path, {"profile": PROFILE}, status=415, code="unsupported_media_type")
