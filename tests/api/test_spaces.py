"""Spaces: a recommender hands over vectors by generation, which are checked, served and erased."""

import hashlib
import io
import json
import socket
import struct
import zipfile
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
import pytest

from tests.support.api import Api, wrong_fields
from tests.support.hand_overs import (
    LINES,
    NPZ,
    PARQUET,
    STREAMERS,
    USERS,
    WIDTH,
    HandOver,
    checks_of,
    hand_over_of,
    handed_over,
    send,
    store_streamers,
)
from tests.support.service import Service, wait_until

MIB = 1 << 20
MOST_SPACES = 24


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return {
        "STREAMER_DUPLICATES__EVALUATE": "false",
        "STREAMER_SPACES__MAX_SPACES": str(MOST_SPACES),
        "STREAMER_SPACES__MAX_STREAMERS": str(STREAMERS + 5),
        "STREAMER_SPACES__MAX_USERS": str(USERS + 5),
        "STREAMER_SPACES__UPLOAD_LIMIT_BYTES": str(4 * MIB),
        "STREAMER_SPACES__SPOOL_BYTES": str(2 * MIB),
    }


@pytest.fixture(scope="module")
def handed(api: Api) -> HandOver:
    """A hand-over that passes its checks."""
    return hand_over_of(api, store_streamers(api))


@pytest.fixture(scope="module")
def served(api: Api, handed: HandOver) -> str:
    """A space that serves the generation `g0`; tests promote nothing else in it."""
    handed_over(api, "served", "g0", handed.with_nearest().npz(), promote=True)
    return "served"


def counts(**changed: int) -> dict[str, int]:
    known = {"streamers": STREAMERS, "users": USERS, "with_neighbours": 0}
    return {**known, "erased_streamers": 0, "erased_users": 0, **changed}


def own(api: Api, space: str, streamer_id: str) -> dict[str, Any]:
    return api.ok("GET", f"/v1/spaces/{space}/streamers/{streamer_id}")


def promoted(api: Api, space: str, generation: str, **options: Any) -> dict[str, Any]:
    return api.ok("POST", f"/v1/spaces/{space}/generations/{generation}:promote", **options)


def is_audited(api: Api, action: str) -> bool:
    entries = api.ok("GET", "/v1/audit", params={"limit": 1000})["entries"]
    return action in {entry["action"] for entry in entries}


def refused(
    api: Api, space: str, body: Any, kind: str = NPZ, *, status: int, code: str, **params: Any
) -> dict[str, Any]:
    """The problem of a hand-over of the generation `next` that is not taken."""
    path = f"/v1/spaces/{space}/generations/next"
    options: dict[str, Any] = {"content": body, "headers": {"Content-Type": kind}}
    return api.refused("PUT", path, status=status, code=code, params=params, **options)


def forget(api: Api, space: str) -> None:
    """Delete a space: what is served last."""
    shown = api.ok("GET", f"/v1/spaces/{space}")
    active = shown["active"] and shown["active"]["generation"]
    for name in sorted((g["generation"] for g in shown["generations"]), key=lambda g: g == active):
        api.ok("DELETE", f"/v1/spaces/{space}/generations/{name}", status=204)


ATTRIBUTES: list[dict[str, Any]] = [
    {"country": ("CN", "日本")[i % 2], **({} if i % 7 == 0 else {"level": i % 10})}
    for i in range(USERS)
]
FORMS: dict[str, tuple[Callable[[HandOver], bytes], str]] = {
    "lines": (HandOver.lines, LINES),
    "npz": (HandOver.npz, NPZ),
    "packed": (lambda given: given.npz(packed=True), NPZ),
    "parquet": (HandOver.parquet, PARQUET),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_served_as_it_was_sent(api: Api, handed: HandOver, form: str) -> None:
    interactions = np.arange(STREAMERS, dtype=np.float32)
    given = handed.with_nearest().but(interactions=interactions, attributes=ATTRIBUTES)
    write, kind = FORMS[form]
    body = write(given)
    made = handed_over(api, form, "g1", body, kind, promote=True)
    assert (made["generation"], made["state"], made["dim"]) == ("g1", "active", WIDTH)
    assert made["counts"] == counts(with_neighbours=STREAMERS * 3 // 4)
    assert (made["has_interactions"], sorted(made["user_attributes"])) == (
        True,
        ["country", "level"],
    )
    assert made["sha256"] == hashlib.sha256(body).hexdigest()
    assert made["promoted_at"] >= made["created_at"]
    assert checks_of(made)["neighbours"]["passed"]
    shown = api.ok("GET", f"/v1/spaces/{form}")
    assert (shown["active"]["generation"], shown["serving"]) == ("g1", "g1")
    assert (shown["previous"], shown["problem"]) == (None, None)
    assert shown["generations"] == [made]
    for row, is_established in ((0, False), (9, False), (10, True), (STREAMERS - 1, True)):
        found = own(api, form, given.ids[row])
        assert (found["space"], found["generation"], found["interactions"]) == (form, "g1", row)
        assert found["is_established"] is is_established
        assert found["vector"] == given.vectors[row].tolist()
    nobody = own(api, form, "nobody-here")
    assert (nobody["is_established"], nobody["vector"], nobody["interactions"]) == (
        False,
        None,
        None,
    )
    forget(api, form)
    api.refused("GET", f"/v1/spaces/{form}", status=404, code="space_not_found")


def test_lines_may_begin_with_a_byte_order_mark(api: Api, handed: HandOver) -> None:
    made = handed_over(api, "bom", "g1", b"\xef\xbb\xbf" + handed.lines(), LINES)
    assert (made["state"], made["counts"], made["promoted_at"]) == ("checked", counts(), None)
    assert api.ok("GET", "/v1/spaces/bom")["active"] is None


def test_a_first_generation_is_held_against_content(api: Api, handed: HandOver) -> None:
    checks = checks_of(handed_over(api, "first", "g1", handed.npz()))
    assert set(checks) == {"width", "finite", "norms", "duplicates", "known_ids", "content"}
    assert all(check["passed"] for check in checks.values())
    assert checks["known_ids"]["value"] == 1
    assert checks["content"]["value"] > checks["content"]["limit"]
    problem = refused(
        api, "first", handed.shuffled().npz(), status=409, code="generation_refused", promote=True
    )
    assert wrong_fields(problem) == ["/checks/content"]
    shown = api.ok("GET", "/v1/spaces/first")
    assert [g["state"] for g in shown["generations"]] == ["refused", "checked"]
    path = "/v1/spaces/first/generations/next:promote"
    api.refused("POST", path, status=409, code="generation_refused")
    assert api.ok("GET", "/v1/spaces/first")["active"] is None
    # Who has the scope admin may know better.
    forced = api.ok("POST", path, params={"force": True})
    assert (forced["active"]["generation"], forced["serving"]) == ("next", "next")
    assert is_audited(api, "force promotion")


def test_the_space_of_the_bundle_is_held_against_the_bundle(api: Api, handed: HandOver) -> None:
    made = handed_over(api, "test-ids", "g1", handed.npz())
    width = checks_of(made)["width"]
    assert (made["state"], width["passed"], width["value"], width["limit"]) == (
        "refused",
        False,
        WIDTH,
        8,
    )
    made = handed_over(api, "test-ids", "g2", handed.narrowed(8).npz(), promote=True)
    assert (made["state"], checks_of(made)["width"]["limit"]) == ("active", 8)
    later = checks_of(handed_over(api, "test-ids", "g3", handed.narrowed(8).turned(1).npz()))
    assert later["neighbourhoods"]["value"] == pytest.approx(1, abs=0.01)
    forget(api, "test-ids")


def test_a_later_generation_is_held_against_what_is_served(
    api: Api, handed: HandOver, served: str
) -> None:
    checks = checks_of(handed_over(api, served, "turned", handed.turned(3).npz()))
    assert checks["neighbourhoods"]["value"] == pytest.approx(1, abs=0.01)
    assert checks["rotation"]["value"] == pytest.approx(0, abs=0.01)
    assert checks["audiences"]["value"] > 0.99
    assert checks["content"]["passed"] is None
    noise = np.random.default_rng(9).normal(scale=handed.vectors.std(), size=handed.vectors.shape)
    drifted = handed.but(vectors=(handed.vectors + noise).astype(np.float32))
    checks = checks_of(handed_over(api, served, "drifted", drifted.npz()))
    assert 0.1 < checks["neighbourhoods"]["value"] < 0.95
    assert checks["rotation"]["value"] > 0.05
    assert checks["rotation"]["passed"] is None


def with_long_one(given: HandOver) -> HandOver:
    vectors = given.vectors.copy()
    vectors[3] *= 1e5
    return given.but(vectors=vectors)


def with_copies(given: HandOver) -> HandOver:
    vectors = given.vectors.copy()
    vectors[: STREAMERS // 2 + 2] = vectors[0]
    return given.but(vectors=vectors)


def with_neighbours_of_others(given: HandOver) -> HandOver:
    told, order = given.with_nearest(), np.random.default_rng(5).permutation(STREAMERS).tolist()
    mixed = [
        [(order[other], weight) for other, weight in each if order[other] != row]
        for row, each in enumerate(told.neighbours or [])
    ]
    return told.but(neighbours=mixed)


WRONG: dict[str, tuple[str, Callable[[HandOver], HandOver]]] = {
    "another width": ("width", lambda given: given.narrowed(8)),
    "ids of others": (
        "known_ids",
        lambda given: given.but(ids=[n if i % 2 else f"x-{n}" for i, n in enumerate(given.ids)]),
    ),
    "rows in another order": ("neighbourhoods", HandOver.shuffled),
    "a vector that would be first everywhere": ("norms", with_long_one),
    "one vector for many": ("duplicates", with_copies),
    "half of the streamers": ("size", lambda given: given.first(streamers=STREAMERS // 2 - 1)),
    "no users": ("size", lambda given: given.first(users=0)),
    "users in another order": (
        "audiences",
        lambda given: given.but(user_vectors=given.user_vectors[::-1].copy()),
    ),
    "users of another run": (
        "audiences",
        lambda given: given.but(user_vectors=given.turned(4).user_vectors),
    ),
    "neighbours of others": ("neighbours", with_neighbours_of_others),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_generation_that_fails_a_check_is_kept_and_not_served(
    api: Api, handed: HandOver, served: str, wrong: str
) -> None:
    check, change = WRONG[wrong]
    body = change(handed.turned(3)).npz()
    problem = refused(api, served, body, status=409, code="generation_refused", promote=True)
    assert f"/checks/{check}" in wrong_fields(problem)
    path = f"/v1/spaces/{served}/generations/next"
    again = api.refused("POST", f"{path}:promote", status=409, code="generation_refused")
    assert wrong_fields(again) == wrong_fields(problem)
    shown = api.ok("GET", f"/v1/spaces/{served}")
    assert (shown["active"]["generation"], shown["serving"], shown["previous"]) == (
        "g0",
        "g0",
        None,
    )
    kept = shown["generations"][0]
    assert (kept["generation"], kept["state"]) == ("next", "refused")
    failed = [name for name, each in checks_of(kept).items() if each["passed"] is False]
    assert [f"/checks/{name}" for name in failed] == wrong_fields(problem)
    api.ok("DELETE", path, status=204)


def test_what_is_too_little_to_tell_by_is_no_failure(
    api: Api, handed: HandOver, served: str
) -> None:
    told = handed.with_nearest()
    few = [each if row < 30 else [] for row, each in enumerate(told.neighbours or [])]
    everybody = range(STREAMERS)
    long = [[(other, 1.0) for other in everybody if other != row][:60] for row in everybody]
    for name, given, check in (
        ("few-users", handed.turned(1).first(users=49), "audiences"),
        ("few-neighbours", told.but(neighbours=few), "neighbours"),
        ("long-lists", told.but(neighbours=long), "neighbours"),
    ):
        made = handed_over(api, served, name, given.npz())
        assert checks_of(made)[check]["passed"] is None
    half = handed.turned(3).first(streamers=STREAMERS // 2, users=USERS // 2)
    made = handed_over(api, served, "half", half.npz())
    assert (made["state"], checks_of(made)["size"]["value"]) == ("checked", 0.5)


def test_a_generation_is_as_wide_as_what_is_served_when_it_is_promoted(
    api: Api, handed: HandOver
) -> None:
    handed_over(api, "wide", "g0", handed.npz(), promote=True)
    handed_over(api, "wide", "g1", handed.turned(1).npz())
    handed_over(api, "wide", "g2", handed.narrowed(8).npz(), promote=True, force=True)
    path = "/v1/spaces/wide/generations/g1:promote"
    problem = api.refused("POST", path, status=409, code="generation_refused")
    assert wrong_fields(problem) == ["/checks/width"]
    assert own(api, "wide", "s000")["vector"] == handed.vectors[0, :8].tolist()
    assert api.ok("POST", "/v1/spaces/wide:rollback")["serving"] == "g0"
    assert own(api, "wide", "s000")["vector"] == handed.vectors[0].tolist()


def npz_of(way: int = zipfile.ZIP_DEFLATED, /, **parts: bytes) -> bytes:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", way) as archive:
        for name, data in parts.items():
            archive.writestr(f"{name}.npy", data)
    return into.getvalue()


def npy(values: Any) -> bytes:
    into = io.BytesIO()
    np.lib.format.write_array(into, np.asarray(values), allow_pickle=True)
    return into.getvalue()


def header(descr: str, shape: str) -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text


def line(kind: str = "streamer", **fields: Any) -> bytes:
    return json.dumps({"kind": kind, "id": "a", "vector": [1.0], **fields}).encode() + b"\n"


def near_line(*neighbours: dict[str, Any], **fields: Any) -> bytes:
    return line(neighbours=neighbours, **fields) + line(id="b")


IDS, ONES = npy(["s000", "s001"]), npy(np.ones((2, 4)))
B = {"streamer_id": "b", "weight": 1}
USERLESS = {"ids": IDS, "vectors": ONES}
USERS_TOO = {**USERLESS, "user_ids": IDS, "user_vectors": ONES}
ARCHIVES: list[tuple[bytes, str]] = [
    (npz_of(ids=IDS), "vectors"),
    (npz_of(**USERLESS, other=IDS), "other"),
    (npz_of(ids=IDS, vectors=npy(np.ones((3, 4)))), "vectors"),
    (npz_of(ids=IDS, vectors=npy(np.ones((2, 4), int))), "vectors"),
    (npz_of(ids=IDS, vectors=npy(np.asfortranarray(np.ones((2, 4))))), "vectors"),
    (npz_of(ids=IDS, vectors=npy(np.array([[1], [2]], object))), "vectors"),
    (npz_of(ids=IDS, vectors=npy(np.ones((2, 5000)))), "1024"),
    (npz_of(ids=IDS, vectors=header("'<f4'", "(2, 1024)") + bytes(10)), "vectors"),
    (npz_of(ids=IDS, vectors=header("'<f4'", "(1e999, 4)")), "vectors"),
    (npz_of(ids=IDS, vectors=header("[('a', '<f4')]", "(2,)")), "vectors"),
    (npz_of(ids=npy([1, 2]), vectors=ONES), "ids"),
    (npz_of(ids=npy(["s001", "x" * 300]), vectors=ONES), "ids"),
    (npz_of(ids=npy(["s000", "s000"]), vectors=ONES), "s000"),
    (npz_of(ids=npy(["s000", "a b"]), vectors=ONES), "a b"),
    (npz_of(ids=npy(["s000", "\ud800"]), vectors=ONES), "ids[1]"),
    (npz_of(zipfile.ZIP_LZMA, **USERLESS), "ids"),
    (npz_of(**USERLESS, interactions=npy([1.0, -1.0])), "interactions"),
    (npz_of(**USERLESS, user_ids=IDS), "user_vectors"),
    (npz_of(**USERLESS, user_ids=IDS, user_vectors=npy(np.ones((2, 5)))), "width"),
    (npz_of(**USERLESS, **{"user_attributes.x": npy([1, 2])}), "user_ids"),
    (npz_of(**USERS_TOO, **{"user_attributes.x": npy([1, 2, 3])}), "user_attributes.x"),
    (npz_of(**USERS_TOO, **{"user_attributes.x": npy(["a", "b" * 501])}), "user_attributes.x"),
    (npz_of(**USERS_TOO, **{"user_attributes.x": npy([b"a", b"\xff"])}), "user_attributes.x[1]"),
    (npz_of(**USERLESS, neighbour_rows=npy([[1], [0]])), "neighbour_rows"),
    *(
        (npz_of(**USERLESS, neighbour_rows=npy(rows), neighbour_weights=npy(weights)), named)
        for rows, weights, named in (
            ([[1], [0]], [[1, 1], [1, 1]], "neighbour_"),
            ([["s001"], ["s000"]], [[1], [1]], "neighbour_rows"),
            ([[1], [0]], [["1"], ["1"]], "neighbour_weights"),
            (np.full((2, 65), -1), np.ones((2, 65)), "64"),
            ([[-1], [2]], [[1], [1]], "neighbour_rows[1]"),
            ([[-1], [1]], [[1], [1]], "neighbour_rows[1]"),
            ([[1, 1], [0, -1]], np.ones((2, 2)), "neighbour_rows[0]"),
            ([[1], [0]], [[1], [0]], "neighbour_rows[1]"),
            ([[1], [0]], [[1], [np.nan]], "neighbour_rows[1]"),
            ([[1], [0]], [[-2], [1]], "neighbour_rows[0]"),
        )
    ),
    (npz_of(**USERLESS)[:-30], ""),
    (b"PK\3\4 no archive", ""),
]
ROWS: list[tuple[bytes, str]] = [
    (b"", ""),
    (b"[]", "line 1"),
    (b"{", "line 1"),
    (line(kind="team"), "line 1: kind"),
    (line(vector=["1"]), "line 1: vector/0"),
    (line(vector=[True]), "line 1: vector/0"),
    (line(vector=[]), "line 1"),
    (line(vector=[0.0]), "line 1"),
    (line(vector=[1e30]), "line 1"),
    (line(vector=[float("nan")]), "line 1"),
    (line(vector=[1] * 1025), "line 1"),
    (line(name="b"), "line 1: name"),
    (line(id=7), "line 1: id"),
    (line(id=".."), "line 1"),
    (line() + line(), "a"),
    (line() + line(id="b", vector=[1, 2]), "line 2"),
    (line(interactions=5) + line(id="b"), "line 2"),
    (line(interactions=-1), "line 1"),
    (line(attributes={"x": 1}), "line 1"),
    (line("user"), ""),  # users alone are of no use
    (line() + line("user", id="a\n"), "line 2"),
    (line() + line("user", id=".."), "line 2"),
    (line() + line("user", id="x" * 257), "line 2"),
    (line() + line("user", interactions=3), "line 2"),
    (line() + line("user", attributes={"x": [1]}), "line 2: attributes/x"),
    (line() + line("user", attributes={"": 1}), "line 2"),
    (line() + line("user", attributes={"x": 2**53 + 1}), "line 2"),
    (line() + line("user", attributes={f"x{i}": i for i in range(17)}), "line 2"),
    (line() + line("user", neighbours=[B]), "line 2"),
    (near_line({"streamer_id": "b"}), "line 1: neighbours/0/weight"),
    (near_line({"streamer_id": "b", "weight": "1"}), "line 1: neighbours/0/weight"),
    (near_line(B | {"x": 2}), "line 1: neighbours/0/x"),
    (near_line(B | {"weight": 0}), "line 1: neighbours"),
    (near_line(B | {"weight": float("inf")}), "line 1: neighbours"),
    (near_line(B | {"streamer_id": "a"}), "line 1: neighbours"),
    (near_line(B, B), "line 1: neighbours"),
    (near_line(*(B | {"streamer_id": f"x{i}"} for i in range(65))), "line 1: neighbours"),
    (near_line(B | {"streamer_id": "c"}), "'c'"),
]


@pytest.mark.parametrize(
    ("kind", "body", "named"),
    [
        *((NPZ, *each) for each in ARCHIVES),
        *((LINES, *each) for each in ROWS),
        (PARQUET, b"PAR1 no table", ""),
    ],
)
def test_rows_that_can_not_be_used_refuse_the_whole(
    api: Api, kind: str, body: bytes, named: str
) -> None:
    problem = refused(api, "rows", body, kind, status=422, code="invalid_request")
    assert named in problem["detail"]
    api.refused("GET", "/v1/spaces/rows", status=404, code="space_not_found")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 1e30])
def test_a_wrong_vector_among_many_is_named(
    api: Api, handed: HandOver, form: str, value: float
) -> None:
    vectors, users = handed.vectors.copy(), handed.user_vectors.copy()
    vectors[17] = users[3] = value
    write, kind = FORMS[form]
    for given, line, place in (
        (handed.but(vectors=vectors), 18, "vectors[17]"),
        (handed.but(user_vectors=users), STREAMERS + 4, "user_vectors[3]"),
    ):
        problem = refused(api, "vectors", write(given), kind, status=422, code="invalid_request")
        assert problem["detail"].startswith(f"{place if kind == NPZ else f'line {line}'}:")


@pytest.mark.parametrize("part", [0.3, 0.97, 0.9999])
def test_an_upload_that_was_cut_off(api: Api, handed: HandOver, part: float) -> None:
    for write, kind in FORMS.values():
        whole = write(handed)
        refused(
            api,
            "cut",
            whole[: int(len(whole) * part) - 1],
            kind,
            status=422,
            code="invalid_request",
        )
    api.refused("GET", "/v1/spaces/cut", status=404, code="space_not_found")


@pytest.mark.parametrize("name", ["a:b", "-a", "a b", "é", "x" * 65, "a/b"])
def test_names_that_are_none(api: Api, handed: HandOver, name: str) -> None:
    answer = send(api, name, "g1", handed.npz())
    assert (answer.status_code, wrong_fields(answer.json())) == (422, ["space"])
    answer = send(api, "names", name, handed.npz())
    assert (answer.status_code, wrong_fields(answer.json())) == (422, ["generation"])
    path = f"/v1/spaces/names/generations/{quote(name, safe='')}"
    problem = api.refused("DELETE", path, status=422, code="invalid_request")
    assert wrong_fields(problem) == ["generation"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/spaces/none", 404, "space_not_found"),
        ("GET", "/v1/spaces/none/streamers/s000", 404, "space_not_found"),
        ("POST", "/v1/spaces/none:rollback", 404, "space_not_found"),
        ("POST", "/v1/spaces/none/generations/g1:promote", 404, "space_not_found"),
        ("DELETE", "/v1/spaces/none/generations/g1", 404, "space_not_found"),
        ("DELETE", "/v1/spaces/none/users/u", 404, "space_not_found"),
        ("POST", "/v1/spaces/served/generations/g9:promote", 404, "generation_not_found"),
        ("DELETE", "/v1/spaces/served/generations/g9", 404, "generation_not_found"),
        ("POST", "/v1/spaces/served:rollback", 409, "nothing_before"),
        ("PUT", "/v1/spaces/served/generations/g0", 409, "generation_exists"),
        ("PUT", "/v1/spaces/served/generations/g0:promote", 405, "method_not_allowed"),
    ],
)
def test_what_is_not_there_or_in_use(
    api: Api, handed: HandOver, served: str, method: str, path: str, status: int, code: str
) -> None:
    options: dict[str, Any] = {}
    if method == "PUT":
        options = {"content": handed.turned(1).npz(), "headers": {"Content-Type": NPZ}}
    api.refused(method, path, status=status, code=code, **options)
    assert own(api, served, "s000")["vector"] == handed.vectors[0].tolist()


def test_media_types_that_are_none(api: Api, handed: HandOver) -> None:
    for kind, body in (("application/json", b"{}"), ("text/csv", b""), ("", handed.npz())):
        refused(api, "types", body, kind, status=415, code="unsupported_media_type")


def test_promote_roll_back_and_delete(api: Api, handed: HandOver) -> None:
    for number in range(3):
        handed_over(api, "life", f"g{number}", handed.turned(number).npz())
    assert api.ok("GET", "/v1/spaces/life")["active"] is None
    shown = promoted(api, "life", "g0")
    assert (shown["serving"], shown["previous"]) == ("g0", None)
    assert promoted(api, "life", "g0") | {"active": None} == shown | {"active": None}
    shown = promoted(api, "life", "g1")
    assert (shown["active"]["generation"], shown["previous"]) == ("g1", "g0")
    assert [(g["generation"], g["state"]) for g in shown["generations"]] == [
        ("g2", "checked"),
        ("g1", "active"),
        ("g0", "previous"),
    ]
    assert own(api, "life", "s003")["vector"] == handed.turned(1).vectors[3].tolist()
    listed = {each["space"]: each for each in api.ok("GET", "/v1/spaces")["spaces"]}
    assert listed["life"]["generations"] == shown["generations"]
    assert [*listed] == sorted(listed)
    for number in range(3, 7):
        handed_over(api, "life", f"g{number}", handed.turned(number).npz())
    kept = [g["generation"] for g in api.ok("GET", "/v1/spaces/life")["generations"]]
    assert kept == ["g6", "g5", "g1", "g0"]  # the newest, and those that are needed
    shown = api.ok("POST", "/v1/spaces/life:rollback")
    assert (shown["active"]["generation"], shown["previous"]) == ("g0", None)
    assert is_audited(api, "roll back")
    assert own(api, "life", "s003")["vector"] == handed.turned(0).vectors[3].tolist()
    api.refused("POST", "/v1/spaces/life:rollback", status=409, code="nothing_before")
    path = "/v1/spaces/life/generations/"
    api.refused("DELETE", f"{path}g0", status=409, code="generation_in_use")
    for name in ("g1", "g5", "g6", "g0"):
        api.ok("DELETE", path + name, status=204)
    api.refused("GET", "/v1/spaces/life", status=404, code="space_not_found")
    api.refused("GET", "/v1/spaces/life/streamers/s003", status=404, code="space_not_found")


def test_changes_with_a_key_are_made_once(api: Api, handed: HandOver) -> None:
    for number in range(2):
        handed_over(api, "once", f"g{number}", handed.turned(number).npz(), promote=True)

    def ask(action: str, key: str) -> str:
        headers = {"Idempotency-Key": f'"{key}"'}
        answer = api.ok("POST", f"/v1/spaces/once{action}", headers=headers)
        return answer["active"]["generation"]

    assert [ask(":rollback", "back"), ask(":rollback", "back")] == ["g0", "g0"]
    assert ask("/generations/g1:promote", "forward") == "g1"
    assert ask(":rollback", "back again") == "g0"
    assert ask("/generations/g1:promote", "forward") == "g0"  # it was carried out before
    headers = {"Idempotency-Key": '"forward"'}
    path = "/v1/spaces/once/generations/g1:promote?force=true"
    api.refused("POST", path, status=422, code="idempotency_key_reused", headers=headers)


def test_who_becomes_established_is_told_by_an_event(api: Api, handed: HandOver) -> None:
    counted = np.arange(STREAMERS, dtype=np.float32)
    handed_over(api, "grown", "g1", handed.but(interactions=counted).npz(), promote=True)
    kind = {"kinds": "streamer.graduated", "limit": 1000}
    before = api.ok("GET", "/v1/events", params=kind)
    while before["events"]:
        before = api.ok("GET", "/v1/events", params=kind | {"cursor": before["next_cursor"]})
    grown = counted.copy()
    grown[:5] = 50
    handed_over(api, "grown", "g2", handed.but(interactions=grown).npz(), promote=True)
    after = api.ok("GET", "/v1/events", params=kind | {"cursor": before["next_cursor"]})["events"]
    told = sorted((e["data"]["streamer_id"], e["data"]["generation"]) for e in after)
    assert told == [(name, "g2") for name in handed.ids[:5]]


def test_users_of_any_id_are_erased_from_all_generations(api: Api, handed: HandOver) -> None:
    odd = ["观众", "tv/7", "/7", "a//b/", "7:erase", "q?x#y", "..x", "tv/generations/7"]
    given = handed.but(user_ids=[*odd, *(f"u-{i}" for i in range(USERS - len(odd)))])
    handed_over(api, "users", "g0", given.npz(), promote=True)
    handed_over(api, "users", "g1", given.turned(1).npz())
    for user_id in odd:
        path = f"/v1/spaces/users/users/{quote(user_id, safe='')}"
        assert api.ok("DELETE", path) == {"space": "users", "user_id": user_id, "generations": 2}
        assert api.ok("DELETE", path)["generations"] == 0
    assert is_audited(api, "erase")
    for generation in api.ok("GET", "/v1/spaces/users")["generations"]:
        assert generation["counts"] == counts(users=USERS - len(odd), erased_users=len(odd))
    question = {"streamer_id": "s003", "space": "users", "users": USERS}
    before = api.ok("POST", "/v1/cold-start", question)["users"]
    assert sorted(user["user_id"] for user in before) == sorted(given.user_ids[len(odd) :])
    promoted(api, "users", "g1")
    after = api.ok("POST", "/v1/cold-start", question)["users"]
    assert [user["user_id"] for user in after] == [user["user_id"] for user in before]


def test_an_erased_streamer_takes_its_vectors_and_neighbours_along(
    api: Api, handed: HandOver
) -> None:
    api.put_streamer("once", bio="guitar vocal")
    given = handed.but(
        ids=["once", *handed.ids],
        vectors=np.concatenate([handed.vectors[:1], handed.vectors]),
        interactions=np.full(STREAMERS + 1, 20, np.float32),
    ).with_nearest()
    given.neighbours[0] = [(1, 1.0)]  # type: ignore[index]
    having = sum(map(bool, given.neighbours or [])) - 1
    handed_over(api, "gone", "g0", given.npz(), promote=True)
    handed_over(api, "gone", "g1", given.turned(1).npz())
    handed_over(api, "gone-too", "g2", given.turned(2).npz())
    assert own(api, "gone", "once")["is_established"]
    erased = api.ok("DELETE", "/v1/streamers/once?erase=true")
    assert "spaces" in {each["where"] for each in erased["persists"]}
    for space in ("gone", "gone-too"):
        for generation in api.ok("GET", f"/v1/spaces/{space}")["generations"]:
            assert generation["counts"] == counts(with_neighbours=having, erased_streamers=1)
    for expected in (given, given.turned(1)):
        assert own(api, "gone", "once")["vector"] is None
        assert own(api, "gone", "s040")["vector"] == expected.vectors[41].tolist()
        question = {"streamer_id": "once", "space": "gone"}
        api.refused("POST", "/v1/cold-start", question, status=404, code="streamer_not_found")
        promoted(api, "gone", "g1")


def test_limits_of_a_hand_over(api: Api, handed: HandOver) -> None:
    rows = [*range(STREAMERS), *range(6)]
    streamers = handed.but(
        ids=[*handed.ids, *(f"more-{i}" for i in range(6))], vectors=handed.vectors[rows]
    )
    rows = [*range(USERS), *range(6)]
    users = handed.but(
        user_ids=[*handed.user_ids, *(f"more-{i}" for i in range(6))],
        user_vectors=handed.user_vectors[rows],
    )
    for given, setting in ((streamers, "MAX_STREAMERS"), (users, "MAX_USERS")):
        for write, kind in FORMS.values():
            problem = refused(api, "limits", write(given), kind, status=422, code="invalid_request")
            assert f"STREAMER_SPACES__{setting}" in problem["detail"]
    for size, status, code in ((5 * MIB, 413, "body_too_large"), (3 * MIB, 507, "spool_full")):
        body = b"\n" * size
        refused(api, "limits", body, LINES, status=status, code=code)
    refused(api, "limits", iter([body[:MIB], body[MIB:]]), LINES, status=507, code="spool_full")
    api.refused("GET", "/v1/spaces/limits", status=404, code="space_not_found")
    taken: Callable[[], bool] = lambda: send(api, "limits", "g0", handed.npz()).status_code == 201  # noqa: E731
    wait_until(taken, "there is room again")


def test_the_number_of_spaces_is_limited(api: Api, handed: HandOver) -> None:
    known = {each["space"] for each in api.ok("GET", "/v1/spaces")["spaces"]}
    made = [f"many-{i}" for i in range(MOST_SPACES - len(known))]
    for space in made:
        handed_over(api, space, "g0", handed.npz())
    problem = refused(api, "many", handed.npz(), status=422, code="invalid_request")
    assert "STREAMER_SPACES__MAX_SPACES" in problem["detail"]
    handed_over(api, made[0], "g1", handed.npz())  # another generation takes no room
    for space in made:
        forget(api, space)


def test_an_upload_keeps_others_waiting_until_its_client_has_left(
    api: Api, handed: HandOver, service: Service
) -> None:
    body = handed.turned(1).npz()
    lines = [
        "PUT /v1/spaces/waits/generations/g1 HTTP/1.1",
        f"Host: {urlsplit(service.url).netloc}",
        f"Authorization: {api.headers['Authorization']}",
        f"Content-Type: {NPZ}",
        f"Content-Length: {len(body)}",
        "Expect: 100-continue",
    ]
    head = "\r\n".join([*lines, "", ""]).encode()

    def code() -> str:
        """Why the service does not take what it never would."""
        return send(api, "waits", "g2", b"[]", LINES).json()["code"]

    with socket.create_connection(("127.0.0.1", urlsplit(service.url).port or 0)) as sending:
        sending.sendall(head)
        assert sending.recv(1000).startswith(b"HTTP/1.1 100 ")  # its body is read from now on
        sending.sendall(body[: len(body) // 2])
        assert code() == "hand_over_under_way"
        refused(api, "waits", handed.npz(), status=409, code="hand_over_under_way")
        handed_over(api, "waits-not", "g0", handed.npz())
    wait_until(lambda: code() == "invalid_request", "it was given up")
    api.refused("GET", "/v1/spaces/waits", status=404, code="space_not_found")
    assert handed_over(api, "waits", "g1", body)["counts"] == counts()


def test_scopes(api: Api, handed: HandOver) -> None:
    with (
        api.with_key("spaces:write", "coldstart", "embeddings:read") as recommender,
        api.with_key("coldstart") as reader,
        api.with_key("streamers:read", "search") as stranger,
    ):
        handed_over(recommender, "scopes", "g0", handed.npz(), promote=True)
        made = handed_over(recommender, "scopes", "g1", handed.shuffled().npz())
        assert made["state"] == "refused"
        path = "/v1/spaces/scopes/generations/g1"
        force = {"status": 403, "code": "missing_scope", "params": {"force": True}}
        recommender.refused("POST", f"{path}:promote", **force)
        recommender.refused("PUT", path, content=b"", headers={"Content-Type": NPZ}, **force)
        assert own(recommender, "scopes", "s000")["vector"] == handed.vectors[0].tolist()
        shown = own(reader, "scopes", "s000")
        assert (shown["vector"], shown["is_established"]) == (None, True)
        assert "embeddings:read" in shown["vector_reason"]
        for method, where in (
            ("POST", "/v1/spaces/scopes:rollback"),
            ("POST", f"{path}:promote"),
            ("DELETE", path),
            ("DELETE", "/v1/spaces/scopes/users/u"),
        ):
            reader.refused(method, where, status=403, code="missing_scope")
        for where in ("/v1/spaces", "/v1/spaces/scopes", "/v1/spaces/scopes/streamers/s000"):
            stranger.refused("GET", where, status=403, code="missing_scope")
        anybody = Api(str(api.base_url))
        anybody.refused("GET", "/v1/spaces", status=401, code="unauthorized")
        anybody.close()


def test_metrics_tell_of_spaces(api: Api, served: str) -> None:
    text = api.get("/metrics").text
    assert f'streamer_space_with_neighbours{{space="{served}"}} {STREAMERS * 0.75}' in text
    assert f'streamer_space_streamers{{space="{served}"}} {float(STREAMERS)}' in text
    assert f'streamer_space_users{{space="{served}"}} {float(USERS)}' in text
    assert f'streamer_space_behind{{space="{served}"}} 0.0' in text
    assert is_audited(api, "hand over")
