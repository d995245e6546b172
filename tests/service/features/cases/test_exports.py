"""Exports: tables without formulas, and archives of which a flipped byte shows."""

import csv
import io
import json
import random
import zipfile
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.__main__ import main
from service.features.cases.exports.archive import Archive, Damaged, verify
from tests.service.features.cases.test_cases import act, begin, chain, decide

_FLIPS = 300


def archive_of(client: TestClient, folder: Path) -> Path:
    chain(client)
    case = act(client, begin(client, "ana"), "expand")
    case = decide(client, case, "bo", "confirmed", '=HYPERLINK("http://x","y")')
    content = client.get(f"/v1/cases/{case['case_id']}/export").raise_for_status().content
    file = folder / "case.zip"
    file.write_bytes(content)
    return file


@pytest.mark.slow
def test_an_archive_has_what_was_seen_and_is_sound(client: TestClient, tmp_path: Path) -> None:
    file = archive_of(client, tmp_path)

    checked = verify(file)

    assert (checked.members, checked.edges, checked.profiles) == (4, 3, 4)
    assert checked.events == 3
    with zipfile.ZipFile(file) as found:
        case = json.loads(found.read("case.json"))
        assert case["run"]["query"]["hops"] == 3
        assert case["run"]["model_version"]
        assert case["run"]["index_sequence"] > 0
        assert json.loads(found.read("profiles/bo.json"))["name"] == "Bo"
        events = [json.loads(line) for line in found.read("events.ndjson").splitlines()]
        assert [event["kind"] for event in events] == ["created", "expanded", "verdict"]


@pytest.mark.slow
def test_a_flipped_byte_anywhere_shows(client: TestClient, tmp_path: Path) -> None:
    file = archive_of(client, tmp_path)
    sound = file.read_bytes()
    rng = random.Random(5)
    places = {*range(64), *range(len(sound) - 64, len(sound))}
    places |= {rng.randrange(len(sound)) for _ in range(_FLIPS)}
    unnoticed: list[int] = []
    for place in sorted(places):
        content = bytearray(sound)
        content[place] ^= 1 << rng.randrange(8)
        file.write_bytes(content)
        try:
            verify(file)
        except Damaged:
            continue
        unnoticed.append(place)
    assert not unnoticed


def test_members_that_do_not_follow_from_the_edges_are_noticed(
    client: TestClient, tmp_path: Path
) -> None:
    file = archive_of(client, tmp_path)
    with zipfile.ZipFile(file) as found:
        files = {name: found.read(name) for name in found.namelist() if name != "manifest.json"}
    first, *others = files["edges.ndjson"].splitlines(keepends=True)
    assert json.loads(first)["a"] == "ana"
    forged = tmp_path / "forged.zip"
    with forged.open("wb") as target:
        archive = Archive(target)
        for name, content in files.items():
            archive.add(name, b"".join(others) if name == "edges.ndjson" else content)
        archive.close()

    with pytest.raises(Damaged, match="do not lead to the members"):
        verify(forged)


def test_the_command_tells_by_its_status(
    client: TestClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = archive_of(client, tmp_path)
    assert main(["verify-case", str(file)]) == 0
    assert "4 members, 3 edges, 4 profiles" in capsys.readouterr().out
    file.write_bytes(file.read_bytes()[:-1])
    assert main(["verify-case", str(file)]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_a_table_is_for_spreadsheets_and_has_no_formulas(
    client: TestClient, tmp_path: Path
) -> None:
    case_id = verify(archive_of(client, tmp_path)).case_id
    path = f"/v1/cases/{case_id}/export"
    answer = client.get(path, params={"format": "csv"})

    assert answer.content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert [row["streamer_id"] for row in rows] == ["ana", "bo", "cyd", "dee"]
    notes = {row["streamer_id"]: row["note"] for row in rows}
    assert notes["bo"] == '\'=HYPERLINK("http://x","y")'
    lines = client.get(path, params={"format": "ndjson"}).text.splitlines()
    assert sorted(json.loads(line)["streamer_id"] for line in lines) == ["ana", "bo", "cyd", "dee"]


@pytest.mark.slow
def test_the_audit_log_names_whom_an_export_shows(client: TestClient, tmp_path: Path) -> None:
    case_id = verify(archive_of(client, tmp_path)).case_id
    *_, entry = client.get("/v1/audit?streamer_id=dee").json()["entries"]
    assert entry["ids"] == [case_id, "ana", "bo", "cyd", "dee"]
    assert (entry["action"], entry["results"]) == ("export zip", 4)
