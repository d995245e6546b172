"""Lists of campaigns: who is on them and why, saved questions, their runs, and their files."""

import json
from typing import Any

import pytest

from tests.support.api import Api, wrong_fields
from tests.support.bundles import DIM
from tests.support.tables import csv_of, facts_of, sheets_of

WORDS = ["kitchen", "recipe", "noodles", "soup", "美食", "家常菜", "红烧肉", "做饭"]
COOKS = [f"cook-{i:02d}" for i in range(12)]
SEED = COOKS[0]
ASYNC = {"Prefer": "respond-async"}
FILES = ["csv", "xlsx", "ndjson"]


def of_desk(desk: str) -> dict[str, Any]:
    """A filter that keeps the streamers of one test, or of those that read alone."""
    return {"must": [{"field": "desk", "any": [desk]}]}


def cook(i: int, **more: Any) -> dict[str, Any]:
    return {
        "streamer_id": f"cook-{i:02d}",
        "name": f"cook {i}",
        "tags": ["cooking", WORDS[i % 8]],
        "bio": f"{WORDS[i % 8]} {WORDS[(i * 3 + 1) % 8]} number{i}",
        "category": "cooking" if i % 3 else "travel",
        "language": "en",
        "attributes": {"followers": 100 * i, "desk": "cooks"},
        **more,
    }


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return {"STREAMER_LIMITS__VISIBLE_TIMEOUT_MS": "300"}


@pytest.fixture(scope="module", autouse=True)
def cooks(api: Api) -> None:
    """Twelve cooks, each with other words, who are not changed."""
    api.write(cook(i) for i in range(12))


def question(*seeds: str, desk: str = "cooks", **more: Any) -> dict[str, Any]:
    return {
        "positive": [{"streamer_id": seed} for seed in seeds or (SEED,)],
        "filter": of_desk(desk),
        **more,
    }


def preview(api: Api, *seeds: str, **more: Any) -> Any:
    return api.ok("POST", "/v1/lists:preview", question(*seeds, **more))


def save(api: Api, name: str, *seeds: str, **more: Any) -> None:
    api.put(f"/v1/lists/{name}", json={"question": question(*seeds, **more)}).raise_for_status()


def run(api: Api, name: str, **how: Any) -> Any:
    return api.ok("POST", f"/v1/lists/{name}:run", how)


def ids_of(answer: Any) -> list[str]:
    return [row["streamer_id"] for row in answer["rows"]]


def desk_of_copies(api: Api, desk: str, count: int) -> list[str]:
    """Store cooks of a desk of their own; their ids."""
    ids = [f"{desk}-{i}" for i in range(count)]
    api.write(
        cook(i, streamer_id=name, attributes={"desk": desk, "followers": i})
        for i, name in enumerate(ids)
    )
    return ids


def test_a_list_has_the_nearest_in_order_with_what_was_asked_of_them(api: Api) -> None:
    answer = preview(api, k=5, fields=["name", "category", "followers", "tags"])
    near = {"positive": [{"streamer_id": SEED}], "filter": of_desk("cooks"), "exact": True}
    hits = api.ok("POST", "/v1/similar", {**near, "k": 5})["hits"]
    assert ids_of(answer) == [hit["streamer_id"] for hit in hits]
    assert [row["rank"] for row in answer["rows"]] == [1, 2, 3, 4, 5]
    for row, hit in zip(answer["rows"], hits, strict=True):
        assert row["score"] == pytest.approx(hit["score"])
        assert row["precision"] == pytest.approx(hit["precision"])
        shown = cook(int(row["streamer_id"][-2:]))
        followers = shown["attributes"]["followers"]
        told = {name: shown[name] for name in ("name", "category", "tags")}
        assert row["fields"] == {**told, "followers": followers}
        assert (row["why"], row["copies"], row["is_new"]) == (None, [], None)
    assert (answer["complete"], answer["warnings"], answer["groups"]) == (True, [], [])
    assert answer["provenance"]["key_name"]
    assert answer["provenance"]["run"] is None


def test_seeds_are_profiles_and_vectors_and_unwanted_ones_too(api: Api) -> None:
    assert len(preview(api)["rows"]) == 11
    assert len(preview(api, COOKS[0], COOKS[1], strategy="best_score")["rows"]) == 10
    profile = {"profile": {"bio": "kitchen soup", "tags": ["cooking"]}}
    answer = preview(api, positive=[profile], negative=[{"streamer_id": COOKS[1]}])
    assert sorted(ids_of(answer)) == sorted({*COOKS} - {COOKS[1]})
    by_vector = preview(api, positive=[{"vector": api.embedding(SEED)}], k=3)
    assert ids_of(by_vector) == [SEED, *ids_of(preview(api, k=2))]


def test_who_is_excluded_is_not_on_it_and_a_misspelt_id_is_named(api: Api) -> None:
    everybody = ids_of(preview(api))
    body = question(exclude={"ids": [everybody[0], "cook-99"]}, fields=["folowers"], group_by="nme")
    answer = api.post("/v1/lists:preview", json=body)
    told = answer.json()
    assert ids_of(told) == everybody[1:]
    assert told["left_out"]["excluded"] == 2
    misspelt = ("cook-99", "folowers", "nme")
    assert len(told["warnings"]) == 3
    assert all(name in text for name, text in zip(misspelt, told["warnings"], strict=True))
    assert json.loads(answer.headers["x-warnings"]) == told["warnings"]
    assert {tuple(row["fields"].items()) for row in told["rows"]} == {(("folowers", None),)}
    assert "x-warnings" not in api.post("/v1/lists:preview", json=question()).headers


def test_who_was_written_to_is_left_out_from_that_time_on(api: Api) -> None:
    ids = desk_of_copies(api, "mailed", 5)
    everybody = ids_of(preview(api, ids[0], desk="mailed"))
    records = [
        api.ok("POST", "/v1/outreach", {"ids": [everybody[i]], "at": at}, status=201)
        for i, at in ((0, 1000.0), (1, 2000.0))
    ]

    def since(at: float) -> list[str]:
        return ids_of(preview(api, ids[0], desk="mailed", exclude={"outreach_since": at}))

    assert since(0) == everybody[2:]
    assert since(1000) == everybody[2:]
    assert since(1000.5) == [everybody[0], *everybody[2:]]
    assert since(2000.5) == everybody
    for record in records:
        api.ok("DELETE", f"/v1/outreach/{record['outreach_id']}")
    assert since(0) == everybody


def test_no_category_has_more_rows_than_it_may_and_groups_are_together(api: Api) -> None:
    bound = {"by": "category", "max_per_value": 2}
    answer = preview(api, diversify=bound, group_by="category")
    groups = [row["group"] for row in answer["rows"]]
    assert sorted(groups) == ["cooking", "cooking", "travel", "travel"]
    assert groups == sorted(groups, key=groups.index)
    assert answer["rows"][0]["rank"] == 1
    assert answer["groups"] == [{"value": v, "rows": 2} for v in dict.fromkeys(groups)]
    assert answer["left_out"]["over_max_per_value"] == 7
    plain = [row for row in preview(api)["rows"] if row["fields"]["category"] == "cooking"]
    kept = [row for row in answer["rows"] if row["group"] == "cooking"]
    assert [row["streamer_id"] for row in kept] == [row["streamer_id"] for row in plain[:2]]
    each_tag = preview(api, diversify={"by": "tags", "max_per_value": 1})
    assert ids_of(each_tag) == ids_of(preview(api, k=1))  # all have one tag in common
    nobody_has_it = preview(api, diversify={"by": "shoe_size", "max_per_value": 3})
    assert len(nobody_has_it["rows"]) == 3


@pytest.mark.parametrize("method", ["mmr", "dpp"])
def test_variety_goes_from_relevance_alone_to_rows_that_are_unlike(api: Api, method: str) -> None:
    plain = preview(api, k=6)

    def varied(share: float, **more: Any) -> Any:
        return preview(api, k=6, diversify={"method": method, "lambda": share}, **more)

    assert ids_of(varied(1)) == ids_of(plain)
    various = varied(0)
    assert ids_of(various)[0] == ids_of(plain)[0]

    def alike(answer: Any) -> float:
        """The mean cosine of all pairs of rows."""
        vectors = [api.embedding(name) for name in ids_of(answer)]
        pairs = [(a, b) for i, a in enumerate(vectors) for b in vectors[:i]]
        return sum(sum(map(float.__mul__, a, b)) for a, b in pairs) / len(pairs)

    assert alike(various) < alike(plain)
    unwanted = varied(0.9, strategy="sum", negative=[{"streamer_id": COOKS[1]}])
    assert len(ids_of(unwanted)) == 6


def test_it_ends_or_is_marked_where_it_stops_being_similar(api: Api) -> None:
    api.write(
        [
            cook(0, streamer_id="stop-0", attributes={"desk": "stop"}),
            cook(8, streamer_id="stop-1", attributes={"desk": "stop"}),
            {"streamer_id": "stop-2", "tags": ["music"], "attributes": {"desk": "stop"}},
        ]
    )
    marked = preview(api, "stop-0", desk="stop", stop={"at_precision": 0.5, "mark_only": True})
    assert ids_of(marked) == ["stop-1", "stop-2"]
    assert [row["beyond_stop"] for row in marked["rows"]] == [False, True]
    assert marked["stop"]["min_score"] == pytest.approx(0.5)
    assert marked["stop"]["at_least"] >= 0.5
    assert marked["stop"]["rows_within"] == 1
    assert marked["reached"] is None
    ended = preview(api, "stop-0", desk="stop", stop={"at_precision": 0.5})
    assert (ids_of(ended), ended["reached"]) == (["stop-1"], 1)


@pytest.mark.parametrize(
    ("limit", "name"),
    [
        ({"min_score": -1.0}, "min_score"),
        ({"min_precision": 0.5}, "min_precision"),
        ({"stop": {"at_precision": 0.5}}, "stop"),
    ],
)
def test_a_list_that_is_cut_says_how_many_reach_the_score(
    api: Api, limit: dict[str, Any], name: str
) -> None:
    whole = preview(api, k=11, **limit)
    reached = len(whole["rows"])
    assert reached > 1
    assert (whole["complete"], whole["reached"]) == (True, reached)
    answer = api.post("/v1/lists:preview?format=csv", json=question(k=1, **limit))
    assert len(csv_of(answer.content)) == 1
    because = answer.headers["x-incomplete-because"]
    assert str(reached) in because
    assert name in because
    cut = preview(api, k=1, **limit)
    assert (cut["complete"], cut["reached"], cut["incomplete_because"]) == (False, reached, because)
    passed_over = preview(api, k=11, diversify={"by": "category", "max_per_value": 1}, **limit)
    assert (passed_over["complete"], passed_over["reached"]) == (True, reached)


def test_of_copies_one_is_listed_and_none_of_those_of_seeds_and_excluded(api: Api) -> None:
    def ring(tag: str, bio: str, count: int) -> list[str]:
        ids = [f"{tag}-copy-{i}" for i in range(count)]
        profile = {"name": f"the {tag} channel", "bio": bio, "tags": [tag]}
        lines = [{"streamer_id": i, **profile, "attributes": {"desk": "copies"}} for i in ids]
        api.wait_until_grouped(api.write(lines))
        return ids

    music = ring("music", "guitar vocal cover concert", 4)
    travel = ring("travel", "mountain beach hostel train", 3)
    assert len(preview(api, SEED, desk="copies")["rows"]) == 7
    answer = preview(api, SEED, desk="copies", without_copies=True)
    copies = {row["streamer_id"]: row["copies"] for row in answer["rows"]}
    assert sorted(sorted([one, *others]) for one, others in copies.items()) == [music, travel]
    assert answer["left_out"] == {"excluded": 0, "copies": 5, "over_max_per_value": 0}
    table = api.post(
        "/v1/lists:preview?format=csv", json=question(SEED, desk="copies", without_copies=True)
    )
    assert {row["streamer_id"]: row["copies"].split("; ") for row in csv_of(table.content)} == (
        copies
    )
    excluded = preview(
        api, SEED, desk="copies", without_copies=True, exclude={"ids": [music[-1], "nobody"]}
    )
    assert not {*ids_of(excluded)} & {*music}
    assert excluded["left_out"] == {"excluded": 2, "copies": 5, "over_max_per_value": 0}
    of_seed = preview(api, travel[0], desk="copies", without_copies=True)
    assert len(ids_of(of_seed)) == 1
    assert ids_of(of_seed)[0] in music


def test_reasons_say_in_either_language_what_both_show(api: Api) -> None:
    for language, shared in (("en", "Shared tags: cooking"), ("zh", "共同标签：cooking")):
        answer = preview(api, explain="short", language=language)
        assert len(answer["rows"]) == 11
        assert all(shared in row["why"] for row in answer["rows"])
        assert all(row["reasons"] is None for row in answer["rows"])
    full = preview(api, COOKS[0], COOKS[1], strategy="best_score", k=3, explain="full")
    for row in full["rows"]:
        assert row["reasons"]["nearest_seed"] in COOKS[:2]
        assert "cooking" in row["reasons"]["shared"]["tags"]
        shares = [c["contribution"] or 0 for c in row["reasons"]["contributions"].values()]
        assert sum(shares) == pytest.approx(row["score"], abs=1e-4)
        assert row["why"]
    stranger = {"streamer_id": "silent", "language": "en", "bio": "raid boss", "tags": ["gaming"]}
    api.write([{**stranger, "attributes": {"desk": "silent"}}])
    (row,) = preview(api, SEED, desk="silent", explain="short")["rows"]
    assert "English" in row["why"]


UNWANTED = {"negative": [{"streamer_id": COOKS[1]}]}
BOTH = {"negative": [{"streamer_id": COOKS[1]}, {"streamer_id": SEED}]}
UNKNOWN = {"positive": [{"streamer_id": name} for name in (SEED, "nobody", "noone")]}
MANY = [f"{i:0100d}" for i in range(5000)]
INVALID, MISSING = (422, "invalid_request"), (404, "streamer_not_found")


@pytest.mark.parametrize(
    ("more", "refusal", "fields"),
    [
        ({"k": 10_001}, INVALID, ["/k"]),
        ({"k": 0}, INVALID, ["/k"]),
        ({"positive": []}, INVALID, ["/positive"]),
        ({"kk": 1}, INVALID, ["/kk"]),
        ({"diversify": {"by": "category"}}, INVALID, ["/diversify"]),
        ({"diversify": {"method": "dpp"}}, INVALID, ["/diversify"]),
        ({"diversify": {"method": "mmr", "lambda": 1.5}}, INVALID, ["/diversify/lambda"]),
        ({"diversify": {"by": "x", "max_per_value": 0}}, INVALID, ["/diversify/max_per_value"]),
        ({"explain": "long"}, INVALID, ["/explain"]),
        ({"language": "fr"}, INVALID, ["/language"]),
        ({"fields": ["f"] * 21}, INVALID, ["/fields"]),
        ({"exclude": {"list": "../etc"}}, INVALID, ["/exclude/list"]),
        ({"exclude": {"list": "nobodys"}}, (404, "list_not_found"), ["/exclude/list"]),
        ({"exclude": {"outreach_since": 1.8e12}}, INVALID, ["/exclude/outreach_since"]),
        ({"stop": {"at_precision": 0.5}, "min_precision": 0.5}, INVALID, [""]),
        ({"stop": {"at_precision": 0.5}, "min_score": 0.5}, INVALID, [""]),
        (
            {"stop": {"at_precision": 0.99}},
            (422, "precision_not_promised"),
            ["/stop/at_precision"],
        ),
        ({"stop": {"at_precision": 0.5}, **UNWANTED}, INVALID, ["/stop/at_precision"]),
        (BOTH, INVALID, ["/negative/1/streamer_id"]),
        (UNKNOWN, MISSING, ["/positive/1/streamer_id", "/positive/2/streamer_id"]),
        ({"k": 1001, **UNKNOWN}, MISSING, ["/positive/1/streamer_id", "/positive/2/streamer_id"]),
        ({"k": 1001, "exclude": {"ids": MANY}}, INVALID, ["/exclude/ids"]),
    ],
)
def test_what_is_wrong_with_a_question_is_named(
    api: Api, more: dict[str, Any], refusal: tuple[int, str], fields: list[str]
) -> None:
    status, code = refusal
    problem = api.refused("POST", "/v1/lists:preview", question(**more), status=status, code=code)
    assert wrong_fields(problem) == fields


def test_a_write_that_is_not_there_yet_is_waited_for_and_then_refused(api: Api) -> None:
    save(api, "later")
    after: dict[str, Any] = {"after_sequence": 10**12}
    for path, body in (("/v1/lists:preview", question(**after)), ("/v1/lists/later:run", after)):
        api.refused("POST", path, body, status=503, code="not_yet_visible")


def test_what_keys_may_ask(api: Api) -> None:
    save(api, "scopes", k=3, explain="short")
    run(api, "scopes")
    path = "/v1/lists/scopes"
    with api.with_key("streamers:read") as reader:
        reader.refused("POST", "/v1/lists:preview", question(), status=403, code="missing_scope")
        for method, at in (
            ("PUT", path),
            ("GET", path),
            ("DELETE", path),
            ("POST", f"{path}:run"),
            ("GET", f"{path}/runs/1"),
            ("GET", "/v1/lists"),
        ):
            body = {"question": question()} if method == "PUT" else None
            reader.refused(method, at, body, status=403, code="missing_scope")
    with api.with_key("search") as searcher:
        searcher.ok("POST", "/v1/lists:preview", question())
        denied: list[dict[str, Any]] = [{"explain": "short"}, {"explain": "full"}, {"k": 1001}]
        for more in denied:
            searcher.refused(
                "POST", "/v1/lists:preview", question(**more), status=403, code="missing_scope"
            )
        searcher.refused("POST", f"{path}:run", {}, status=403, code="missing_scope")
        searcher.refused("GET", f"{path}/runs/1?format=csv", status=403, code="missing_scope")
        assert len(searcher.ok("GET", f"{path}/runs/1")["ids"]) == 3
    with api.with_key("search", "explain") as explainer:
        assert explainer.get(f"{path}/runs/1?format=csv").status_code == 200
        vector = [1.0] + [0.0] * (DIM - 1)
        asked = {"question": {"positive": [{"vector": vector, "weight": 2}]}}
        explainer.ok("PUT", "/v1/lists/vectors", asked, status=201)
        told = explainer.ok("GET", "/v1/lists/vectors")
        assert told["question"]["positive"][0]["vector"] is None
        assert told["question"]["positive"][0]["weight"] == 2
        assert "embeddings:read" in told["vectors_unavailable_because"]
    assert api.ok("GET", "/v1/lists/vectors")["question"]["positive"][0]["vector"] == vector


HOSTILE = [
    '=HYPERLINK("http://x.example","win")',
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "＝1+1",
    "  =1+1",
    "\t=1+1",
    "x;=1+1;y",
    'quote " comma , ',
    "two\nlines\r\nand \x1b[31mred",
    "http://x.example/",
    "<script>alert(1)</script>",
]


@pytest.fixture(scope="module")
def hostile(api: Api) -> dict[str, str]:
    """Streamers whose names would do something in a spreadsheet: id to name."""
    names = {f"h{i:02d}": name for i, name in enumerate(HOSTILE)} | {"-h99": "a minus"}
    api.write(
        {"streamer_id": i, "name": n, "tags": ["cooking"], "attributes": {"desk": "hostile"}}
        for i, n in names.items()
    )
    return names


def download(api: Api, form: str, *seeds: str, **more: Any) -> bytes:
    answer = api.post("/v1/lists:preview", params={"format": form}, json=question(*seeds, **more))
    assert answer.status_code == 200, answer.text
    return answer.content


def test_csv_has_every_row_and_no_cell_that_begins_a_formula(
    api: Api, hostile: dict[str, str]
) -> None:
    asked: dict[str, Any] = {"desk": "hostile", "explain": "short", "fields": ["name", "tags"]}
    rows = csv_of(download(api, "csv", **asked))
    assert [*rows[0]] == ["rank", "streamer_id", "name", "tags", "score", "precision", "why"]
    listed = preview(api, **asked)
    told = {row["streamer_id"].lstrip("'"): row for row in rows}
    assert [*told] == ids_of(listed)
    for row, (name, cells) in zip(listed["rows"], told.items(), strict=True):
        assert float(cells["score"]) == pytest.approx(row["score"], abs=1e-3)
        assert (cells["tags"], cells["why"]) == ("cooking", row["why"])
        shown = cells["name"]
        assert shown.replace("'", "").split() == hostile[name].replace("\x1b", " ").split()
        assert shown.isprintable()
        for part in (cells["streamer_id"], *shown.split(";")):  # where ; separates cells
            assert part.lstrip()[:1] not in tuple("=+-@＝＋－＠")


def test_a_workbook_has_texts_and_numbers_and_says_where_it_comes_from(
    api: Api, hostile: dict[str, str]
) -> None:
    asked = question(desk="hostile", explain="short", fields=["name", "tags"], language="zh")
    answer = api.post(
        "/v1/lists:preview?format=xlsx", json=asked, headers={"X-Request-Id": "sheet-1"}
    )
    assert "list.xlsx" in answer.headers["content-disposition"]
    sheets = sheets_of(answer.content)
    assert list(sheets) == ["名单", "来源"]
    header, *rows = sheets["名单"]
    assert header == ["排名", "主播 ID", "昵称", "标签", "相似度", "精度", "理由"]
    expected = api.ok("POST", "/v1/lists:preview", asked)
    for row, told in zip(rows, expected["rows"], strict=True):
        assert row[:2] == [told["rank"], told["streamer_id"]]
        assert row[2].split() == hostile[row[1]].replace("\x1b", " ").split()
        assert row[4] == pytest.approx(told["score"])
        assert row[6] == told["why"]
    facts = facts_of(sheets["来源"])
    assert facts["请求 ID"] == "sheet-1"
    assert facts["密钥 ID"] == expected["provenance"]["key_id"]
    assert facts["模型版本"] == expected["model_version"]
    assert int(facts["索引序号"]) == expected["index_sequence"]
    assert json.loads(facts["查询条件 (JSON)"]) == asked
    assert facts["是否完整"] == "是"


def test_ndjson_has_a_row_per_line_and_then_the_rest(api: Api) -> None:
    *rows, last = map(json.loads, download(api, "ndjson", explain="short").splitlines())
    whole = preview(api, explain="short")
    assert rows == whole.pop("rows")
    for told in (last, whole):
        told.pop("took_ms")
        told.pop("provenance")
    assert last == whole


def test_an_empty_list_is_a_file_in_every_format(api: Api) -> None:
    assert download(api, "csv", desk="none").startswith(b"\xef\xbb\xbfrank,streamer_id,")
    assert csv_of(download(api, "csv", desk="none")) == []
    assert len(sheets_of(download(api, "xlsx", desk="none"))["List"]) == 1
    assert len(download(api, "ndjson", desk="none").splitlines()) == 1


def test_cells_keep_digits_and_mark_what_they_have_no_room_for(api: Api) -> None:
    tags = [f"{i:03d}" + "播" * 97 for i in range(400)]
    attributes = {"desk": "cells", "room": 7123456789012345678, "rate": 0.0000004, "ok": True}
    api.write([{"streamer_id": "007", "bio": "soup", "tags": tags, "attributes": attributes}])
    fields = ["room", "rate", "ok", "tags"]
    (row,) = csv_of(download(api, "csv", desk="cells", fields=fields))
    assert (row["streamer_id"], row["room"]) == ("007", "7123456789012345678")
    assert float(row["rate"]) == pytest.approx(4e-7)
    assert row["tags"] == "; ".join(tags)
    _, cells = sheets_of(download(api, "xlsx", desk="cells", fields=fields))["List"]
    assert cells[1:3] == ["007", "7123456789012345678"]
    assert cells[3] == pytest.approx(4e-7)
    assert cells[5].endswith("…")
    assert len(cells[5]) <= 32_767
    assert "; ".join(tags).startswith(cells[5][:-1])


def test_a_workbook_has_the_whole_question_but_no_vector(api: Api) -> None:
    conditions = [
        {"field": f"f{i}", "any": [f"{j:04d}" + "播" * 60 for j in range(100)]} for i in range(8)
    ]
    shown = {"bio": "cooking", "avatar": {"vector": [0.5] * 4, "space": "test-cover"}}
    seeds = [{"vector": api.embedding(SEED)}, {"profile": shown}]
    asked = {"positive": seeds, "strategy": "best_score", "filter": {"must_not": conditions}}
    sheets = sheets_of(download(api, "xlsx", **asked))
    parts = [value for name, value in sheets["Provenance"] if name == "question"]
    assert len(parts) > 1
    assert max(map(len, parts)) <= 32_767
    told = json.loads("".join(parts))
    assert told["filter"] == asked["filter"]
    assert told["positive"][0] == {"vector": None}
    assert told["positive"][1]["profile"]["avatar"] == {"vector": None, "space": "test-cover"}


def test_a_long_list_is_made_by_a_job_whose_result_is_the_file(api: Api) -> None:
    asked = question(k=1001, explain="short", exclude={"ids": ["misspelt"]})
    for form, begins in (("csv", b"\xef\xbb\xbfrank,"), ("xlsx", b"PK"), ("json", b'{"rows"')):
        job = api.ok("POST", f"/v1/lists:preview?format={form}", asked, status=202)
        job = api.finished(job)
        assert (job["kind"], job["result"]["streamers"]) == ("list", 11)
        assert "misspelt" in job["result"]["warnings"][0]
        file = api.get(f"/v1/jobs/{job['job_id']}/result")
        assert file.content.startswith(begins)
        assert f".{form}" in file.headers["content-disposition"]
    assert ids_of(file.json()) == ids_of(preview(api))
    cut = question(k=2, min_score=-1.0)
    job = api.finished(api.ok("POST", "/v1/lists:preview", cut, status=202, headers=ASYNC))
    assert job["result"]["incomplete_because"] == (preview(api, **cut)["incomplete_because"])
    once = {"Idempotency-Key": '"list-1"'}
    again = [api.ok("POST", "/v1/lists:preview", asked, 202, headers=once) for _ in range(2)]
    assert again[0]["job_id"] == again[1]["job_id"]
    full = question(k=51, explain="full")
    job = api.finished(api.ok("POST", "/v1/lists:preview", full, status=202))
    rows = api.ok("GET", f"/v1/jobs/{job['job_id']}/result")["rows"]
    assert all(row["reasons"]["nearest_seed"] == SEED for row in rows)


def test_a_list_is_saved_read_changed_and_deleted(api: Api) -> None:
    path = "/v1/lists/kept"
    body = {"title": "春", "question": question(k=100, explain="short")}
    made = api.put(path, json=body)
    assert made.status_code == 201
    found = api.get(path)
    assert found.headers["etag"] == made.headers["etag"] == f'"{made.json()["revision"]}"'
    saved = found.json()
    assert (saved["name"], saved["title"], saved["runs"]) == ("kept", "春", [])
    assert saved["question"]["k"] == 100
    assert saved["question"]["positive"][0]["streamer_id"] == SEED
    assert saved["question"]["filter"]["must"][0]["any"] == ["cooks"]
    again = api.ok("PUT", path, {"title": "夏", "question": question(k=3)})
    assert (again["title"], again["question"]["k"]) == ("夏", 3)
    assert again["created_at"] == saved["created_at"]
    assert again["revision"] > saved["revision"]
    assert again["question"]["explain"] is None
    assert api.ok("DELETE", path) == {"name": "kept"}
    for method, at in (("GET", ""), ("DELETE", ""), ("POST", ":run"), ("GET", "/runs/1")):
        api.refused(method, path + at, status=404, code="list_not_found")


def test_two_who_change_a_list_do_not_overwrite_each_other(api: Api) -> None:
    path, body = "/v1/lists/shared", {"question": question(k=2)}

    def conflict(method: str, condition: dict[str, str]) -> None:
        sent = body if method == "PUT" else None
        api.refused(method, path, sent, status=412, code="list_conflict", headers=condition)

    conflict("PUT", {"If-Match": '"1"'})
    first = api.put(path, json=body, headers={"If-None-Match": "*"}).headers["etag"]
    conflict("PUT", {"If-None-Match": "*"})
    run(api, "shared")  # which changes nothing of the question
    mine = api.put(path, json=body, headers={"If-Match": first})
    assert mine.status_code == 200
    conflict("PUT", {"If-Match": first})
    conflict("DELETE", {"If-Match": first})
    api.ok("DELETE", path, headers={"If-Match": mine.headers["etag"]})


@pytest.mark.parametrize(
    ("name", "body", "field"),
    [
        ("-x", {"question": question()}, "list_name"),
        ("a b", {"question": question()}, "list_name"),
        ("名单", {"question": question()}, "list_name"),
        ("a" * 65, {"question": question()}, "list_name"),
        ("wrong", {"title": "春" * 201, "question": question()}, "/title"),
        ("wrong", {"question": {"positive": []}}, "/question/positive"),
        ("wrong", {}, "/question"),
        ("wrong", {"question": question(*["cook-01"] * 101)}, "/question/positive"),
        ("wrong", {"question": question(exclude={"list": "wrong"})}, "/question/exclude/list"),
        ("wrong", {"question": question(exclude={"ids": MANY})}, "/question/exclude/ids"),
    ],
)
def test_what_can_never_be_run_is_not_saved(
    api: Api, name: str, body: dict[str, Any], field: str
) -> None:
    path = f"/v1/lists/{name}"
    problem = api.refused("PUT", path, body, status=422, code="invalid_request")
    assert wrong_fields(problem) == [field]
    assert api.get("/v1/lists/wrong").status_code == 404


def test_saved_lists_come_in_pages_by_name(api: Api) -> None:
    names = [f"page-{i}" for i in range(5)]
    for name in reversed(names):
        save(api, name)
    pages = [*api.pages("/v1/lists", "lists", limit=2)]
    assert all(len(page) <= 2 for page in pages)
    found = [one["name"] for page in pages for one in page]
    assert found == sorted(set(found))
    assert [name for name in found if name.startswith("page-")] == names
    for path in ("/v1/lists?limit=21", "/v1/lists?cursor=%25%25"):
        api.refused("GET", path, status=422, code="invalid_request")


def test_a_run_holds_everybody_and_tells_who_is_new(api: Api) -> None:
    ids = desk_of_copies(api, "new", 4)
    save(api, "news", ids[0], desk="new", explain="short")
    first = run(api, "news")
    assert ids_of(first) == ids_of(preview(api, ids[0], desk="new"))
    assert [row["is_new"] for row in first["rows"]] == [True] * 3
    assert (first["provenance"]["run"], first["provenance"]["previous_run"]) == (1, None)
    late = cook(5, streamer_id="late", attributes={"desk": "new"})
    sequence = api.bulk([late])[0]["sequence"]
    second = run(api, "news", new_only=True, language="zh", after_sequence=sequence)
    assert ids_of(second) == ["late"]
    assert "共同标签" in second["rows"][0]["why"]
    assert second["provenance"]["previous_run"] == 1
    assert ids_of(run(api, "news", new_only=True)) == []
    assert ids_of(run(api, "news", new_only=True, new_since=1)) == ["late"]
    whole = run(api, "news")
    assert {row["streamer_id"] for row in whole["rows"]} == {*ids[1:], "late"}
    assert not any(row["is_new"] for row in whole["rows"])
    assert set(api.ok("GET", "/v1/lists/news/runs/2")["ids"]) == {*ids[1:], "late"}
    runs = api.ok("GET", "/v1/lists/news")["runs"]
    told = [(one["run"], one["new"], one["rows"]) for one in runs]
    assert told == [(5, 0, 4), (4, 1, 4), (3, 0, 4), (2, 1, 4), (1, 3, 3)]


def test_ten_runs_are_kept_and_a_repeated_request_is_one_of_them(api: Api) -> None:
    save(api, "runs", k=1)
    path = "/v1/lists/runs"
    headers = {"X-Request-Id": "the-first-run"}
    answers = [api.ok("POST", f"{path}:run", {"new_only": True}, headers=headers) for _ in range(2)]
    assert ids_of(answers[0]) == ids_of(answers[1]) != []
    assert len(api.ok("GET", path)["runs"]) == 1
    for _ in range(11):
        run(api, "runs")
    kept = [one["run"] for one in api.ok("GET", path)["runs"]]
    assert kept == list(range(12, 2, -1))
    for form in ("json", *FILES):
        api.refused("GET", f"{path}/runs/2?format={form}", status=404, code="list_not_found")
    api.refused("POST", f"{path}:run", {"new_since": 2}, status=404, code="list_not_found")
    api.refused("GET", f"{path}/runs/3?format=pdf", status=422, code="invalid_request")
    api.ok("DELETE", path)
    save(api, "runs")
    assert api.ok("GET", path)["runs"] == []
    assert run(api, "runs")["provenance"]["run"] == 1


def test_whoever_another_list_holds_can_be_left_out(api: Api) -> None:
    save(api, "held", k=4)
    save(api, "others", exclude={"list": "held"})
    without = run(api, "others")
    assert "'held'" in without["warnings"][0]  # it has no run yet
    held = ids_of(run(api, "held"))
    with_it = run(api, "others")
    assert (ids_of(with_it), with_it["warnings"]) == (ids_of(without)[4:], [])
    assert held == ids_of(without)[:4]


def test_a_long_run_is_a_job_and_kept_once(api: Api) -> None:
    save(api, "long", k=2000)
    job = api.finished(api.ok("POST", "/v1/lists/long:run?format=ndjson", {}, status=202))
    assert len(api.get(f"/v1/jobs/{job['job_id']}/result").text.splitlines()) == 12
    (kept,) = api.ok("GET", "/v1/lists/long")["runs"]
    assert kept["rows"] == 11
    assert api.ok("GET", "/v1/lists/long/runs/1")["ids"] == ids_of(preview(api))


def content_of(form: str, content: bytes) -> Any:
    """What a file has, without the time that it took to make it."""
    if form == "csv":
        return csv_of(content)
    if form == "xlsx":
        return sheets_of(content)
    *rows, last = map(json.loads, content.splitlines())
    return [*rows, {**last, "took_ms": None}]


@pytest.mark.parametrize("form", FILES)
def test_a_kept_run_is_the_file_that_was_handed_on(api: Api, form: str) -> None:
    desk = f"again-{form}"
    ids = desk_of_copies(api, desk, 5)
    asked = {
        "desk": desk,
        "explain": "short",
        "group_by": "category",
        "stop": {"at_precision": 0.3, "mark_only": True},
    }
    save(api, desk, ids[0], **asked, k=2)
    run(api, desk)
    save(api, desk, ids[0], **asked, k=4)
    told = api.post(f"/v1/lists/{desk}:run", params={"format": form}, json={"language": "zh"})
    assert told.status_code == 200, told.text
    api.write([cook(9, streamer_id=ids[1], name="renamed", attributes={"desk": desk})])
    save(api, desk, ids[0], k=1, desk=desk, fields=[])

    def again(**params: Any) -> Any:
        answer = api.get(f"/v1/lists/{desk}/runs/2", params={"format": form, **params})
        assert answer.headers["content-type"] == told.headers["content-type"]
        return content_of(form, answer.content)

    assert again() == content_of(form, told.content)
    assert "renamed" not in str(again())
    fresh = api.ok("GET", f"/v1/lists/{desk}/runs/2?new_only=true")["ids"]
    assert len(fresh) == 2
    only_new = str(again(new_only=True))
    assert [name for name in ids if f"'{name}'" in only_new and name != ids[0]] == sorted(fresh)


def test_of_a_run_that_is_too_large_only_whom_it_held_is_kept(api: Api) -> None:
    tags = [f"{i:03d}" + "播" * 97 for i in range(400)]
    names = [f"large-{i:02}" for i in range(20)]  # of more than 2 MiB
    api.write(
        {"streamer_id": name, "bio": "soup", "tags": tags, "attributes": {"desk": "large"}}
        for name in names
    )
    save(api, "large", desk="large", fields=["tags"])
    held = ids_of(run(api, "large"))
    assert sorted(held) == names
    answer = api.get("/v1/lists/large/runs/1?format=csv")
    rows = csv_of(answer.content)
    assert [row["streamer_id"] for row in rows] == held
    assert {(row["tags"], row["score"]) for row in rows} == {("", "")}
    assert answer.headers["x-incomplete-because"]
    path = "/v1/lists/large/runs/1?format=csv&new_only=true"
    problem = api.refused("GET", path, status=422, code="invalid_request")
    assert wrong_fields(problem) == ["new_only"]


def test_who_is_erased_is_in_no_saved_question_and_in_no_run(api: Api) -> None:
    ids = desk_of_copies(api, "erased", 6)
    gone = ids[5]
    out = {"must": of_desk("erased")["must"], "must_not": [{"field": "streamer_id", "any": [gone]}]}
    exclude = {"ids": [gone, ids[1]]}
    save(api, "many", ids[0], gone, strategy="best_score", exclude=exclude, filter=out)
    save(api, "only", gone, desk="erased")
    save(api, "other", ids[0], desk="erased", explain="short")
    held = ids_of(run(api, "other"))
    assert gone in held
    api.ok("DELETE", f"/v1/streamers/{gone}?erase=true")
    for name in ("many", "only", "other"):
        assert gone not in api.get(f"/v1/lists/{name}").text
    left = [name for name in held if name != gone]
    assert api.ok("GET", "/v1/lists/other/runs/1")["ids"] == left
    for form in FILES:
        file = api.get(f"/v1/lists/other/runs/1?format={form}")
        assert gone not in str(content_of(form, file.content))
    kept = csv_of(api.get("/v1/lists/other/runs/1?format=csv").content)
    assert [row["streamer_id"] for row in kept] == left
    assert all(row["why"] for row in kept)
    many = api.ok("GET", "/v1/lists/many")["question"]
    assert [seed["streamer_id"] for seed in many["positive"]] == [ids[0]]
    assert many["exclude"]["ids"] == [ids[1]]
    assert run(api, "many")["rows"]
    api.refused("POST", "/v1/lists/only:run", {}, status=404, code="streamer_not_found")
    api.ok("DELETE", f"/v1/streamers/{ids[0]}?erase=true")  # the seed, whom reasons quote
    kept = csv_of(api.get("/v1/lists/other/runs/1?format=csv").content)
    assert not any(row["why"] for row in kept)
