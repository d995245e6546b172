"""Lists and records of outreach by the client, in either form, also where a job makes them."""

import asyncio
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import pytest

from service.client import AsyncClient, Client, Conflict, Invalid, NotFound, Patience
from service.client.lists.calls import preview, read_list
from service.client.models import ListQuestionIn, SeedIn
from tests.reliability.fault_proxy import FaultProxy
from tests.service.client.scripted import WRITTEN, Script, problem
from tests.service.process import Service

QUESTION = {"positive": [{"streamer_id": "s0"}], "k": 100, "explain": "short"}


@pytest.fixture
def stored(client: Client) -> Iterator[list[str]]:
    ids = [f"s{i}" for i in range(5)]
    for i, streamer_id in enumerate(ids):
        client.put(streamer_id, {"tags": ["cooking"], "bio": f"kitchen soup {i}", "name": f"n{i}"})
    yield ids
    for saved in list(client.lists.all(page_size=1)):
        client.lists.delete(saved.name)
    for record in list(client.outreach.all(page_size=1)):
        client.outreach.delete(record.outreach_id)


def test_a_record_whose_answer_was_lost_is_made_once(service: Service, client: Client) -> None:
    client.put("s0", {"tags": ["cooking"]})
    patience = Patience(deadline_s=120, first_pause_s=0.01, longest_pause_s=0.2)
    with FaultProxy(int(service.url.rpartition(":")[2]), rb"POST /v1/outreach") as proxy:
        proxy.cut_after_commit(2)
        with Client(f"http://127.0.0.1:{proxy.port}", patience=patience) as there:
            made = there.outreach.record(["s0"], note="mail")
        assert proxy.commits_cut == 2
    assert list(client.outreach.all()) == [made]
    client.outreach.delete(made.outreach_id)


@pytest.mark.parametrize(
    ("given", "sent"), [(5, 9), (5.0, 9), (12.0, 12), (5.5, 5.5), ("x", "x"), (None, None)]
)
def test_a_preview_is_after_what_was_written(given: object, sent: object) -> None:
    call = preview({**QUESTION, "after_sequence": given}, 9, "json", read_list)
    assert isinstance(call.content, bytes)
    assert json.loads(call.content)["after_sequence"] == sent


def test_a_list_from_preview_to_the_next_run(client: Client, stored: list[str]) -> None:
    previewed = client.lists.preview(QUESTION)
    assert {row.streamer_id for row in previewed.rows} == set(stored) - {"s0"}
    assert all(row.why for row in previewed.rows)
    asked = ListQuestionIn.model_validate({**QUESTION, "diversify": {"method": "mmr", "lambda": 1}})
    saved = client.lists.save("mine", asked, title="t", only_new=True)
    with pytest.raises(Conflict):
        client.lists.save("mine", asked, only_new=True)
    run = client.lists.run("mine")
    assert [row.streamer_id for row in run.rows] == [row.streamer_id for row in previewed.rows]
    record = client.outreach.record([run.rows[0].streamer_id], note="mail")
    later = {**QUESTION, "exclude": {"outreach_since": record.at}}
    client.lists.save("mine", later, if_revision=saved.revision)
    again = client.lists.run("mine")
    assert [row.streamer_id for row in again.rows] == [row.streamer_id for row in run.rows[1:]]
    assert not any(row.is_new for row in again.rows)
    assert client.lists.held("mine", 1).ids == [row.streamer_id for row in run.rows]
    assert client.lists.held("mine", 2, new_only=True).ids == []
    assert client.lists.run_to_file("mine", "csv", new_only=True).count(b"\r\n") == 1
    file = client.lists.held_to_file("mine", 1, "csv")
    assert file.count(b"\r\n") == 1 + len(run.rows)
    assert file.incomplete_because is None
    assert client.lists.held_to_file("mine", 3, "csv", new_only=True).count(b"\r\n") == 1
    with pytest.raises(NotFound):
        client.lists.held_to_file("mine", 4, "xlsx")
    assert [one.run for one in client.lists.get("mine").runs] == [3, 2, 1]
    assert [one.outreach_id for one in client.outreach.all(since=record.at)] == [record.outreach_id]
    assert client.outreach.delete(record.outreach_id) == record
    with pytest.raises(NotFound):
        client.lists.run("nobodys")
    with pytest.raises(Invalid, match="lambda"):
        client.lists.preview({**QUESTION, "diversify": {"method": "mmr", "lambda": 2}})


@pytest.mark.slow
def test_what_a_job_makes_is_waited_for(
    service: Service, client: Client, stored: list[str]
) -> None:
    long = {**QUESTION, "k": 1001}
    short = client.lists.preview(QUESTION)
    assert client.lists.preview(long).rows == short.rows
    assert client.lists.download(long, "xlsx").startswith(b"PK")
    for asked in (QUESTION, long):
        file = client.lists.download({**asked, "exclude": {"ids": ["misspelt"]}}, "csv")
        assert [*file.warnings] == ["exclude.ids: 'misspelt' is not stored"]
        assert [*client.lists.download(asked, "csv").warnings] == []
    client.lists.save("long", long)
    client.lists.run_to_file("long", "ndjson")
    assert [run.rows for run in client.lists.get("long").runs] == [4]

    async def asynchronously() -> Any:
        async with AsyncClient(service.url) as asking:
            found = await asking.lists.preview(long)
            names = [saved.name async for saved in asking.lists.all()]
            lines = await asking.lists.held_to_file("long", 1, "ndjson")
            return found.rows, names, lines.count(b"\n")

    assert asyncio.run(asynchronously()) == (short.rows, ["long"], len(short.rows) + 1)


def test_models_are_sent_by_the_names_of_the_api(client: Client, stored: list[str]) -> None:
    asked = ListQuestionIn(positive=[SeedIn(streamer_id="s0")], k=2)
    assert len(client.lists.preview(asked).rows) == 2


def test_a_run_waits_for_the_last_write_of_the_client() -> None:
    gone = problem(404, "list_not_found")
    script = Script(gone, httpx.Response(200, json=WRITTEN), gone, gone)
    client = script.client()
    for run in (client.lists.run, partial(client.lists.run_to_file, form="csv")):
        with pytest.raises(NotFound):
            run("mine")
        if client.sequence == 0:
            client.put("a", {})
    with pytest.raises(NotFound):
        client.lists.run("mine")
    sent = [json.loads(request.content) for request in script.seen]
    assert "after_sequence" not in sent[0]
    assert sent[2]["after_sequence"] == sent[3]["after_sequence"] == WRITTEN["sequence"]
