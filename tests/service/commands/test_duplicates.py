"""`duplicates`, `compare`, `judge` and `events`, as a person and as a script run them."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.process import (
    ROOT,
    START_S,
    Service,
    command,
    environment,
    error_line,
    run,
    wait_until,
)

pytestmark = pytest.mark.slow
UNKNOWN = "dup-" + "0" * 24


@pytest.fixture(scope="module")
def service(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(bundle, tmp_path_factory.mktemp("duplicates") / "data") as service:
        service.wait_until_ready()
        for i in range(4):
            service.put(f"s{i}", name="the guitar channel", bio="guitar vocal cover concert")
        service.put("alone", name="Zhu", bio="ranked match", tags=["gaming"])
        wait_until(lambda: size_of_group(service) == 4, "the copies are a group")
        yield service


def size_of_group(service: Service) -> int:
    group = service.client.get("/v1/streamers/s0/duplicates").json()["group"]
    return 0 if group is None else group["size"]


def rows_of(service: Service, *words: object) -> tuple[list[list[str]], str]:
    """Rows without their header, and what was said on standard error."""
    done = run(*words, "--url", service.url)
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()][1:], done.stderr


def test_from_a_streamer_to_its_group(service: Service) -> None:
    rows, said = rows_of(service, "duplicates", "of", "s0")
    assert sorted(row[0] for row in rows) == ["s1", "s2", "s3"]
    group_id = rows[0][3]
    assert said == f"in {group_id}, a group of 4\n"
    rows_of_none, said = rows_of(service, "duplicates", "of", "alone")
    assert rows_of_none == []
    assert said.startswith("in no group, as of write ")
    ((listed, size, *_),) = rows_of(service, "duplicates", "list")[0]
    assert (listed, size) == (group_id, "4")
    rows, said = rows_of(service, "duplicates", "show", group_id)
    assert [row[0] for row in rows] == ["s0", "s1", "s2", "s3"]
    assert [row[1] for row in rows] == ["3"] * 4
    assert said == ""
    rows, _ = rows_of(service, "duplicates", "show", group_id, "--edges")
    assert len(rows) == 6
    _, said = rows_of(service, "duplicates", "show", group_id, "--limit", 2)
    assert said.startswith("there are more: ")
    done = run("duplicates", "show", group_id, "--json", "--url", service.url)
    real = service.client.get(f"/v1/duplicates/{group_id}").json()
    assert json.loads(done.stdout) == real


def test_a_waterfall_adds_up(service: Service) -> None:
    rows, said = rows_of(service, "compare", "s0", "s1")
    answer = json.loads(run("compare", "s0", "s1", "--json", "--url", service.url).stdout)
    shown = {row[0]: float(row[3]) for row in rows}
    assert shown == {c["channel"]: c["weight"] for c in answer["channels"]}
    present = [row for row in rows if row[1] != "absent"]
    assert float(rows[-1][4]) == pytest.approx(answer["weight"])
    assert [row[3] for row in present] == sorted(
        (row[3] for row in present), key=float, reverse=True
    )
    assert said.startswith(f"near_duplicate: {answer['weight']:.1f} bits, ")
    assert present[0][5]
    rows, _ = rows_of(service, "compare", "s0", "s1", "--without", "text")
    assert {row[0]: row[1] for row in rows}["text"] == "absent" or all(
        float(row[3]) == 0 for row in rows if row[0] == "text"
    )


def test_a_judgement_splits_and_the_feed_tells(service: Service) -> None:
    cursor = json.loads(run("events", "--json", "--url", service.url).stdout)["next_cursor"]
    kinds = ("--kinds", "duplicates.*")
    words = ("events", "--follow", "--json", "--cursor", cursor, *kinds, "--url", service.url)
    with subprocess.Popen(
        command(*words), cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True
    ) as follow:
        try:
            rows, said = rows_of(
                service, "judge", "s1", "s0", "different", "--note", "two brothers"
            )
            assert [row[:3] for row in rows] == [["s0", "s1", "different"]]
            assert rows[0][4] == "two brothers"
            assert said == ""
            assert follow.stdout is not None
            event = json.loads(follow.stdout.readline())
        finally:
            follow.terminate()
    assert event["kind"] == "duplicates.split"
    rows, said = rows_of(service, "events", "--cursor", cursor, *kinds)
    assert event["kind"] in [row[1] for row in rows]
    assert said.startswith("go on with --cursor ")
    _, said = rows_of(service, "judge", "s1", "s2", "same")
    _, more = rows_of(service, "judge", "s0", "s2", "same")
    assert "overrules the judgement of s0 and s1" in said + more
    rows, _ = rows_of(service, "duplicates", "judgements", "s0")
    assert [row[:3] for row in rows] == [["s0", "s1", "different"], ["s0", "s2", "same"]]
    for pair in (("s0", "s1"), ("s1", "s2"), ("s0", "s2")):
        rows_of(service, "judge", *pair, "take-back")
    assert rows_of(service, "duplicates", "judgements")[0] == []
    wait_until(lambda: size_of_group(service) == 4, "they are one group again")


def test_a_reader_of_the_feed_that_has_seen_enough_is_no_error(service: Service) -> None:
    words = ("events", "--follow", "--url", service.url)
    with subprocess.Popen(
        command(*words),
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as follow:
        assert follow.stdout is not None
        assert follow.stderr is not None
        assert follow.stdout.readline().startswith("at\tkind\t")
        follow.stdout.close()
        rows_of(service, "judge", "s0", "s1", "different")  # makes events that nobody reads
        wait_until(lambda: size_of_group(service) != 4, "they are parted")
        rows_of(service, "judge", "s0", "s1", "take-back")
        assert follow.wait(START_S) == 0
        assert follow.stderr.read() == ""
    wait_until(lambda: size_of_group(service) == 4, "they are one group again")


def test_a_rebuild_is_a_job(service: Service) -> None:
    job = json.loads(run("duplicates", "rebuild", "--json", "--url", service.url).stdout)
    done = run("jobs", "watch", job["job_id"], "--url", service.url)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("duplicates", "show", "dup-garbage"), "group_id"),
        (("duplicates", "show", UNKNOWN), "there was never a group"),
        (("duplicates", "of", "nobody"), "'nobody' is not stored"),
        (("compare", "s0", "nobody"), "'nobody' is not stored"),
        (("judge", "s0", "s0", "same"), "two different streamers"),
        (("judge", "s0", "nobody", "same"), "not stored: 'nobody'"),
        (("judge", "s0", "alone", "take-back"), "has no judgement"),
        (("events", "--kinds", "duplicate.*"), "NAME is one of"),
        (("events", "--cursor", "dup-garbage"), "is not a cursor that this service gave"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(
    service: Service, words: tuple[str, ...], said: str
) -> None:
    assert said in error_line(run(*words, "--url", service.url))


@pytest.mark.parametrize(
    "words",
    [
        ("judge", "s0", "s1", "maybe"),
        ("judge", "s0", "s1", "take-back", "--note", "why"),
        ("compare", "s0", "s1", "--without", "nothing"),
        ("duplicates", "show"),
        ("duplicates", "show", "s0"),
        ("duplicates", "list", "--limit", "0"),
    ],
)
def test_wrong_arguments_have_their_status(service: Service, words: tuple[str, ...]) -> None:
    done = run(*words, "--url", service.url)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
