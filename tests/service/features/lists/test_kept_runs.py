"""Kept runs as files: as they were told, whatever was written since, but without who was erased."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.features.lists.formats import kept
from service.features.lists.removal import told_without
from service.features.lists.saved import Run, SavedList, SavedLists
from service.settings import Settings
from tests.service.conftest import put
from tests.service.features.keys.conftest import bearer, create
from tests.service.features.lists.conftest import ask, ids_of, sheets_of
from tests.service.http.test_bad_input import problem

QUESTION = {
    "positive": [{"streamer_id": "cook-00"}],
    "k": 6,
    "explain": "short",
    "group_by": "category",
    "fields": ["name", "tags", "followers"],
    "stop": {"at_precision": 0.3, "mark_only": True},
}
PATH = "/v1/lists/spring"
FILES = ["csv", "xlsx", "ndjson"]


@pytest.fixture(autouse=True)
def no_list(client: TestClient) -> Iterator[None]:
    yield
    client.delete(PATH)


def save(client: TestClient, **more: Any) -> None:
    client.put(PATH, json={"question": {**QUESTION, **more}}).raise_for_status()


def run(client: TestClient, form: str = "json", **how: Any) -> Any:
    answer = client.post(f"{PATH}:run", params={"format": form}, json=how)
    assert answer.status_code == 200, answer.text
    return answer


def file_of(client: TestClient, form: str, number: int = 1, **more: Any) -> Any:
    answer = client.get(f"{PATH}/runs/{number}", params={"format": form, **more})
    assert answer.status_code == 200, answer.text
    return answer


def read(form: str, content: bytes) -> Any:
    """What a file has, without the time that it took to make it."""
    if form == "csv":
        assert content.startswith(b"\xef\xbb\xbf")
        return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    if form == "xlsx":
        return sheets_of(content)
    lines = [json.loads(line) for line in content.splitlines()]
    del lines[-1]["took_ms"]
    return lines


def rows_of(client: TestClient, number: int = 1, **more: Any) -> list[dict[str, str]]:
    text = file_of(client, "csv", number, **more).content.decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("form", FILES)
def test_a_kept_run_is_the_file_that_was_handed_on(
    client: TestClient, cooks: list[str], form: str, language: str
) -> None:
    profile = {"name": "=1+1", "tags": ["cooking", "美食"], "bio": "kitchen", "category": "x"}
    ask(client, "cook-00", after_sequence=put(client, "cook-03", **profile))
    save(client)
    run(client)
    told = run(client, form, language=language)
    put(client, "cook-04", name="renamed", tags=["music"])
    client.delete("/v1/streamers/cook-06").raise_for_status()
    save(client, k=1, fields=[], group_by=None)
    again = file_of(client, form, 2)
    assert again.headers["content-type"] == told.headers["content-type"]
    assert "x-incomplete-because" not in again.headers
    whole = read(form, again.content)
    assert whole == read(form, told.content)
    assert "renamed" not in str(whole)
    disposition = told.headers.get("content-disposition")
    named = disposition and disposition.replace("spring", "spring-run-2")
    assert again.headers.get("content-disposition") == named


def test_formulas_are_none_in_a_kept_run(client: TestClient, cooks: list[str]) -> None:
    sequence = put(client, "cook-03", name="=1+1", tags=["cooking"], bio="kitchen recipe")
    ask(client, "cook-00", after_sequence=sequence)
    save(client, k=100)
    run(client)
    (row,) = (row for row in rows_of(client) if row["streamer_id"] == "cook-03")
    assert row["name"] == "'=1+1"
    assert row["why"]


@pytest.mark.parametrize("form", FILES)
def test_what_a_run_lacked_is_told_of_it_again(
    client: TestClient, cooks: list[str], monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr("service.index.faiss.index.FaissIndex.deepest", lambda *_: 2)
    save(client, k=5)
    told = run(client).headers["x-incomplete-because"]
    assert file_of(client, form).headers["x-incomplete-because"] == told


def test_a_file_has_everybody_or_who_was_new(client: TestClient, cooks: list[str]) -> None:
    save(client, k=4)
    first = run(client).json()
    save(client, k=6)
    second = run(client, new_only=True).json()
    new = ids_of(second)
    assert len(new) == 2
    everybody = rows_of(client, 2)
    assert len(everybody) == 6
    assert [row["streamer_id"] for row in everybody if row["is_new"] == "yes"] == new
    assert [row["streamer_id"] for row in rows_of(client, 2, new_only=True)] == new
    *rows, last = read("ndjson", file_of(client, "ndjson", 2, new_only=True).content)
    assert rows == second["rows"]
    assert {**last, "took_ms": second["took_ms"], "rows": rows} == second
    held = client.get(f"{PATH}/runs/2", params={"new_only": True}).json()["ids"]
    assert sorted(held) == sorted(new)
    assert {row["streamer_id"] for row in everybody} == {*new, *ids_of(first)}


def as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep runs as earlier releases did."""
    add = SavedLists.add

    async def add_ids(
        self: SavedLists, saved: SavedList, made: Run, ids: Sequence[str], _: object
    ) -> Run:
        return await add(self, saved, made, ids)

    monkeypatch.setattr(SavedLists, "add", add_ids)


def too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST_BYTES", 100)


@pytest.mark.parametrize("kept_so", [as_before, too_large])
def test_a_run_of_which_only_ids_are_kept_has_empty_columns(
    client: TestClient, cooks: list[str], monkeypatch: pytest.MonkeyPatch, kept_so: Any
) -> None:
    kept_so(monkeypatch)
    save(client, language="zh")
    run(client)
    ids = client.get(f"{PATH}/runs/1").json()["ids"]
    header, *rows = read("csv", file_of(client, "csv").content)
    assert header[:3] == ["排名", "主播 ID", "昵称"]
    assert rows == [[str(i), one] + [""] * (len(header) - 2) for i, one in enumerate(ids, 1)]
    sheets = sheets_of(file_of(client, "xlsx").content)
    assert [row[1] for row in sheets["名单"][1:]] == ids
    facts = {row[0]: row[1] for row in sheets["来源"]}
    assert (facts["运行次数"], facts["是否完整"]) == ("1", "否")
    assert not {"查询条件 (JSON)", "未列入", "相似界线"} & facts.keys()
    answer = file_of(client, "ndjson")
    *lines, last = read("ndjson", answer.content)
    assert [line["streamer_id"] for line in lines] == ids
    assert {line["score"] for line in lines} == {None}
    assert last["reached"] is None
    assert last["incomplete_because"] == answer.headers["x-incomplete-because"] == kept.HELD_ALONE
    refused = client.get(f"{PATH}/runs/1", params={"format": "csv", "new_only": True})
    error = problem(refused, 422, "invalid_request")["errors"][0]
    assert error["parameter"] == "new_only"


def test_who_is_erased_is_in_no_file(client: TestClient, cooks: list[str]) -> None:
    seeds = [{"streamer_id": "cook-00"}, {"streamer_id": "cook-01"}]
    excluded = {"ids": ["cook-02", "nobody"]}
    save(client, positive=seeds, strategy="best_score", stop=None, exclude=excluded, k=100)
    run(client)
    reasons = [row["why"] for row in rows_of(client)]
    assert all(reasons)
    gone = ["cook-02", "cook-05"]
    for one in gone:
        client.delete(f"/v1/streamers/{one}", params={"erase": True}).raise_for_status()
    rows = rows_of(client)
    assert len(rows) == len(reasons) - 1
    assert all(row["why"] for row in rows)
    for form in FILES:
        whole = str(read(form, file_of(client, form).content))
        assert not [one for one in gone if one in whole]
        assert "cook 5" not in whole
    *lines, last = read("ndjson", file_of(client, "ndjson").content)
    assert sum(group["rows"] for group in last["groups"]) == len(lines)
    assert "exclude.ids: 'nobody' is not stored" in last["warnings"]
    client.delete("/v1/streamers/cook-01", params={"erase": True}).raise_for_status()
    assert not any(row["why"] for row in rows_of(client))  # they quoted a seed
    assert "cook-01" not in str(read("xlsx", file_of(client, "xlsx").content))


def test_values_of_groups_are_kept_with_their_rows_alone(
    client: TestClient, cooks: list[str]
) -> None:
    save(client, group_by="name")
    told = run(client).json()
    lists: Any = client.app_state["services"].lists
    assert client.portal is not None
    kept_of_it = client.portal.call(
        lists.saved.told, client.portal.call(lists.saved.get, "spring"), 1
    )
    assert json.loads(kept_of_it.split(b"\n")[0])["summary"]["groups"] == []
    assert read("ndjson", file_of(client, "ndjson").content)[-1]["groups"] == told["groups"] != []
    gone = told["rows"][0]
    client.delete(f"/v1/streamers/{gone['streamer_id']}", params={"erase": True}).raise_for_status()
    kept_of_it = client.portal.call(
        lists.saved.told, client.portal.call(lists.saved.get, "spring"), 1
    )
    assert gone["group"].encode() not in kept_of_it


def test_who_is_gone_is_named_by_nothing_that_was_told() -> None:
    of_all = {
        "question": {"positive": [{"streamer_id": "a"}], "exclude": {"ids": ["b", "c"]}},
        "summary": {
            "warnings": ["exclude.ids: 'b' is not stored", "other"],
            "groups": [{"value": "of b alone", "rows": 1}],  # as earlier releases kept them
        },
        "columns": ["streamer_id", "copies", "why"],
    }
    rows = [["b", ["x"], "…"], ["x", ["b", "y"], "quoted"], ["z", [], "bb"]]
    told = b"\n".join(json.dumps(line).encode() for line in (of_all, *rows))
    assert told_without(frozenset("n"), "erased-0", told) is None
    without_b = told_without(frozenset("b"), "erased-0", told)
    assert without_b is not None
    first, *left = map(json.loads, without_b.split(b"\n"))
    assert left == [["x", ["y"], "quoted"], ["z", [], "bb"]]
    assert first["question"]["exclude"] == {"ids": ["c"]}
    assert first["summary"] == {"warnings": ["other"], "groups": []}
    without_a = told_without(frozenset("a"), "erased-0", without_b)
    assert without_a is not None
    first, *left = map(json.loads, without_a.split(b"\n"))
    assert first["question"]["positive"] == [{"streamer_id": "erased-0"}]
    assert left == [["x", ["y"], None], ["z", [], None]]


def test_reasons_need_their_scope(bundle: Path, tmp_path: Path) -> None:
    given = {"bundle": bundle, "data_dir": tmp_path / "data", "api_key": "first"}
    app = create_app(Settings.model_validate(given))
    with TestClient(app, base_url="http://localhost") as client:
        client.headers.update(bearer("first"))
        put(client, "cook-00", tags=["cooking"])
        searches = bearer(create(client, scopes=["search"])["key"])
        save(client)
        run(client)
        path, csv_of_it = f"{PATH}/runs/1", {"format": "csv"}
        refused = client.get(path, params=csv_of_it, headers=searches)
        assert "'explain'" in problem(refused, 403, "missing_scope")["detail"]
        client.get(path, headers=searches).raise_for_status()
        save(client, explain=None)
        run(client)
        client.get(f"{PATH}/runs/2", params=csv_of_it, headers=searches).raise_for_status()


@pytest.mark.parametrize("form", ["json", *FILES])
def test_an_unknown_run_is_not_found(client: TestClient, cooks: list[str], form: str) -> None:
    save(client)
    run(client)
    wanted = {"format": form}
    problem(client.get(f"{PATH}/runs/2", params=wanted), 404, "list_not_found")
    problem(client.get("/v1/lists/nobodys/runs/1", params=wanted), 404, "list_not_found")


@pytest.mark.parametrize("form", ["pdf", "CSV", ""])
def test_another_format_is_refused_like_that_of_a_preview(
    client: TestClient, cooks: list[str], form: str
) -> None:
    save(client)
    run(client)
    wanted = {"format": form}
    preview = client.post("/v1/lists:preview", params=wanted, json=QUESTION)
    expected = problem(preview, 422, "invalid_request")["errors"]
    refused = client.get(f"{PATH}/runs/1", params=wanted)
    assert problem(refused, 422, "invalid_request")["errors"] == expected
