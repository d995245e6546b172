"""`lists`, `outreach`, and `similar` with more than one seed, as a person runs them."""

import csv
import io
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.__main__ import main
from service.commands.questions.seeds import condition as parsed_condition
from tests.reliability.fault_proxy import FaultProxy
from tests.service.features.lists.conftest import sheets_of
from tests.service.process import ROOT, Service, command, environment, error_line, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def service(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(bundle, tmp_path_factory.mktemp("lists") / "data") as service:
        service.wait_until_ready()
        for i, (tag, word) in enumerate(
            [("cooking", "soup"), ("cooking", "noodles"), ("music", "guitar"), ("music", "vocal")]
        ):
            service.put(
                f"s{i}",
                tags=[tag],
                bio=f"{word} kitchen {i}",
                name=f"=n{i}",
                category=tag,
                language="en" if i else "zh",
                attributes={"followers": 10 * i},
            )
        yield service


def ask(service: Service, *words: object) -> list[list[str]]:
    """The rows of tab-separated values, the header first."""
    done = run(*words, "--url", service.url)
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


def test_similar_takes_several_seeds_a_filter_and_a_profile(
    service: Service, tmp_path: Path
) -> None:
    header, *rows = ask(service, "similar", "s0", "s1", "--unlike", "s3", "-k", 9)
    assert header == ["rank", "streamer_id", "score", "precision"]
    assert [row[1] for row in rows] == ["s2"]
    _, *rows = ask(service, "similar", "s0", "--must", "followers>=20", "--must", "category=music")
    assert {row[1] for row in rows} == {"s2", "s3"}
    _, *rows = ask(service, "similar", "s0", "--must-not", "category=music,travel")
    assert [row[1] for row in rows] == ["s1"]
    profile = tmp_path / "profile.json"
    profile.write_text(json.dumps({"streamer_id": "x", "tags": ["music"], "bio": "guitar"}))
    _, first, *_ = ask(service, "similar", "--profile", profile)
    assert first[1] in ("s2", "s3")
    _, *all_ = ask(service, "similar", "s0", "--min-score", -1, "--all", "-k", 1)
    assert len(all_) == 3
    done = run("similar", "s0", "--min-score", -1, "--all", "--json", "--url", service.url)
    assert json.loads(done.stdout)["reached"] == 3


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["similar"], 2, "give the ID"),
        (["similar", "s0", "--all"], 2, "--min-score"),
        (["similar", "s0", "--must", "followers"], 2, "is no condition"),
        (["similar", "--profile", "/nowhere"], 1, "--profile /nowhere"),
        (["lists", "preview"], 2, "give the ID"),
        (["lists", "preview", "s0", "--out", "list.doc"], 2, "must end in"),
        (["lists", "preview", "s0", "--max-per", "category"], 2, "FIELD=N"),
        (["lists", "preview", "nobody"], 1, "'nobody' is not stored"),
        (["lists", "run", "nothing"], 1, "no list 'nothing' is saved"),
        (["lists", "show", "x", "--run", "1", "--out", "l.csv"], 1, "no list 'x' is saved"),
        (["lists", "show", "nothing", "--out", "l.csv"], 2, "give the --run"),
        (["lists", "preview", "s0", "--outreach-since", "soon"], 2, "must be a day"),
        (["lists", "preview", "s0", "--outreach-since", "2026"], 2, "must be a day"),
        (["lists", "preview", "s0", "--out", "/nowhere/l.csv"], 1, "--out /nowhere/l.csv"),
    ],
)
def test_what_is_wrong_is_one_line(
    service: Service, words: list[str], status: int, says: str
) -> None:
    done = run(*words, "--url", service.url)
    assert done.returncode == status
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert says in line


def piped(given: bytes, *words: object) -> subprocess.CompletedProcess[str]:
    """A command with that on its standard input, in a locale that is not UTF-8."""
    done = subprocess.run(
        command(*words), input=given, cwd=ROOT, env=environment(LC_ALL="C"), capture_output=True,
        check=False,
    )  # fmt: skip
    out, err = (text.decode() for text in (done.stdout, done.stderr))
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)


def shell(script: str, url: str) -> subprocess.CompletedProcess[str]:
    """A script, whose $@ is a command without its arguments, and $0 the address."""
    words = ["bash", "-c", script, url, *command()]
    return subprocess.run(
        words, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("words", ["similar -", "dedup -", "outreach record -", "lists preview -"])
def test_standard_input_has_to_be_utf_8(
    words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = io.BytesIO(b"\xff\xfes\x000\x00\n\x00")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(given, "ascii"))
    assert main([*words.split(), "--url", "http://127.0.0.1:9"]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("error: standard input is not UTF-8")
    assert said.endswith("save it as UTF-8")


def test_ids_come_from_standard_input(service: Service, tmp_path: Path) -> None:
    given = b"\xef\xbb\xbfs0\tsomething\r\ns2\n\nnobody\n"
    done = piped(given, "dedup", "-", "--url", service.url)
    assert done.returncode == 0, done.stderr
    names = {line.split("\t")[1] for line in done.stdout.splitlines()[1:]}
    assert names == {"s0", "s2", "nobody"}
    for words, given in (
        ("lists preview - --exclude -", "<<< s0"),
        ("similar - -", "<<< s0"),
        ("dedup -", "<&-"),
        ("dedup -", f"0> {tmp_path}/file"),
    ):
        script = f'"$@" {words} --url $0 {given}'
        said = error_line(shell(script, service.url))
        assert said.startswith("error: - can't be read")


def test_a_list_is_previewed_saved_run_and_written_to_files(
    service: Service, tmp_path: Path
) -> None:
    options = ("--without-copies", "--max-per", "category=1", "--explain", "short")
    header, *rows = ask(service, "lists", "preview", "s0", *options, "--group-by", "category")
    assert header[:6] == ["rank", "streamer_id", "name", "category", "followers", "score"]
    assert sorted(row[3] for row in rows) == ["cooking", "music"]
    sheet = tmp_path / "list.xlsx"
    ask(service, "lists", "preview", "s0", *options, "--language", "zh", "--out", sheet)
    assert [row[1] for row in sheets_of(sheet.read_bytes())["名单"][1:]] == [r[1] for r in rows]
    ask(service, "lists", "save", "mine", "s0", "--mark-at", 0.5, "--mmr", 1, "--title", "t")
    (told,) = ask(service, "outreach", "record", "s1", "--at", "2026-01-31", "--note", "x")[1:]
    assert (told[3], told[4], told[5]) == ("1", "s1", "x")
    _, *before = ask(service, "lists", "run", "mine")
    assert before[0][1] == "s1"
    various = ask(service, "lists", "preview", "s0", "--dpp", 0.5)
    assert {row[1] for row in various} == {row[1] for row in before} | {"streamer_id"}
    ask(service, "lists", "save", "mine", "s0", "--outreach-since", "2026-01-01")
    file = tmp_path / "new.csv"
    ask(service, "lists", "run", "mine", "--out", file)
    with file.open(encoding="utf-8-sig", newline="") as lines:
        names = [row["streamer_id"] for row in csv.DictReader(lines)]
    assert names == [row[1] for row in before if row[1] != "s1"]
    assert [row[0] for row in ask(service, "lists", "show", "mine")[1:]] == ["2", "1"]
    assert len(ask(service, "lists", "show", "mine", "--run", 1)) == 4
    for name in ("again.csv", "new-again.csv"):
        more = ("--new-only",) if name.startswith("new") else ()
        ask(service, "lists", "show", "mine", "--run", 2, *more, "--out", tmp_path / name)
    assert (tmp_path / "again.csv").read_bytes() == file.read_bytes()
    assert (tmp_path / "new-again.csv").read_bytes().count(b"\r\n") == 1
    assert ask(service, "lists", "show", "mine", "--run", 2, "--new-only") == [
        ["rank", "streamer_id"]
    ]
    first = tmp_path / "first.xlsx"
    ask(service, "lists", "show", "mine", "--run", 1, "--out", first)
    assert [row[1] for row in sheets_of(first.read_bytes())["List"][1:]] == [r[1] for r in before]
    for i in range(21):  # more than a page has
        body = {"question": {"positive": [{"streamer_id": "s0"}]}}
        httpx.put(f"{service.url}/v1/lists/other-{i:02d}", json=body).raise_for_status()
    listed = ask(service, "lists", "list")[1:]
    assert [row[0] for row in listed] == ["mine", *(f"other-{i:02d}" for i in range(21))]
    revision = listed[0][2]
    words = ("lists", "save", "other-00", "s1", "--url", service.url)
    for option in (("--if-revision", revision), ("--only-new",)):
        done = run(*words, *option)
        assert (done.returncode, "list_conflict" in done.stderr) == (1, True)
    (record,) = ask(service, "outreach", "list", "s1", "--since", "ever")[1:]
    ask(service, "outreach", "delete", record[0])
    assert ask(service, "outreach", "list")[1:] == []
    question = tmp_path / "question.json"
    question.write_text(json.dumps({"positive": [{"streamer_id": "s0"}], "k": 1}))
    assert len(ask(service, "lists", "preview", "--question", question)) == 2
    question.write_text(question.read_text(), encoding="utf-8-sig")
    assert len(ask(service, "lists", "preview", "--question", question)) == 2
    assert len(ask(service, "lists", "preview", "--question", question, "-k", 2)) == 3
    for excluded in (None, ["s1"]):
        wrong = {"positive": [{"streamer_id": "s0"}], "exclude": excluded}
        question.write_text(json.dumps(wrong))
        words = ("lists", "preview", "--question", question, "--url", service.url)
        assert "exclude" in error_line(run(*words, "--exclude", "s2"))
        assert "(422): /exclude" in error_line(run(*words))
    for after in (None, "x"):
        wrong = {"positive": [{"streamer_id": "s0"}], "after_sequence": after}
        question.write_text(json.dumps(wrong))
        assert "(422): /after_sequence" in error_line(run(*words))
    assert parsed_condition("streamer_id=77,s1") == {"field": "streamer_id", "any": ["77", "s1"]}
    assert parsed_condition(f"n>{2**53 + 1}")["gt"] == 2**53 + 1
    assert parsed_condition("n<=1.5e3")["lte"] == 1500
    assert ask(service, "lists", "delete", "mine") == [["mine"]]


def test_a_run_that_may_be_kept_is_told(service: Service, tmp_path: Path) -> None:
    ask(service, "lists", "save", "lost", "s0")
    ask(service, "lists", "run", "lost")
    file = tmp_path / "new.csv"
    with FaultProxy(int(service.url.rpartition(":")[2]), rb"POST /v1/lists/lost:run") as proxy:
        proxy.cut_after_commit(1000)
        url = ("--url", f"http://127.0.0.1:{proxy.port}")
        for option in (("--out", file), ()):
            said = error_line(run("lists", "run", "lost", "--new-only", *option, *url))
            assert "the run may be kept" in said
            assert "`lists show lost`" in said
            assert "--new-since N" in said
    assert list(tmp_path.iterdir()) == []
    full = shell('"$@" lists run lost --new-only --url $0 > /dev/full', service.url)
    assert "standard output takes no more" in error_line(full)
    assert "the run may be kept" in full.stderr
    end, begin = os.pipe()
    os.close(end)
    words = command("lists", "run", "lost", "--url", service.url)
    with os.fdopen(begin, "wb") as unread:
        seen = subprocess.run(
            words, cwd=ROOT, env=environment(), stdout=unread, stderr=subprocess.PIPE, check=False
        )
    assert (seen.returncode, b"may be kept" in seen.stderr) == (0, False)
    shown = [row[0] for row in ask(service, "lists", "show", "lost")[1:]]
    assert shown == ["5", "4", "3", "2", "1"]
    refused = error_line(run("lists", "run", "nothing", "--out", file, "--url", service.url))
    assert "may be kept" not in refused


def test_what_a_file_lacks_is_told(bundle: Path, tmp_path: Path) -> None:
    with Service(bundle, tmp_path / "data", STREAMER_DUPLICATES__EVALUATE="false") as service:
        service.wait_until_ready()
        for i in range(3):
            service.put(f"s{i}", tags=["cooking"], bio=f"soup {i}")
        asked = ("lists", "preview", "s0", "--url", service.url, "--without-copies", "--out")
        why = "no groups of duplicates have been evaluated, so copies may be on the list"
        for name, more in (("l.csv", ()), ("job.csv", ("-k", 1001)), ("l.xlsx", ())):
            done = run(*asked, tmp_path / name, *more)
            assert (done.returncode, done.stderr) == (0, f"incomplete: {why}\n")
        told = json.loads(run(*asked, tmp_path / "l.csv", "--json").stdout)
        assert told["incomplete_because"] == why
        whole = ("lists", "preview", "s0", "--out", tmp_path / "l.csv", "--url", service.url)
        assert run(*whole).stderr == ""
        wrong = (*whole, "--exclude", "misspelt", "--field", "昵称")
        warnings = [
            "exclude.ids: 'misspelt' is not stored",
            "fields: no streamer of the list has '昵称'",
        ]
        for more in ((), ("-k", 1001)):
            done = run(*wrong, *more)
            assert done.stderr.splitlines() == [f"warning: {warning}" for warning in warnings]
        assert json.loads(run(*wrong, "--json").stdout)["warnings"] == warnings
