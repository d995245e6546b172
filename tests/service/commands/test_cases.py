"""`cases` and `verify-case`, as a person and as a script run them; and the client behind them."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.client import Client, Conflict
from service.client.models import JobOut, RanOut
from tests.service.process import (
    ROOT,
    Service,
    command,
    environment,
    error_line,
    run,
    wait_until,
)

pytestmark = pytest.mark.slow
GUITAR = "guitar vocal cover concert on the old roof"


@pytest.fixture(scope="module")
def service(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(bundle, tmp_path_factory.mktemp("cases") / "data") as service:
        service.wait_until_ready()
        for i in range(3):
            service.put(f"s{i}", name="the guitar channel", bio=GUITAR, tags=["music"])
        service.put("alone", name="Zhu", bio="ranked match", tags=["gaming"])

        def grouped() -> bool:
            group = service.client.get("/v1/streamers/s0/duplicates").json()["group"]
            return group is not None and group["size"] == 3

        wait_until(grouped, "the copies are a group")
        yield service


def rows_of(service: Service, *words: object) -> tuple[list[list[str]], str]:
    """Rows without their header, and what was said on standard error."""
    done = run("cases", *words, "--url", service.url)
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()][1:], done.stderr


def test_from_seeds_to_an_archive(service: Service, tmp_path: Path) -> None:
    done = run("cases", "create", "s0", "--title", "gift scam", "--url", service.url)
    case_id = done.stdout.strip()
    _, said = rows_of(service, "show", case_id)
    with Client(service.url) as client:
        revision = client.cases.get(case_id).revision
    assert said == f"revision {revision}\nnot expanded yet: cases expand {case_id}\n"
    rows, said = rows_of(service, "expand", case_id, "--hops", 2, "--kind", "text")
    assert "3 members" in said
    rows, _ = rows_of(service, "show", case_id)
    assert [row[0] for row in rows] == ["s0", "s1", "s2"]
    assert rows[1][3] == "s0 s1"
    done = run("cases", "decide", case_id, "s1", "cleared", "--note", "fan", "--url", service.url)
    assert done.stdout == "s1 cleared\n"
    rows, _ = rows_of(service, "rerun", case_id)
    assert [row[:4] for row in rows] == [
        ["left", "s1", "verdict", "s1"],
        ["changed", "s2", "verdict", "s1"],
    ]
    done = run("cases", "undo", case_id, "--url", service.url)
    assert done.stdout.startswith("event 4 taken back: rerun")
    rows, _ = rows_of(service, "events", case_id)
    assert [row[3] for row in rows] == ["created", "expanded", "verdict", "rerun", "undone"]
    rows, _ = rows_of(service, "list")
    assert [case_id, "gift scam", "3"] in [row[:3] for row in rows]
    file = tmp_path / "case.zip"
    done = run("cases", "export", case_id, "--out", file, "--json", "--url", service.url)
    assert json.loads(done.stdout) == {"file": str(file), "bytes": file.stat().st_size}
    for option, told in (((), b"/dev/stdout: "), (("--json",), b'{\n  "file": "/dev/stdout"')):
        words = ("cases", "export", case_id, "--out", "/dev/stdout", "--url", service.url, *option)
        piped = subprocess.run(
            command(*words), cwd=ROOT, env=environment(), capture_output=True, check=True
        )
        assert (piped.stdout, piped.stderr[: len(told)]) == (file.read_bytes(), told)
    done = run("verify-case", file, "--json")
    assert json.loads(done.stdout)["members"] == 3
    file.write_bytes(file.read_bytes().replace(b"gift scam", b"gift scan"))
    assert str(file) in error_line(run("verify-case", file))


def test_a_change_is_refused_where_another_one_came_since_the_look(service: Service) -> None:
    with Client(service.url) as client:
        case_id = client.cases.create("t", ["s0", "s1"]).case_id
        _, said = rows_of(service, "show", case_id)
        seen = said.splitlines()[0].removeprefix("revision ")
        client.cases.decide(case_id, "s0", "confirmed", int(seen))
        at_it = ("--if-revision", seen, "--url", service.url)
        for words in (("undo",), ("decide", "s1", "cleared"), ("expand",), ("rerun",)):
            action, *rest = words
            refused = run("cases", action, case_id, *rest, *at_it)
            assert "case_changed (412)" in error_line(refused)
        now = str(client.cases.get(case_id).revision)
        (event,) = (e for e in client.cases.events(case_id).events if e.kind == "verdict")
    done = run("cases", "undo", case_id, "--if-revision", now, "--url", service.url)
    assert done.stdout == f"event 2 taken back: verdict s0 by {event.key_name}\n"


def test_the_client_changes_what_it_has_seen_alone(service: Service) -> None:
    with Client(service.url) as client:
        case = client.cases.create("t", ["s0"], ["alone"])
        ran = client.cases.expand(case.case_id, case.revision, {"hops": 1})
        assert isinstance(ran, RanOut | JobOut)
        if isinstance(ran, JobOut):
            client.jobs.wait(ran.job_id)
        found = list(client.cases.members(case.case_id, page_size=1))
        assert [member.streamer_id for member in found] == ["s0", "s1", "s2"]
        seen = client.cases.get(case.case_id).revision
        decided = client.cases.decide(case.case_id, "s1", "confirmed", seen, "seen live")
        with pytest.raises(Conflict):
            client.cases.decide(case.case_id, "s1", "cleared", seen)
        assert client.cases.verdicts(case.case_id).verdicts[0].note == "seen live"
        assert [e.kind for e in client.cases.events(case.case_id).events][-1] == "verdict"
        assert case.case_id in {each.case_id for each in client.cases.page(limit=200).cases}
        undone = client.cases.undo(case.case_id, decided.revision)
        again = client.cases.rerun(case.case_id, undone.revision)
        assert isinstance(again, RanOut)
        assert not again.differences.joined
        assert client.cases.export(case.case_id, "csv").startswith(b"\xef\xbb\xbf")
        client.cases.delete(case.case_id, again.revision)
        assert case.case_id not in {each.case_id for each in client.cases.page(limit=200).cases}
