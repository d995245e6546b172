"""Cases: expanded from seeds, decided on, run again, taken back, exported and deleted."""

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api, wrong_fields
from tests.support.bundles import write_bundle_with_evidence
from tests.support.service import run
from tests.support.words import words

ASYNC = {"Prefer": "respond-async"}
UNKNOWN = "/v1/cases/case-0000000000000000"
OF_A_CASE = [
    ("GET", "", None),
    ("GET", "/verdicts", None),
    ("GET", "/events", None),
    ("GET", "/export", None),
    ("POST", ":expand", None),
    ("POST", ":rerun", None),
    ("POST", ":undo", None),
    ("PUT", "/members/somebody", {"verdict": "cleared"}),
    ("DELETE", "", None),
]
Case = dict[str, Any]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with evidence for which words that it does not know are rare."""
    folder = tmp_path_factory.mktemp("bundle") / "bundle"
    write_bundle_with_evidence(folder)
    return folder


@pytest.fixture(scope="module")
def ring(api: Api) -> list[str]:
    """A chain that no test changes."""
    return chain(api, "ring")


def shows(name: str, handle: str = "", titles: str = "") -> dict[str, Any]:
    """A streamer with words of its own, and perhaps a handle and titles that others have too."""
    told = f" telegram: {words(handle, 1)}4471" if handle else ""
    videos = [{"video_id": f"{name}-{i}", "title": words(f"{titles}{i}", 5)} for i in range(3)]
    return {
        "streamer_id": name,
        "name": words(f"{name} name", 1),
        "bio": words(name, 8) + told,
        **({"videos": videos} if titles else {}),
    }


def chain(api: Api, of: str) -> list[str]:
    """Four streamers: 1 and 2 share a handle, 2 and 3 titles, 3 and 4 another handle."""
    names = [f"{of}-{i}" for i in range(1, 5)]
    one, other, titles = f"{of} a", f"{of} b", f"{of} titles"
    written = [
        shows(names[0], one),
        shows(names[1], one, titles),
        shows(names[2], other, titles),
        shows(names[3], other),
    ]
    api.wait_until_grouped(api.write(written))
    return names


def begin(api: Api, *seeds: str, **fields: Any) -> Case:
    return api.ok("POST", "/v1/cases", {"title": "ring", "seeds": [*seeds], **fields}, status=201)


def path_of(case: Case) -> str:
    return f"/v1/cases/{case['case_id']}"


def state(case: Case) -> dict[str, str]:
    return {"If-Match": f'"{case["revision"]}"'}


def act(api: Api, case: Case, action: str, **body: Any) -> Case:
    """Expand, run again or take back; an expansion may go on as a job."""
    answer = api.post(f"{path_of(case)}:{action}", json=body or None, headers=state(case))
    if answer.status_code == 202:
        return api.finished(answer.json())["result"]
    assert answer.status_code == 200, answer.text
    assert answer.headers["ETag"] == f'"{answer.json()["revision"]}"'
    return answer.json()


def expanded(api: Api, *seeds: str, **query: Any) -> Case:
    return act(api, begin(api, *seeds), "expand", **query)


def decide(api: Api, case: Case, name: str, verdict: str, note: str = "") -> Case:
    """The case with its revision after the verdict."""
    body = {"verdict": verdict, "note": note}
    decided = api.ok("PUT", f"{path_of(case)}/members/{name}", body, headers=state(case))
    assert (decided["streamer_id"], decided["verdict"], decided["note"]) == (name, verdict, note)
    return {**case, "revision": decided["revision"]}


def shown(api: Api, case: Case) -> Case:
    return api.ok("GET", path_of(case))


def members(api: Api, case: Case) -> dict[str, dict[str, Any]]:
    return {each["streamer_id"]: each for each in shown(api, case)["members"]}


def events(api: Api, case: Case) -> list[dict[str, Any]]:
    return api.all(f"{path_of(case)}/events", "events")


def verdicts(api: Api, case: Case) -> dict[str, dict[str, Any]]:
    listed = api.all(f"{path_of(case)}/verdicts", "verdicts")
    return {each["streamer_id"]: each for each in listed}


def exported(api: Api, case: Case, kind: str) -> bytes:
    answer = api.get(f"{path_of(case)}/export", params={"format": kind})
    assert answer.status_code == 200, answer.text
    assert f'filename="{case["case_id"]}.{kind}"' in answer.headers["Content-Disposition"]
    return answer.content


def files_of(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as found:
        return {name: found.read(name) for name in found.namelist()}


def lines(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines()]


def causes(ran: Case) -> dict[tuple[str, str], tuple[str, list[str]]]:
    """By what became of whom."""
    return {
        (what, each["streamer_id"]): (each["cause"], each["because"])
        for what in ("joined", "left", "changed")
        for each in ran["differences"][what]
    }


def test_a_chain_is_found_with_its_evidence_and_what_each_membership_hangs_on(
    api: Api, ring: list[str]
) -> None:
    answer = api.post("/v1/cases", json={"title": " gift scam ", "seeds": ring[:1]})
    case = answer.json()
    assert (answer.status_code, answer.headers["ETag"]) == (201, f'"{case["revision"]}"')
    assert (case["title"], case["seeds"], case["exclude"]) == ("gift scam", ring[:1], [])
    assert (case["run"], case["events"]) == (None, 1)
    before = shown(api, case)
    assert (before["members"], before["total_known"], before["outdated"]) == ([], 0, False)

    ran = act(api, case, "expand", hops=3)

    assert ran["differences"]["joined"] == []
    run = ran["run"]
    assert (run["members"], run["edges"], run["complete"]) == (4, 3, True)
    assert run["model_version"] == api.ok("GET", "/readyz")["model_version"]
    assert (run["query"]["hops"], run["query"]["min_probability"]) == (3, 0.35)
    found = shown(api, case)
    assert (found["returned"], found["total_known"], found["next_cursor"]) == (4, 4, None)
    by_id = members(api, case)
    assert list(by_id) == ring
    edges = {(edge["a"], edge["b"]): edge for edge in found["edges"]}
    assert list(edges) == [*pairwise(ring)]
    strongest = [max(e["channels"], key=lambda c: c["weight"])["channel"] for e in edges.values()]
    assert strongest == ["contacts", "titles", "contacts"]
    value = 1.0
    for hop, (name, edge) in enumerate(zip(ring[1:], edges.values(), strict=True), start=1):
        assert edge["weight"] == pytest.approx(sum(c["weight"] for c in edge["channels"]), abs=0.01)
        value *= edge["probability"] * (0.95 if hop > 1 else 1)
        assert by_id[name]["probability"] == pytest.approx(value, abs=1e-5)
        assert (by_id[name]["hop"], by_id[name]["path"]) == (hop, ring[: hop + 1])
    last, seed = by_id[ring[3]], by_id[ring[0]]
    weakest = min(edges, key=lambda pair: edges[pair]["probability"])
    assert last["weakest_link"] == [*weakest]
    assert last["leaves_if"] == {
        "edges": [[*pair] for pair in edges],
        "members": ring[:3],
        "verdicts": ring[:1],
    }
    assert (seed["hop"], seed["weakest_link"], seed["verdict"]) == (0, None, None)


@pytest.mark.parametrize(
    ("query", "known", "stopped"),
    [
        ({"hops": 1}, 2, "hops"),
        ({"hops": 5}, 4, "exhausted"),
        ({"min_probability": 0.8}, 3, "exhausted"),
        ({"kinds": ["titles", "text"]}, 1, "exhausted"),
        ({"kinds": ["contacts"]}, 2, "exhausted"),
        ({"budget": 1}, 1, "budget"),
        ({"filter": {"must_not": [{"field": "streamer_id", "any": ["ring-3"]}]}}, 2, "exhausted"),
    ],
)
def test_an_expansion_goes_as_far_as_it_is_asked_to(
    api: Api, ring: list[str], query: dict[str, Any], known: int, stopped: str
) -> None:
    case = expanded(api, ring[0], **query)
    assert list(members(api, case)) == ring[:known]
    assert case["run"]["stopped_because"] == stopped
    asked = case["run"]["query"]
    assert {name: asked[name] for name in query if name != "filter"} == {
        name: value for name, value in query.items() if name != "filter"
    }


def test_nobody_is_reached_through_those_who_are_excluded_or_beyond_the_fan_out(api: Api) -> None:
    names = chain(api, "out")
    case = act(api, begin(api, names[0], exclude=[names[2]]), "expand")
    assert (case["exclude"], list(members(api, case))) == ([names[2]], names[:2])
    both = expanded(api, names[1], fan_out=1, hops=1)
    # Of the edges around the seed the strongest alone is kept.
    assert list(members(api, both)) == names[1:3]


def test_what_hundreds_show_is_no_evidence(api: Api) -> None:
    agency = [shows(f"agency-{i}", "agency") for i in range(258)]
    few = [shows(f"desk-{i}", "desk") for i in range(6)]
    api.wait_until_grouped(api.write([*agency, *few]))
    assert list(members(api, expanded(api, "agency-0"))) == ["agency-0"]
    assert len(members(api, expanded(api, "desk-0", hops=1))) == 6


def test_verdicts_are_respected_by_the_next_run_and_are_taken_back(api: Api) -> None:
    one, two, three, four = chain(api, "verdict")
    case = decide(api, expanded(api, one), two, "cleared", "an old friend")
    assert list(members(api, case)) == [one, two, three, four]

    case = act(api, case, "rerun")

    assert list(members(api, case)) == [one]
    assert causes(case) == {("left", name): ("verdict", [two]) for name in (two, three, four)}
    case = act(api, case, "undo")
    assert (case["undone"]["kind"], case["undone"]["number"]) == ("rerun", 4)
    assert members(api, case)[two]["verdict"]["note"] == "an old friend"
    case = act(api, case, "undo")
    assert (case["undone"]["streamer_id"], case["undone"]["new"]["verdict"]) == (two, "cleared")
    assert members(api, case)[two]["verdict"] is None
    case = act(api, decide(api, case, four, "confirmed"), "expand", hops=1)
    by_id = members(api, case)
    assert list(by_id) == [one, four, two, three]
    assert by_id[three]["path"] == [four, three]
    told = events(api, case)
    assert [(each["number"], each["kind"], each["undoes"]) for each in told] == [
        (1, "created", None),
        (2, "expanded", None),
        (3, "verdict", None),
        (4, "rerun", None),
        (5, "undone", 4),
        (6, "undone", 3),
        (7, "verdict", None),
        (8, "expanded", None),
    ]
    assert (told[2]["streamer_id"], told[2]["old"]) == (two, None)
    assert (told[5]["old"]["note"], told[5]["new"]) == ("an old friend", None)
    assert (told[7]["old"]["query"]["hops"], told[7]["new"]["query"]["hops"]) == (3, 1)


def test_who_decided_is_kept_and_the_same_verdict_again_adds_nothing(
    api: Api, ring: list[str]
) -> None:
    case = expanded(api, ring[0])
    desk = api.with_key("cases")
    case = decide(desk, case, ring[1], "unsure", "ask Kim")
    made = verdicts(api, case)[ring[1]]
    assert made["key_name"] == "t"
    assert made["key_id"] != case["key_id"]
    assert made["profile_changed"] is False
    assert decide(desk, case, ring[1], "unsure", "ask Kim") == case
    assert (shown(api, case)["revision"], verdicts(api, case)) == (
        case["revision"],
        {ring[1]: made},
    )
    case = decide(api, case, ring[1], "unsure", "ask Kim")  # another key says so too
    assert verdicts(api, case)[ring[1]]["key_id"] == shown(api, case)["key_id"]
    assert [each["key_name"] for each in events(api, case)[2:]] == [
        "t",
        events(api, case)[0]["key_name"],
    ]


def test_an_expansion_behind_another_one_can_not_be_taken_back(api: Api, ring: list[str]) -> None:
    case = decide(api, expanded(api, ring[0], hops=3), ring[3], "cleared")
    for hops in (2, 1):
        case = act(api, case, "expand", hops=hops)
    case = act(api, case, "undo")
    assert (case["undone"]["number"], case["run"]["query"]["hops"]) == (5, 2)
    api.refused(
        "POST", f"{path_of(case)}:undo", headers=state(case), status=409, code="nothing_to_undo"
    )
    old = events(api, case)[3]["old"]["query"]
    del old["decay"]
    case = decide(api, act(api, case, "expand", **old), ring[3], "unsure")
    assert act(api, case, "expand", **old)["run"]["members"] == 4


def test_a_case_says_that_other_verdicts_hold_than_when_it_was_expanded(
    api: Api, ring: list[str]
) -> None:
    case = expanded(api, ring[0])
    for verdict, outdated in (("unsure", False), ("cleared", True), ("confirmed", True)):
        case = decide(api, case, ring[1], verdict)
        assert shown(api, case)["outdated"] is outdated
    about = json.loads(files_of(exported(api, case, "zip"))["case.json"])
    assert about["outdated"] is True
    told = [api.ok("GET", path_of(case), params={"limit": 3})]
    told.append(api.ok("GET", path_of(case), params={"limit": 3, "cursor": told[0]["next_cursor"]}))
    assert [page["outdated"] for page in told] == [True, None]
    assert shown(api, act(api, case, "rerun"))["outdated"] is False


def test_a_rerun_of_what_did_not_change_changes_nothing_byte_for_byte(
    api: Api, ring: list[str]
) -> None:
    case = expanded(api, ring[0])
    before = [exported(api, case, kind) for kind in ("zip", "csv", "ndjson")]
    ran = act(api, case, "rerun")
    assert ran["revision"] == case["revision"]
    assert causes(ran) == {}
    assert [exported(api, case, kind) for kind in ("zip", "csv", "ndjson")] == before


def test_a_rerun_names_who_joined_and_left_and_why(api: Api) -> None:
    one, two, three, four = chain(api, "why")
    case = expanded(api, one)
    late = shows("why-late", "why a")
    api.wait_until_grouped(api.write([late, shows(three, "", "why titles of others")]))

    case = act(api, case, "rerun")

    told = causes(case)
    assert told["joined", "why-late"] == ("joined", ["why-late"])
    assert told["left", three] == ("profile_changed", [three])
    assert told["left", four] == ("profile_changed", [three])
    assert (case["differences"]["joined_total"], case["differences"]["left_total"]) == (1, 2)
    api.wait_until_grouped(api.ok("DELETE", f"/v1/streamers/{two}")["sequence"])
    case = act(api, case, "rerun")
    assert causes(case)["left", two] == ("deleted", [two])
    case = act(api, case, "expand", min_probability=0.999)
    assert causes(case) == {("left", "why-late"): ("threshold", [])}
    assert list(members(api, case)) == [one]


def test_verdicts_outlast_a_deletion_and_an_erasure_removes_the_copy(api: Api) -> None:
    one, two, *_ = chain(api, "outlast")
    case = decide(api, expanded(api, one), two, "confirmed", "same bank account")
    assert json.loads(files_of(exported(api, case, "zip"))[f"profiles/{two}.json"])
    api.wait_until_grouped(api.ok("DELETE", f"/v1/streamers/{two}")["sequence"])
    case = act(api, case, "rerun")
    tombstone = members(api, case)[two]
    assert (tombstone["state"], tombstone["verdict"]["note"]) == ("deleted", "same bank account")
    case = act(api, case, "undo")
    assert f"profiles/{two}.json" in files_of(exported(api, case, "zip"))

    erased = api.ok("DELETE", f"/v1/streamers/{two}", params={"erase": "true"})

    assert "cases" in {each["where"] for each in erased["persists"]}
    files = files_of(exported(api, case, "zip"))
    assert f"profiles/{two}.json" not in files
    states = {each["streamer_id"]: each["state"] for each in lines(files["profiles.ndjson"])}
    assert (states[two], states[one]) == ("erased", "as_seen")
    assert verdicts(api, case)[two]["note"] == "same bank account"


def test_a_cleared_account_that_somebody_else_has_is_told_until_it_is_decided_on(
    api: Api,
) -> None:
    one, two, *_ = chain(api, "sold")
    case = act(api, decide(api, expanded(api, one), two, "cleared"), "rerun")
    assert (verdicts(api, case)[two]["profile_changed"], len(causes(case))) == (False, 3)
    api.ok("DELETE", f"/v1/streamers/{two}", params={"erase": "true"})
    assert verdicts(api, case)[two]["profile_changed"] is False  # nobody has it
    buyer = {**shows("sold-buyer", "sold a"), "streamer_id": two}
    api.wait_until_grouped(api.write([buyer]))

    for _ in range(2):
        ran = act(api, case, "rerun")
        assert causes(ran) == {("changed", two): ("profile_changed", [two])}
        assert (list(members(api, ran)), ran["revision"]) == ([one], case["revision"])
    assert verdicts(api, case)[two]["profile_changed"] is True
    (line,) = lines(files_of(exported(api, case, "zip"))["verdicts.ndjson"])
    assert line["profile_changed"] is True
    case = decide(api, case, two, "cleared")  # the same, of another profile
    assert verdicts(api, case)[two]["profile_changed"] is False
    assert causes(act(api, case, "rerun")) == {}


def test_a_verdict_is_about_the_profile_that_the_case_shows(api: Api) -> None:
    one, two, *_ = chain(api, "about")
    case = expanded(api, one)
    api.write([{**shows("about-other", "about a"), "streamer_id": two}])
    case = decide(api, case, two, "confirmed")
    assert members(api, case)[two]["verdict"]["profile_changed"] is True
    rows = csv.DictReader(io.StringIO(exported(api, case, "csv").decode("utf-8-sig")))
    assert {row["streamer_id"]: row["profile_changed"] for row in rows if row["verdict"]} == {
        two: "true"
    }
    api.wait_until_grouped(api.ok("GET", "/readyz")["index_sequence"])
    case = decide(api, act(api, shown(api, case), "rerun"), two, "confirmed")
    assert members(api, case)[two]["verdict"]["profile_changed"] is False


@pytest.mark.parametrize(("method", "route", "body"), OF_A_CASE[4:])
def test_a_change_is_of_the_state_that_was_read(
    api: Api, ring: list[str], method: str, route: str, body: Any
) -> None:
    case = expanded(api, ring[0])
    path = path_of(case) + route.replace("somebody", ring[1])
    late = decide(api, case, ring[1], "confirmed")
    weak = {"If-Match": f'W/"{late["revision"]}"'}
    api.refused(method, path, body, headers=state(case), status=412, code="case_changed")
    api.refused(method, path, body, headers=weak, status=412, code="version_conflict")
    api.refused(method, path, body, status=428, code="if_match_needed")
    now = shown(api, case)
    assert (now["revision"], now["events"]) == (late["revision"], 3)
    either = {"If-Match": f'"{case["revision"]}", "{late["revision"]}"'}
    answer = api.request(method, path, json=body, headers=either)
    assert answer.status_code in (200, 202, 204), answer.text


def test_members_cases_events_and_verdicts_come_in_pages(api: Api) -> None:
    names = chain(api, "paged")
    case = expanded(api, names[0])
    for name in reversed(names):
        case = decide(api, case, name, "unsure", name)
    path = path_of(case)
    pages = [*api.pages(path, "members", limit=3)]
    assert [[m["streamer_id"] for m in page] for page in pages] == [names[:3], names[3:]]
    edges = [[e["b"] for e in page] for page in api.pages(path, "edges", limit=3)]
    assert edges == [names[1:3], names[3:]]
    judged = [*api.pages(f"{path}/verdicts", "verdicts", limit=3)]
    assert [[v["note"] for v in page] for page in judged] == [names[:3], names[3:]]
    numbers = [
        [e["number"] for e in page] for page in api.pages(f"{path}/events", "events", limit=4)
    ]
    assert numbers == [[1, 2, 3, 4], [5, 6]]
    others = [begin(api, names[0], title=f"paged {i}")["case_id"] for i in range(3)]
    ids = [[c["case_id"] for c in page] for page in api.pages("/v1/cases", "cases", limit=2)]
    assert all(len(page) == 2 for page in ids[:-1])
    listed = [each for page in ids for each in page]
    assert listed == sorted(set(listed))
    assert {*others, case["case_id"]} <= {*listed}
    known = {each["case_id"]: each for each in api.all("/v1/cases", "cases")}
    about = shown(api, case)
    assert known[case["case_id"]] == {name: about[name] for name in known[case["case_id"]]}


def test_a_page_of_members_ends_with_the_expansion_that_it_was_of(
    api: Api, ring: list[str]
) -> None:
    case, other = expanded(api, ring[0]), expanded(api, ring[0])
    path = path_of(case)
    cursor = {"cursor": api.ok("GET", path, params={"limit": 1})["next_cursor"]}
    api.refused("GET", path_of(other), params=cursor, status=422, code="invalid_request")
    act(api, case, "expand", hops=1)
    api.refused("GET", path, params=cursor, status=410, code="cursor_expired")


def test_pages_of_large_cases_and_changes_are_short_and_miss_nothing(
    api: Api, ring: list[str]
) -> None:
    many = [f"{i:0128}" for i in range(1000)]
    large = [begin(api, ring[0], exclude=many) for _ in range(3)]
    pages = [*api.pages("/v1/cases", "cases", limit=200)]
    assert len(pages) > 1
    known = {case["case_id"]: case for page in pages for case in page}
    assert [known[case["case_id"]] for case in large] == large
    case = large[0]
    for i in range(45):
        case = decide(api, case, ring[0], "confirmed", f"{i} {'界' * 900}")
    told = [*api.pages(f"{path_of(case)}/events", "events", limit=1000)]
    assert len(told) > 1
    flat = [event for page in told for event in page]
    assert [event["number"] for event in flat] == [*range(1, 47)]
    notes = [event["new"]["note"] for event in flat[1:]]
    assert [event["old"]["note"] for event in flat[2:]] == notes[:-1]


def test_a_table_is_for_spreadsheets_and_lines_have_the_edges(api: Api, ring: list[str]) -> None:
    case = decide(api, expanded(api, ring[0]), ring[1], "confirmed", '=HYPERLINK("x","y")')
    table = exported(api, case, "csv")
    assert table.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(table.decode("utf-8-sig"))))
    by_id = members(api, case)
    assert [row["streamer_id"] for row in rows] == ring
    for row in rows:
        member = by_id[row["streamer_id"]]
        assert row["path"].split() == member["path"]
        assert float(row["probability"]) == pytest.approx(member["probability"])
        assert (row["state"], row["hop"]) == ("stored", str(member["hop"]))
        assert row["weakest_link"].split() == (member["weakest_link"] or [])
    assert (rows[1]["verdict"], rows[1]["note"]) == ("confirmed", '\'=HYPERLINK("x","y")')
    assert (rows[0]["verdict"], rows[0]["profile_changed"]) == ("", "")
    told = {each["streamer_id"]: each for each in lines(exported(api, case, "ndjson"))}
    edges = [edge for each in told.values() for edge in each.pop("edges")]
    assert (told, edges) == (by_id, shown(api, case)["edges"])


@pytest.fixture(scope="module")
def archive(api: Api, ring: list[str]) -> bytes:
    """Of a case of four members, of whom one was decided on."""
    return exported(api, decide(api, expanded(api, ring[0]), ring[1], "confirmed"), "zip")


def verified(content: bytes, file: Path) -> tuple[int, dict[str, Any]]:
    """How `verify-case` ends, and what it says as JSON."""
    file.write_bytes(content)
    ended = run("verify-case", file, "--json")
    assert ended.returncode == 0 or ended.stderr.startswith("error: "), ended.stderr
    return ended.returncode, json.loads(ended.stdout) if ended.stdout else {}


def archive_of(files: dict[str, bytes]) -> bytes:
    """Files as an archive of which each byte is accounted for."""
    listed = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in files.items()
    }
    manifest = json.dumps({"format": 1, "files": listed}, indent=1).encode()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for name, content in {**files, "manifest.json": manifest}.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, content)
    return made.getvalue()


def test_an_archive_has_what_was_seen_and_verifies(
    api: Api, ring: list[str], archive: bytes, tmp_path: Path
) -> None:
    files = files_of(archive)
    case = json.loads(files["case.json"])
    assert (case["run"]["query"]["hops"], case["run"]["members"]) == (3, 4)
    assert [each["streamer_id"] for each in lines(files["members.ndjson"])] == ring
    assert lines(files["edges.ndjson"]) == shown(api, case)["edges"]
    assert [each["streamer_id"] for each in lines(files["verdicts.ndjson"])] == ring[1:2]
    assert lines(files["events.ndjson"]) == events(api, case)
    for each in lines(files["profiles.ndjson"]):
        content = files[f"profiles/{each['streamer_id']}.json"]
        assert (each["state"], each["sha256"]) == ("as_seen", hashlib.sha256(content).hexdigest())
        stored = api.ok("GET", f"/v1/streamers/{each['streamer_id']}")["profile"]
        assert json.loads(content)["bio"] == stored["bio"]
    status, told = verified(archive, tmp_path / "case.zip")
    assert (status, told) == (
        0,
        {
            "case_id": case["case_id"],
            "members": 4,
            "edges": 3,
            "events": 3,
            "profiles": 4,
            "changed": 0,
        },
    )
    *_, entry = (
        each
        for each in api.ok("GET", f"/v1/audit?streamer_id={ring[3]}")["entries"]
        if case["case_id"] in each["ids"]
    )
    assert (entry["action"], entry["ids"][1:], entry["results"]) == ("export zip", ring, 4)


def _without_an_edge(files: dict[str, bytes]) -> None:
    files["edges.ndjson"] = b"".join(files["edges.ndjson"].splitlines(keepends=True)[1:])


def _another_profile(files: dict[str, bytes]) -> None:
    files["profiles/ring-2.json"] = files["profiles/ring-3.json"]


@pytest.mark.parametrize("change", [_without_an_edge, _another_profile])
def test_an_archive_of_files_that_do_not_fit_each_other_is_refused(
    archive: bytes, tmp_path: Path, change: Callable[[dict[str, bytes]], None]
) -> None:
    files = files_of(archive)
    del files["manifest.json"]
    assert archive_of(files) == archive
    change(files)
    assert verified(archive_of(files), tmp_path / "case.zip") == (1, {})


@pytest.mark.parametrize("place", [40, -40])
def test_a_byte_of_an_archive_that_differs_shows(
    archive: bytes, tmp_path: Path, place: int
) -> None:
    content = bytearray(archive)
    content[place] ^= 4
    assert verified(bytes(content), tmp_path / "case.zip") == (1, {})


def test_a_deleted_case_leaves_nothing(api: Api, ring: list[str]) -> None:
    case, other = expanded(api, ring[0]), expanded(api, ring[0])
    job = api.ok("POST", f"{path_of(case)}:expand", headers={**state(case), **ASYNC}, status=202)
    api.finished(job)
    kept = api.ok("POST", f"{path_of(other)}:expand", headers={**state(other), **ASYNC}, status=202)
    api.finished(kept)
    api.ok("DELETE", path_of(case), headers={"If-Match": "*"}, status=204)
    for method, route, body in OF_A_CASE:
        path = path_of(case) + route
        api.refused(
            method, path, body, headers={"If-Match": "*"}, status=404, code="case_not_found"
        )
    assert case["case_id"] not in {each["case_id"] for each in api.all("/v1/cases", "cases")}
    api.refused("GET", f"/v1/jobs/{job['job_id']}", status=404, code="job_not_found")
    assert api.ok("GET", f"/v1/jobs/{kept['job_id']}")["state"] == "succeeded"


def test_an_expansion_is_a_job_for_whoever_prefers_one(api: Api, ring: list[str]) -> None:
    case = begin(api, ring[0])
    assert shown(api, case)["job_id"] is None
    for action, body in (("expand", {"hops": 2}), ("rerun", None)):
        headers = {"If-Match": shown_etag(api, case), **ASYNC}
        answer = api.post(f"{path_of(case)}:{action}", json=body, headers=headers)
        assert answer.status_code == 202, answer.text
        assert answer.headers["Preference-Applied"] == "respond-async"
        assert answer.headers["Location"] == f"/v1/jobs/{answer.json()['job_id']}"
        assert answer.json()["kind"] == "cases"
        job = api.finished(answer.json())
        assert job["result"]["run"]["members"] == 3
        assert job["result"]["differences"]["joined"] == []
        assert shown(api, case)["job_id"] is None
    assert list(members(api, case)) == ring[:3]
    assert [each["kind"] for each in events(api, case)] == ["created", "expanded"]
    reader, desk = api.with_key("streamers:read"), api.with_key("streamers:read", "cases")
    path = f"/v1/jobs/{job['job_id']}"
    assert reader.ok("GET", path)["result"] is None
    assert desk.ok("GET", path)["result"]["title"] == "ring"
    reader.refused("POST", f"{path}:cancel", status=403, code="missing_scope")


def shown_etag(api: Api, case: Case) -> str:
    return api.get(path_of(case)).headers["ETag"]


@pytest.mark.parametrize("prefer", [{}, ASYNC])
def test_an_expansion_that_is_sent_again_is_carried_out_once(
    api: Api, ring: list[str], prefer: dict[str, str]
) -> None:
    case = begin(api, ring[0])
    path = f"{path_of(case)}:expand"
    headers = {**state(case), "Idempotency-Key": f'"expand-{len(prefer)}"', **prefer}
    first = api.post(path, headers=headers)
    if first.status_code == 202:
        api.finished(first.json())
    again = api.post(path, headers=headers)
    assert again.status_code == first.status_code, again.text
    if first.status_code == 202:
        assert (again.json()["job_id"], again.json()["state"]) == (
            first.json()["job_id"],
            "succeeded",
        )
    else:
        assert (again.json(), again.headers["ETag"]) == (first.json(), first.headers["ETag"])
    assert [each["kind"] for each in events(api, case)] == ["created", "expanded"]
    api.refused(
        "POST", path, {"hops": 1}, headers=headers, status=422, code="idempotency_key_reused"
    )


def test_a_case_is_begun_once_by_its_key(api: Api, ring: list[str]) -> None:
    headers, body = {"Idempotency-Key": '"case-1"'}, {"title": "once", "seeds": ring[:1]}
    first, again = (api.post("/v1/cases", json=body, headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert (first.json(), first.headers["ETag"]) == (again.json(), again.headers["ETag"])
    other = {**body, "seeds": ring[1:2]}
    api.refused(
        "POST", "/v1/cases", other, headers=headers, status=422, code="idempotency_key_reused"
    )
    assert api.ok("POST", "/v1/cases", body, status=201)["case_id"] != first.json()["case_id"]
    api.ok("DELETE", path_of(first.json()), headers={"If-Match": "*"}, status=204)
    later = api.ok("POST", "/v1/cases", body, headers=headers, status=201)
    assert later["case_id"] != first.json()["case_id"]


@pytest.mark.parametrize(
    ("changes", "status", "code", "pointers"),
    [
        ({"seeds": ["ring-1"], "exclude": ["ring-1"]}, 422, "invalid_request", ["/seeds/0"]),
        ({"seeds": ["ring-2", "ring-1", "ring-2"]}, 422, "invalid_request", ["/seeds/2"]),
        ({"seeds": ["ring-1", "x", "y"]}, 404, "streamer_not_found", ["/seeds/1", "/seeds/2"]),
        ({"seeds": []}, 422, "invalid_request", ["/seeds"]),
        ({"seeds": [f"s{i}" for i in range(101)]}, 422, "invalid_request", ["/seeds"]),
        ({"seeds": ["a b"]}, 422, "invalid_request", ["/seeds/0"]),
        ({"exclude": [f"s{i}" for i in range(1001)]}, 422, "invalid_request", ["/exclude"]),
        ({"title": " \t"}, 422, "invalid_request", ["/title"]),
        ({"title": "x" * 201}, 422, "invalid_request", ["/title"]),
        ({"titel": "t"}, 422, "invalid_request", ["/titel"]),
    ],
)
def test_a_case_that_can_not_be_begun(
    api: Api,
    ring: list[str],
    changes: dict[str, Any],
    status: int,
    code: str,
    pointers: list[str],
) -> None:
    body = {"title": "t", "seeds": ring[:1], **changes}
    problem = api.refused("POST", "/v1/cases", body, status=status, code=code)
    assert wrong_fields(problem) == pointers


@pytest.mark.parametrize(
    ("method", "route", "body", "field"),
    [
        ("POST", ":expand", {"hops": 0}, "/hops"),
        ("POST", ":expand", {"hops": 6}, "/hops"),
        ("POST", ":expand", {"kinds": []}, "/kinds"),
        ("POST", ":expand", {"kinds": ["phone"]}, "/kinds/0"),
        ("POST", ":expand", {"min_probability": 0}, "/min_probability"),
        ("POST", ":expand", {"fan_out": 257}, "/fan_out"),
        ("POST", ":expand", {"budget": 20_001}, "/budget"),
        ("POST", ":expand", {"depth": 2}, "/depth"),
        ("POST", ":rerun", None, ""),  # it was never expanded
        ("PUT", "/members/ring-1", {"verdict": "guilty"}, "/verdict"),
        ("PUT", "/members/ring-1", {}, "/verdict"),
        ("PUT", "/members/ring-1", {"verdict": "unsure", "note": "x" * 1001}, "/note"),
        ("GET", "?limit=0", None, "limit"),
        ("GET", "?limit=201", None, "limit"),
        ("GET", "?cursor=nonsense", None, "cursor"),
        ("GET", "/verdicts?limit=1001", None, "limit"),
        ("GET", "/events?limit=1001", None, "limit"),
        ("GET", "/events?cursor=nonsense", None, "cursor"),
        ("GET", "/export?format=xlsx", None, "format"),
    ],
)
def test_what_is_wrong_is_named_and_changes_nothing(
    api: Api, ring: list[str], method: str, route: str, body: Any, field: str
) -> None:
    case = begin(api, ring[0])
    options: dict[str, Any] = {"status": 422, "code": "invalid_request"}
    problem = api.refused(method, path_of(case) + route, body, headers=state(case), **options)
    assert wrong_fields(problem) == [field]
    assert shown(api, case)["revision"] == case["revision"]


def test_what_a_new_case_has_not_is_neither_decided_on_nor_taken_back(
    api: Api, ring: list[str]
) -> None:
    case, verdict = begin(api, ring[0]), {"verdict": "cleared"}
    path, seen = path_of(case), state(case)
    nothing: dict[str, Any] = {"status": 409, "code": "nothing_to_undo"}
    api.refused("POST", f"{path}:undo", headers=seen, **nothing)
    stranger = f"{path}/members/{ring[3]}"
    api.refused("PUT", stranger, verdict, headers=seen, status=404, code="not_in_case")
    decide(api, case, ring[0], "unsure")  # a seed is in it before it is expanded


@pytest.mark.parametrize(("method", "route", "body"), OF_A_CASE)
def test_a_case_that_is_not_there(api: Api, method: str, route: str, body: Any) -> None:
    everybody = {"If-Match": "*"}
    api.refused(method, UNKNOWN + route, body, headers=everybody, status=404, code="case_not_found")


def test_a_key_without_the_scope_sees_and_changes_nothing(api: Api, ring: list[str]) -> None:
    case = expanded(api, ring[0])
    others = api.with_key("streamers:read", "streamers:write", "search", "duplicates", "explain")
    for method, route, body in [*OF_A_CASE]:
        path = path_of(case) + route
        refused = others.refused(
            method, path, body, headers={"If-Match": "*"}, status=403, code="missing_scope"
        )
        assert "case" in refused["detail"]
    body = {"title": "t", "seeds": ring[:1]}
    others.refused("POST", "/v1/cases", body, status=403, code="missing_scope")
    others.refused("GET", "/v1/cases", status=403, code="missing_scope")
    desk = api.with_key("cases")
    assert desk.ok("GET", path_of(case))["total_known"] == 4
    export = f"{path_of(case)}/export"
    assert desk.get(export, params={"format": "csv"}).status_code == 200
    desk.refused("GET", export, params={"format": "zip"}, status=403, code="missing_scope")
    assert api.with_key("cases", "streamers:read").get(export).content[:2] == b"PK"
