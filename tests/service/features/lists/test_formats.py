"""Lists as lines, CSV and workbooks: whole, and no cell of them does anything."""

import csv
import io
import json

import pytest
from fastapi.testclient import TestClient

from service.features.lists.answering import in_header
from service.index.faiss.index import FaissIndex
from tests.service.conftest import put
from tests.service.features.lists.conftest import ask, ids_of, sheets_of
from tests.service.features.transfers.waiting import ended, submitted

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
    "a" * 200,
]


@pytest.fixture
def hostile(client: TestClient) -> TestClient:
    sequence = 0
    for i, name in enumerate(HOSTILE):
        sequence = put(client, f"h{i:02d}", name=name, tags=["cooking"], bio=f"soup {i}")
    put(client, "seed", tags=["cooking"], bio="soup kitchen")
    ask(client, "seed", after_sequence=sequence)
    return client


def units_of(text: str) -> int:
    """Of UTF-16, which Excel counts."""
    return len(text.encode("utf-16-le")) // 2


QUESTION = {"positive": [{"streamer_id": "seed"}], "explain": "short", "fields": ["name", "tags"]}


def download(client: TestClient, form: str, **more: object) -> bytes:
    answer = client.post("/v1/lists:preview", params={"format": form}, json={**QUESTION, **more})
    assert answer.status_code == 200, answer.text
    return answer.content


def test_csv_has_a_mark_and_no_formulas(hostile: TestClient) -> None:
    content = download(hostile, "csv")
    assert content.startswith(b"\xef\xbb\xbf")
    header, *rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    assert header == ["rank", "streamer_id", "name", "tags", "score", "precision", "why"]
    assert [row[1] for row in rows] == ids_of(ask(hostile, "seed"))
    names = {row[1]: row[2] for row in rows}
    for i, name in enumerate(HOSTILE):
        told = names[f"h{i:02d}"]
        assert told.replace("'", "").split() == name.replace("\x1b", " ").split()
        assert told.isprintable()
        for part in told.split(";"):  # as where the semicolon separates cells
            assert part.lstrip()[:1] not in tuple("=+-@＝＋－＠")
    assert not any(cell[:1] == "'" for row in rows for cell in (row[4], row[5], row[6]))


def test_a_workbook_has_texts_and_numbers_alone_and_says_where_it_comes_from(
    hostile: TestClient,
) -> None:
    answer = hostile.post(
        "/v1/lists:preview",
        params={"format": "xlsx"},
        json={**QUESTION, "language": "zh"},
        headers={"X-Request-Id": "sheet-1"},
    )
    assert answer.status_code == 200, answer.text
    sheets = sheets_of(answer.content)  # which refuses formulas and links
    assert list(sheets) == ["名单", "来源"]
    header, *rows = sheets["名单"]
    assert header == ["排名", "主播 ID", "昵称", "标签", "相似度", "精度", "理由"]
    expected = ask(hostile, "seed", explain="short", language="zh", fields=["name", "tags"])
    assert [row[1] for row in rows] == ids_of(expected)
    for row, told in zip(rows, expected["rows"], strict=True):
        assert row[0] == told["rank"]
        assert row[4] == pytest.approx(told["score"])
        assert row[6] == told["why"]
    told_by = {row[0]: row[1] for row in sheets["来源"]}
    assert told_by["请求 ID"] == "sheet-1"
    assert told_by["密钥 ID"] == "keyless"
    assert told_by["模型版本"] == expected["model_version"]
    assert int(told_by["索引序号"]) == expected["index_sequence"]
    assert json.loads(told_by["查询条件 (JSON)"])["positive"] == QUESTION["positive"]
    assert told_by["是否完整"] == "是"
    assert told_by["未列入"] == "按条件排除：0；略过的重复账号：0；同一取值已满而略过：0"


def test_a_workbook_has_no_vector(hostile: TestClient) -> None:
    seeds = [{"vector": hostile.get("/v1/streamers/seed/embedding").json()["embedding"]}]
    sheets = sheets_of(download(hostile, "xlsx", positive=seeds, explain=None))
    (question,) = [row[1] for row in sheets["Provenance"] if row[0] == "question"]
    assert json.loads(question)["positive"] == [{"vector": None}]
    shown = {"bio": "cooking", "avatar": {"vector": [0.5] * 4, "space": "test-cover"}}
    sheets = sheets_of(download(hostile, "xlsx", positive=[{"profile": shown}], explain=None))
    (question,) = [row[1] for row in sheets["Provenance"] if row[0] == "question"]
    (seed,) = json.loads(question)["positive"]
    assert seed["profile"]["avatar"] == {"vector": None, "space": "test-cover"}


@pytest.mark.parametrize("sign", ["0", "播", "\U0001d518"])
def test_a_long_question_is_whole_in_a_workbook(hostile: TestClient, sign: str) -> None:
    values = [f"{i:04d}{sign * 60}" for i in range(100)]
    conditions = [{"field": f"f{i}", "any": values} for i in range(10)]
    asked = {
        "filter": {"must_not": conditions},
        "exclude": {"ids": [f"{i:0100d}" for i in range(99)]},
    }
    sheets = sheets_of(download(hostile, "xlsx", **asked))
    parts = [row[1] for row in sheets["Provenance"] if row[0] == "question"]
    assert len(parts) > 1
    assert max(map(units_of, parts)) <= 32_767
    assert asked.items() <= json.loads("".join(parts)).items()


@pytest.mark.parametrize("sign", ["a", "播", "\U0001d518"])
def test_a_cell_that_has_no_room_for_a_text_says_so(client: TestClient, sign: str) -> None:
    tags = [f"{i:03d}{sign * 97}" for i in range(400)]
    put(client, "seed", tags=[tags[0]], bio="soup kitchen")
    ask(client, "seed", after_sequence=put(client, "long", tags=tags, bio="soup"))
    whole = "; ".join(tags)
    _, (_, _, cell, *_) = sheets_of(download(client, "xlsx", fields=["tags"]))["List"]
    assert 32_765 <= units_of(cell) <= 32_767
    assert cell.endswith("…")
    assert whole.startswith(cell[:-1])
    _, (_, _, cell, *_) = csv.reader(
        io.StringIO(download(client, "csv", fields=["tags"]).decode("utf-8-sig"))
    )
    assert cell == whole


def test_lines_end_with_the_summary(hostile: TestClient) -> None:
    *rows, last = [json.loads(line) for line in download(hostile, "ndjson").splitlines()]
    whole = ask(hostile, "seed", explain="short", fields=["name", "tags"])
    assert rows == whole["rows"]
    assert last.keys() == whole.keys() - {"rows"}
    assert last["complete"]


def test_an_empty_list_is_one_in_every_format(hostile: TestClient) -> None:
    nobody = {"filter": {"must": [{"field": "language", "any": ["xx"]}]}}
    assert len(download(hostile, "csv", **nobody).splitlines()) == 1
    assert len(sheets_of(download(hostile, "xlsx", **nobody))["List"]) == 1
    assert ask(hostile, "seed", **nobody)["rows"] == []


def test_long_numbers_keep_their_digits(client: TestClient) -> None:
    room, rate = 7123456789012345678, 0.0000004
    attributes = {"room": room, "rate": rate}
    put(client, "seed", tags=["cooking"], bio="soup kitchen")
    sequence = put(client, "long", tags=["cooking"], bio="soup", attributes=attributes)
    ask(client, "seed", after_sequence=sequence)
    more = {"fields": ["room", "rate"]}
    rows = csv.DictReader(io.StringIO(download(client, "csv", **more).decode("utf-8-sig")))
    (row,) = (row for row in rows if row["streamer_id"] == "long")
    assert (row["room"], float(row["rate"])) == (str(room), rate)
    _, *lines = next(iter(sheets_of(download(client, "xlsx", **more)).values()))
    (line,) = (line for line in lines if line[1] == "long")
    assert line[2:4] == [str(room), rate]


def test_a_list_of_one_value_is_one_in_json_and_a_cell_in_tables(client: TestClient) -> None:
    put(client, "seed", tags=["cooking"], bio="soup kitchen")
    ask(client, "seed", after_sequence=put(client, "s", tags=["cooking"], bio="soup"))
    more = {"fields": ["tags"]}
    (row,) = ask(client, "seed", **more)["rows"]
    assert row["fields"] == {"tags": ["cooking"]}
    (cells,) = csv.DictReader(io.StringIO(download(client, "csv", **more).decode("utf-8-sig")))
    assert cells["tags"] == "cooking"
    _, (_, _, cell, *_) = sheets_of(download(client, "xlsx", **more))["List"]
    assert cell == "cooking"


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", "xlsx", "ndjson", "json"])
def test_what_a_list_lacks_is_told_beside_it_too(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    last = max(put(client, f"s{i}", tags=["cooking"], bio=f"soup {i}") for i in range(4))
    put(client, "seed", tags=["cooking"], bio="soup kitchen")
    ask(client, "seed", after_sequence=last)

    def made(**more: object) -> tuple[str | None, str | None]:
        """What is missing, as the answer tells it, and the job that makes it."""
        asked = {**QUESTION, "k": 3, **more}
        params = {"format": form}
        now = client.post("/v1/lists:preview", params=params, json=asked)
        later = {"Prefer": "respond-async"}
        queued = client.post("/v1/lists:preview", params=params, json=asked, headers=later)
        job = ended(client, submitted(queued))
        return now.headers.get("x-incomplete-because"), job["result"].get("incomplete_because")

    assert made() == (None, None)
    monkeypatch.setattr(FaissIndex, "deepest", lambda *_: 2)
    because = "2 candidates were looked at, and 2 of k fit"
    assert made() == (because, because)


@pytest.mark.parametrize("form", ["csv", "xlsx", "ndjson", "json"])
def test_warnings_are_told_beside_it_too(client: TestClient, form: str) -> None:
    put(client, "seed", tags=["cooking"], bio="soup kitchen")
    ask(client, "seed", after_sequence=put(client, "s", tags=["cooking"], bio="soup"))
    asked = {**QUESTION, "exclude": {"ids": ["misspelt"]}, "fields": ['标签"']}
    warnings = [
        "exclude.ids: 'misspelt' is not stored",
        "fields: no streamer of the list has '标签\"'",
    ]
    params = {"format": form}
    now = client.post("/v1/lists:preview", params=params, json=asked)
    assert json.loads(now.headers["x-warnings"]) == warnings
    later = {"Prefer": "respond-async"}
    queued = client.post("/v1/lists:preview", params=params, json=asked, headers=later)
    assert ended(client, submitted(queued))["result"]["warnings"] == warnings
    usual = {"positive": QUESTION["positive"]}  # whose fields nobody of the list has either
    plain = client.post("/v1/lists:preview", params=params, json=usual)
    assert "x-warnings" not in plain.headers


@pytest.mark.parametrize("sign", ["x", "播", "\U0001d518"])
@pytest.mark.parametrize("count", [1, 2, 5, 100])
def test_warnings_have_room_in_a_header(sign: str, count: int) -> None:
    warnings = [f"{number}: {sign * 2000}" for number in range(count)]
    header = in_header(warnings)
    assert header.isascii()
    assert len(header) <= 4000
    *told, last = json.loads(header)
    assert all(whole.startswith(one) for whole, one in zip(warnings, told, strict=False))
    assert last == f"{count - len(told)} more" or warnings[len(told)].startswith(last)
    assert in_header(["short"]) == '["short"]'
