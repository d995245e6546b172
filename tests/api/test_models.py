"""The life of a model beside the one that answers: registered, backfilled, promoted, retired."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Serve
from tests.support.api import Api, wrong_fields
from tests.support.bundles import TOPICS, write_bundle
from tests.support.hand_overs import hand_over_of, handed_over, store_streamers
from tests.support.service import run, wait_until

FIRST, NEXT = "test-0", "test-1"
TOPIC_NAMES = tuple(TOPICS)
IDS = [f"s{i:02}" for i in range(40)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of bundles: that which answers first, the next one, and another one of its version."""
    folder = tmp_path_factory.mktemp("models")
    write_bundle(folder / "first")
    write_bundle(folder / "next", seed=1)
    write_bundle(folder / "again", seed=1, calibration=None)
    return folder


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Path:
    return folder / "first"


@pytest.fixture(scope="module")
def settings(folder: Path) -> dict[str, str]:
    known = {"STREAMER_MODELS__FOLDER": str(folder), "STREAMER_MODELS__COMPARE_SAMPLE": "20"}
    return {**known, "STREAMER_DUPLICATES__EVALUATE": "false"}


def profile(streamer_id: str, topic: int) -> dict[str, Any]:
    words = TOPICS[TOPIC_NAMES[topic % 4]].split()
    bio = f"{words[topic % 3]} {TOPICS['cooking']}"
    return {"streamer_id": streamer_id, "name": f"n{topic}", "tags": words[:2], "bio": bio}


def stored(api: Api) -> None:
    api.write(profile(name, i) for i, name in enumerate(IDS))


@pytest.fixture(scope="module")
def filled(api: Api) -> Api:
    stored(api)
    return api


@pytest.fixture
def models(filled: Api) -> Iterator[Api]:
    """A service that answers by the first model alone, before and after."""
    assert filled.get("/readyz").json()["model_version"] == FIRST
    yield filled
    for shown in filled.ok("GET", "/v1/models")["models"]:
        if shown["model_version"] == NEXT and shown["state"] == "active":
            filled.ok("POST", "/v1/models:rollback")
    if filled.get(f"/v1/models/{NEXT}").status_code == 200:
        filled.post(f"/v1/models/{NEXT}:retire")


def model(api: Api, name: str = NEXT) -> dict[str, Any]:
    return api.ok("GET", f"/v1/models/{name}")


def state(api: Api, name: str = NEXT) -> str:
    return model(api, name)["state"]


def do(api: Api, what: str, name: str = NEXT, status: int = 200, **options: Any) -> Any:
    return api.ok("POST", f"/v1/models/{name}:{what}", status=status, **options)


def register(api: Api, folder: str = "next") -> dict[str, Any]:
    return api.ok("POST", "/v1/models", {"folder": folder}, status=201)


def is_indexed(api: Api, name: str = NEXT) -> bool:
    return all(replica["is_indexed"] for replica in model(api, name)["replicas"])


def backfilled(api: Api) -> dict[str, Any]:
    """Register and backfill the next model until it may be promoted; the job."""
    register(api)
    job = api.finished(do(api, "backfill", status=202))
    wait_until(lambda: state(api) == "ready" and is_indexed(api), "it is ready")
    return job


def answers(api: Api) -> list[Any]:
    """What is asked of a model, without what changes by itself."""
    profile = {"tags": TOPICS["music"].split()[:2]}
    found = [
        api.ok("GET", f"/v1/streamers/{IDS[0]}/similar", params={"k": 20}),
        api.ok("POST", "/v1/similar", {"positive": [{"profile": profile}], "k": 20}),
        api.ok("POST", "/v1/dedup", {"ids": IDS[:12]}),
        api.ok("GET", f"/v1/streamers/{IDS[1]}/embedding"),
    ]
    for answer in found:
        for name in ("took_ms", "index_sequence"):
            answer.pop(name, None)
    return found


def test_there_and_back(models: Api) -> None:
    before = answers(models)
    registered = register(models)
    assert (registered["model_version"], registered["state"]) == (NEXT, "registered")
    assert (registered["folder"], registered["recipe"], registered["dim"]) == ("next", "test", 128)
    (replica,) = registered["replicas"]
    assert replica["has_bundle"]
    assert not any(replica[what] for what in ("encodes", "is_indexed", "serves", "problem"))
    job = backfilled(models)
    assert (job["kind"], job["progress"]["done"]) == ("model_backfill", len(IDS))
    assert answers(models) == before
    shown = model(models)
    assert [shown["replicas"][0][what] for what in ("encodes", "is_indexed", "serves")] == [
        True,
        True,
        False,
    ]
    promoted = do(models, "promote")
    assert (promoted["state"], promoted["replicas"][0]["serves"]) == ("active", True)
    assert models.get("/readyz").json()["model_version"] == NEXT
    after = answers(models)
    assert {answer["model_version"] for answer in after} == {NEXT}
    assert after[0]["hits"] != before[0]["hits"]
    assert after[3]["embedding"] != before[3]["embedding"]
    listed = models.ok("GET", "/v1/models")["models"]
    assert {m["model_version"]: m["state"] for m in listed} == {NEXT: "active", FIRST: "ready"}
    # What is written meanwhile is there after the way back too.
    models.put_streamer("meanwhile", tags=["travel"], bio=TOPICS["travel"])
    last = models.ok("DELETE", f"/v1/streamers/{IDS[39]}")["sequence"]
    back = models.ok("POST", "/v1/models:rollback", params={"from": NEXT})
    assert (back["model_version"], back["state"]) == (FIRST, "active")
    question = {"positive": [{"profile": {"tags": ["travel"]}}], "k": 100, "after_sequence": last}
    found = models.ok("POST", "/v1/similar", question)
    assert found["model_version"] == FIRST
    hits = {hit["streamer_id"] for hit in found["hits"]}
    assert "meanwhile" in hits
    assert IDS[39] not in hits
    models.write([profile(IDS[39], 39)])
    models.wait_until_indexed(models.ok("DELETE", "/v1/streamers/meanwhile")["sequence"])
    assert answers(models) == before
    assert do(models, "retire")["state"] == "retired"
    models.put_streamer(IDS[38], name="other", tags=["music"])
    assert models.ok("GET", f"/v1/streamers/{IDS[38]}")["model_version"] == FIRST
    models.write([profile(IDS[38], 38)])
    entries = models.ok("GET", "/v1/audit", params={"limit": 1000})["entries"]
    actions = {entry["action"] for entry in entries}
    done = ("register", "backfill", "promote", "roll back", "retire")
    assert actions >= {f"{each} model" for each in done}


def test_pages_go_on_by_the_model_with_which_they_began(models: Api) -> None:
    question = {
        "positive": [{"streamer_id": IDS[0]}],
        "k": 10,
        "pages": True,
        "min_score": -1.0,
    }
    whole = models.ok("POST", "/v1/similar", {**question, "k": 20, "pages": False})["hits"]
    first = models.ok("POST", "/v1/similar", question)
    backfilled(models)
    do(models, "promote")
    second = models.ok("GET", "/v1/similar", params={"cursor": first["next_cursor"]})
    assert second["model_version"] == FIRST
    names = [hit["streamer_id"] for hit in first["hits"] + second["hits"]]
    assert names == [hit["streamer_id"] for hit in whole]
    assert models.ok("POST", "/v1/similar", question)["model_version"] == NEXT


def test_changes_that_are_sent_again_are_made_once(models: Api) -> None:
    register(models)
    key: dict[str, Any] = {"headers": {"Idempotency-Key": '"fill"'}}
    job = do(models, "backfill", status=202, **key)
    models.finished(job)
    wait_until(lambda: state(models) == "ready" and is_indexed(models), "it is ready")
    assert do(models, "backfill", status=202, **key)["job_id"] == job["job_id"]
    path, reused = f"/v1/models/{NEXT}:backfill", {"status": 422, "code": "idempotency_key_reused"}
    models.refused("POST", path, params={"streamers_per_s": 5}, **reused, **key)
    do(models, "promote")
    wait_until(lambda: is_indexed(models, FIRST), "the other one is kept")
    back: dict[str, Any] = {"headers": {"Idempotency-Key": '"back"'}, "params": {"from": NEXT}}
    for _ in range(2):
        assert models.ok("POST", "/v1/models:rollback", **back)["model_version"] == FIRST
    # Another operator, who saw what was before.
    conflict = {"status": 409, "code": "model_state_conflict"}
    models.refused("POST", "/v1/models:rollback", params={"from": NEXT}, **conflict)
    assert models.ok("POST", "/v1/models:rollback")["model_version"] == NEXT
    assert models.ok("POST", "/v1/models:rollback", **back)["model_version"] == NEXT  # done before
    assert models.ok("POST", "/v1/models:rollback")["model_version"] == FIRST
    do(models, "retire")
    models.refused("POST", path, **conflict, **key)


def test_a_backfill_is_paused_and_goes_on(models: Api) -> None:
    register(models)
    slow: dict[str, Any] = {"params": {"streamers_per_s": 1}}
    job = do(models, "backfill", status=202, **slow)
    assert do(models, "backfill", status=202, **slow)["job_id"] == job["job_id"]
    path = f"/v1/models/{NEXT}:backfill"
    conflict = {"status": 409, "code": "model_state_conflict"}
    models.refused("POST", path, params={"streamers_per_s": 2}, **conflict)
    wait_until(lambda: model(models)["backfill"]["state"] == "running", "it runs")
    do(models, "pause")
    wait_until(lambda: model(models)["backfill"]["state"] == "cancelled", "it pauses")
    assert state(models) == "backfilling"
    last = models.put_streamer("paused", tags=["music"])  # which is encoded for both
    again = do(models, "backfill", status=202, params={"streamers_per_s": 1000})
    assert again["job_id"] == job["job_id"]
    models.finished(again)
    wait_until(lambda: state(models) == "ready" and is_indexed(models), "it is ready")
    do(models, "promote")
    question = {"positive": [{"profile": {"tags": ["music"]}}], "k": 100, "after_sequence": last}
    found = models.ok("POST", "/v1/similar", question)
    assert found["model_version"] == NEXT
    assert {hit["streamer_id"] for hit in found["hits"]} >= {"paused", IDS[0]}
    models.ok("DELETE", "/v1/streamers/paused")


CONFLICT = "model_state_conflict"
CONFLICTS: dict[str, list[tuple[str, str]]] = {
    "registered": [(NEXT, "pause"), (NEXT, "promote"), (NEXT, "compare"), (NEXT, "retire")],
    "backfilling": [(NEXT, "promote"), (NEXT, "compare")],
    "ready": [(NEXT, "backfill"), (NEXT, "pause"), (FIRST, "compare")],
    "active": [
        (NEXT, "promote"),
        (NEXT, "retire"),
        (NEXT, "backfill"),
        (NEXT, "compare"),
    ],
    "retired": [(NEXT, "promote"), (NEXT, "pause"), (NEXT, "retire"), (NEXT, "compare")],
}


@pytest.mark.parametrize("reached", CONFLICTS)
def test_what_a_state_does_not_allow(models: Api, reached: str) -> None:
    register(models)
    if reached == "backfilling":
        do(models, "backfill", status=202, params={"streamers_per_s": 1})
    elif reached != "registered":
        backfilled(models)
    if reached == "active":
        do(models, "promote")
    if reached == "retired":
        do(models, "retire")
    assert state(models) == reached
    for name, action in CONFLICTS[reached]:
        path = f"/v1/models/{name}:{action}"
        models.refused("POST", path, status=409, code=CONFLICT)
    if reached != "active":
        models.refused("POST", "/v1/models:rollback", status=409, code=CONFLICT)
        models.refused("POST", f"/v1/models/{FIRST}:promote", status=409, code=CONFLICT)
        models.refused("POST", f"/v1/models/{FIRST}:retire", status=409, code=CONFLICT)
    if reached != "registered":  # another bundle of the version that is kept, or was
        again = {"folder": "again"}
        models.refused("POST", "/v1/models", again, status=409, code=CONFLICT)
    for action in ("backfill", "pause", "promote", "retire", "compare"):
        path = f"/v1/models/nobody:{action}"
        models.refused("POST", path, status=404, code="model_not_found")
    models.refused("GET", "/v1/models/nobody", status=404, code="model_not_found")


def of_other_width(folder: Path) -> None:
    write_bundle(folder, seed=2, content_dim=64)


def of_other_schema(folder: Path) -> None:
    write_bundle(folder, seed=2)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"schema_version": 99}))


def of_other_tokenizer(folder: Path) -> None:
    write_bundle(folder, seed=2, tower=True)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["tower_checks"][0]["inputs_fingerprint"] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(manifest))


def of_a_changed_file(folder: Path) -> None:
    write_bundle(folder, seed=2)
    with (folder / "encoder.onnx").open("ab") as file:
        file.write(b"x")


def of_no_manifest(folder: Path) -> None:
    write_bundle(folder, seed=2)
    (folder / "manifest.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (of_other_width, "content_dim"),
        (of_other_schema, "schema_version"),
        (of_other_tokenizer, "tower"),
        (of_a_changed_file, "encoder.onnx"),
        (of_no_manifest, "manifest.json"),
    ],
)
def test_a_bundle_that_can_not_serve(
    models: Api, folder: Path, spoil: Callable[[Path], None], named: str
) -> None:
    spoil(folder / "bad")
    try:
        body = {"folder": "bad"}
        problem = models.refused("POST", "/v1/models", body, status=422, code="invalid_request")
    finally:
        shutil.rmtree(folder / "bad")
    assert wrong_fields(problem) == ["/folder"]
    assert named in problem["errors"][0]["detail"]
    models.refused("GET", "/v1/models/test-2", status=404, code="model_not_found")


@pytest.mark.parametrize("name", ["../first", "nowhere", "first/../../data", ".", "", "/etc", 7])
def test_folders_that_are_none(models: Api, name: Any) -> None:
    body = {"folder": name}
    problem = models.refused("POST", "/v1/models", body, status=422, code="invalid_request")
    assert wrong_fields(problem) == ["/folder"]


@pytest.mark.parametrize("pace", ["0", "-1", "fast", "100001"])
def test_paces_that_are_none(models: Api, pace: str) -> None:
    path, params = f"/v1/models/{NEXT}:backfill", {"streamers_per_s": pace}
    problem = models.refused("POST", path, status=422, code="invalid_request", params=params)
    assert wrong_fields(problem) == ["streamers_per_s"]


def test_only_an_admin_changes_models(models: Api) -> None:
    register(models)
    with models.with_key("streamers:write", "search", "spaces:write") as other:
        for method, path in (
            ("GET", "/v1/models"),
            ("POST", "/v1/models"),
            ("GET", f"/v1/models/{NEXT}"),
            *(
                ("POST", f"/v1/models/{NEXT}:{action}")
                for action in ("backfill", "pause", "compare", "shadow", "canary", "promote")
            ),
            ("POST", f"/v1/models/{NEXT}:retire"),
            ("GET", f"/v1/models/{NEXT}/comparison"),
            ("GET", f"/v1/models/{NEXT}/comparison/flips"),
            ("POST", "/v1/models:rollback"),
        ):
            other.refused(method, path, status=403, code="missing_scope")


def test_where_nobody_decided_anything_a_promotion_says_so(models: Api) -> None:
    backfilled(models)
    path = f"/v1/models/{NEXT}/comparison"
    models.refused("GET", path, status=404, code="comparison_not_found")
    assert model(models)["gate"]["state"] == "no_human_work"
    job = models.finished(do(models, "compare", status=202, params={"sample": 5}))
    found = models.ok("GET", path)
    assert (found["status"], found["job_id"]) == ("no_human_work", job["job_id"])
    assert (found["model_version"], found["compared_with"]) == (NEXT, FIRST)
    assert {each["status"] for each in found["outcomes"]} == {"none_stored"}
    assert found["neighbours"]["sample"] == 5
    assert 0 <= found["neighbours"]["low_overlap"] <= found["neighbours"]["overlap"] <= 1
    assert models.ok("GET", f"{path}/flips")["flips"] == []
    # What was decided after the comparison was not replayed.
    pair = {"a": IDS[0], "b": IDS[1]}
    models.ok("PUT", "/v1/judgements", {**pair, "verdict": "same"})
    path = f"/v1/models/{NEXT}:promote"
    models.refused("POST", path, status=409, code="model_gate_failed")
    models.ok("DELETE", "/v1/judgements", params=pair)
    assert len(do(models, "promote")["warnings"]) == 1


def test_a_promoted_model_answers_in_spaces_too(models: Api) -> None:
    ids = store_streamers(models, 60, "space-")
    given = hand_over_of(models, ids)
    handed_over(models, "als", "g0", given.npz(), promote=True)
    bio = {"bio": TOPICS["travel"]}
    before = models.ok("POST", "/v1/cold-start", {"profile": bio, "space": "als", "users": 3})
    backfilled(models)
    do(models, "promote")
    after = models.ok("POST", "/v1/cold-start", {"profile": bio, "space": "als", "users": 3})
    assert (before["model_version"], after["model_version"]) == (FIRST, NEXT)
    assert after["id_embedding"]["generation"] == "g0"
    assert len(after["users"]) == 3
    assert after["id_embedding"]["vector"] != before["id_embedding"]["vector"]
    own = models.ok("POST", "/v1/cold-start", {"streamer_id": ids[3], "space": "als"})
    assert own["id_embedding"]["vector"] == pytest.approx(given.vectors[3].tolist(), rel=1e-5)
    models.ok("DELETE", "/v1/spaces/als/generations/g0", status=204)
    for name in ids:
        models.delete(f"/v1/streamers/{name}")


def test_a_shadow_is_asked_and_changes_no_answer(models: Api) -> None:
    backfilled(models)
    before = answers(models)[:2]
    shown = do(models, "shadow", body={"sample": 1})
    assert (shown["state"], shown["shadow_sample"]) == ("shadow", 1)
    assert answers(models)[:2] == before
    path = f"/v1/models/{NEXT}/shadow"
    wait_until(lambda: models.ok("GET", path)["compared"] == 2, "both are compared")
    found = models.ok("GET", path)
    assert (found["model_version"], found["compared_with"]) == (NEXT, FIRST)
    assert 0 <= found["overlap"]["mean"] < 1
    assert do(models, "shadow", body={"sample": 0})["state"] == "ready"


def test_a_canary_answers_its_share_of_the_callers(models: Api) -> None:
    backfilled(models)

    def chosen() -> set[str]:
        path, found = f"/v1/streamers/{IDS[0]}/similar", set[str]()
        for caller in map(str, range(20)):
            answer = models.ok("GET", path, headers={"X-Client-Id": caller})
            found |= {caller} if answer["model_version"] == NEXT else set()
        return found

    assert do(models, "canary", body={"share": 0.4})["state"] == "canary"
    wait_until(chosen, "some callers are answered by it")
    some = chosen()
    assert len(some) < 20
    do(models, "canary", body={"share": 1})
    wait_until(lambda: len(chosen()) == 20, "all callers are")
    assert do(models, "canary", body={"share": 0})["state"] == "ready"
    wait_until(lambda: not chosen(), "no caller is")


def test_a_service_starts_with_another_model_when_it_may_encode_again(
    serve: Serve, folder: Path, tmp_path: Path
) -> None:
    data_dir = tmp_path / "data"
    first = serve(bundle=folder / "first")
    first.api.write(profile(name, i) for i, name in enumerate(IDS[:8]))
    before = first.api.embedding(IDS[0])
    # Without a folder of models none may be registered.
    problem = first.api.refused(
        "POST", "/v1/models", {"folder": "next"}, status=422, code="invalid_request"
    )
    assert wrong_fields(problem) == ["/folder"]
    (only,) = first.api.ok("GET", "/v1/models")["models"]
    assert (only["model_version"], only["state"], only["folder"]) == (FIRST, "active", None)
    assert first.stop() == 0
    wide = tmp_path / "wide"
    write_bundle(wide, seed=2, content_dim=64)
    refused = run("serve", "--bundle", wide, "--data-dir", data_dir, "--port", 0)
    assert refused.returncode != 0
    assert "--reencode" in refused.stderr
    other = serve("--reencode", bundle=wide)
    found = other.api.ok("GET", f"/v1/streamers/{IDS[0]}/similar", params={"k": 7})
    assert found["model_version"] == "test-2"
    assert {hit["streamer_id"] for hit in found["hits"]} <= set(IDS[1:8])
    assert other.api.embedding(IDS[0]) != before
    shown = other.api.ok("GET", f"/v1/streamers/{IDS[0]}")
    assert (shown["model_version"], shown["profile"]["name"]) == ("test-2", "n0")
