"""A campaign of the operations team: from a search to lists, mails, new lists, and ratings."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api
from tests.support.service import Service, run
from tests.support.tables import csv_of, facts_of, sheets_of

LAST_WEEK = 300
"""So many of the world's streamers were there when the campaign began."""


@pytest.fixture(scope="module")
def desk(api: Api, profiles: list[dict[str, Any]]) -> Iterator[Api]:
    """A client of the operations team; the first streamers of the world are stored and grouped."""
    api.wait_until_grouped(api.write(profiles[:LAST_WEEK]))
    made = api.ok("POST", "/v1/keys", {"name": "campaigns", "role": "operations"}, status=201)
    with Api(str(api.base_url), made["key"]) as client:
        yield client


def command(service: Service, desk: Api, *arguments: object) -> str:
    """What a command of the team prints."""
    key = desk.headers["Authorization"].removeprefix("Bearer ")
    told = run(*arguments, STREAMER_URL=service.url, STREAMER_API_KEY=key)
    assert told.returncode == 0, told.stderr
    return told.stdout


def seeds_of(desk: Api, profiles: list[dict[str, Any]]) -> list[str]:
    """A streamer whom somebody found by its name, and the most similar one."""
    wanted = next(p for p in profiles if p.get("category") and p.get("language") == "en")
    found = desk.ok("POST", "/v1/streamers:find", {"q": wanted["name"], "limit": 20})
    assert wanted["streamer_id"] in [hit["streamer_id"] for hit in found["streamers"]]
    similar = desk.ok("GET", f"/v1/streamers/{wanted['streamer_id']}/similar?k=1")["hits"]
    return [wanted["streamer_id"], similar[0]["streamer_id"]]


def test_a_campaign_from_the_search_to_the_second_week(
    desk: Api, service: Service, profiles: list[dict[str, Any]], tmp_path: Path
) -> None:
    known = {p["streamer_id"]: p for p in profiles}
    seeds = seeds_of(desk, profiles[:LAST_WEEK])
    question = {
        "positive": [{"streamer_id": seed} for seed in seeds],
        "strategy": "best_score",
        "k": 40,
        "filter": {"must_not": [{"field": "partner", "any": [True]}]},
        "exclude": {"ids": ["w007"], "outreach_since": 1},
        "without_copies": True,
        "diversify": {"by": "category", "max_per_value": 12},
        "fields": ["name", "category", "followers"],
        "explain": "short",
        "language": "zh",
    }
    book = desk.post("/v1/lists:preview?format=xlsx", json=question)
    header, *rows = sheets_of(book.content)["名单"]
    assert header[:5] == ["排名", "主播 ID", "昵称", "类目", "粉丝数"]
    assert len(rows) == 40
    listed = [row[1] for row in rows]
    assert not {*listed} & {*seeds, "w007"}
    assert not any(known[name]["attributes"].get("partner") for name in listed)
    categories = [known[name].get("category") for name in listed]
    assert max(map(categories.count, categories)) <= 12
    assert all(row[header.index("理由")] for row in rows)

    desk.ok("PUT", "/v1/lists/spring", {"title": "春季", "question": question}, status=201)
    first = desk.ok("POST", "/v1/lists/spring:run", {})
    assert [row["streamer_id"] for row in first["rows"]] == listed
    mailed = listed[:10]
    printed = command(service, desk, "outreach", "record", *mailed, "--note", "first mail")
    (record,) = desk.all("/v1/outreach", "outreach", streamer_id=mailed[0])
    assert record["outreach_id"] in printed
    assert (record["ids"], record["key_name"]) == (mailed, "campaigns")

    with Api(service.url, service.key) as admin:  # a week later
        admin.wait_until_grouped(admin.write(profiles[LAST_WEEK:]))
    out = tmp_path / "new.csv"
    command(service, desk, "lists", "run", "spring", "--new-only", "--out", out)
    new = [row["主播 ID"] for row in csv_of(out.read_bytes())]
    assert new
    assert not {*new} & {*listed}
    second = desk.ok("GET", "/v1/lists/spring/runs/2")
    assert not {*second["ids"]} & {*mailed}
    assert {*second["ids"]} - {*listed} == {*new}
    assert [r["new"] for r in desk.ok("GET", "/v1/lists/spring")["runs"]] == [len(new), 40]

    again = tmp_path / "again.xlsx"
    command(service, desk, "lists", "show", "spring", "--run", 1, "--out", again)
    sheets = sheets_of(again.read_bytes())
    assert [row[1] for row in sheets["名单"][1:]] == listed
    facts = facts_of(sheets["来源"])
    assert (facts["名单"], facts["运行次数"]) == ("spring", "1")
    assert facts["查询者（密钥名称）"] == "campaigns"


def test_two_strategies_are_compared_by_what_people_rate(
    desk: Api, service: Service, profiles: list[dict[str, Any]], tmp_path: Path
) -> None:
    drafts = tmp_path / "lists.ndjson"
    likes = [p["streamer_id"] for p in profiles[:LAST_WEEK] if p.get("bio")]
    for pair in (likes[:2], likes[10:12], likes[20:22]):
        printed = command(service, desk, "interleave", *pair, "-k", 6, "--out", drafts)
        kept = json.loads(drafts.read_text(encoding="utf-8").splitlines()[-1])
        assert kept["question"]["positive"] == pair
        assert not {*pair} & {name for name, _ in kept["picks"]}
        for name, team in kept["picks"]:  # people like those of the second strategy
            assert name in printed
            body = {"question": kept["question"], "streamer_id": name, "rating": 3 * team}
            desk.ok("PUT", "/v1/ratings", body)
    assert len(desk.all("/v1/ratings", "ratings")) == 18
    options = ("--interleaved", drafts, "--min-questions", 3, "--json")
    found = json.loads(command(service, desk, "evaluate-ratings", *options))
    assert found["no_verdict_because"] is None
    assert found["verdict"].startswith("best_score is better")
    asked = {"question": kept["question"], "streamer_ids": [name for name, _ in kept["picks"]]}
    mine = desk.ok("POST", "/v1/ratings:mine", asked)["ratings"]
    assert sorted(one["rating"] for one in mine) == [0, 0, 0, 3, 3, 3]
