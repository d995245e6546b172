"""`find`, `ratings`, `interleave` and `evaluate-ratings`, as a person and as a script run them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.process import Service, error_line, run, wait_until

pytestmark = pytest.mark.slow
SEEDS = [f"cook{i}" for i in range(12)]


@pytest.fixture(scope="module")
def service(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(bundle, tmp_path_factory.mktemp("ratings") / "data") as service:
        service.wait_until_ready()
        for place, name in enumerate(SEEDS):
            service.put(name, name=f"home kitchen {place}", tags=["cooking"], bio="kitchen")
        for place in range(4):
            service.put(f"play{place}", name=f"ranked {place}", tags=["gaming"], language="zh")
        wait_until(lambda: len(rows_of(service, "find", "ranked")) == 4, "names are found")
        yield service


def rows_of(service: Service, *words: object) -> list[list[str]]:
    """Rows without their header."""
    done = run(*words, "--url", service.url)
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()][1:]


def test_find(service: Service) -> None:
    shortest, longer = rows_of(service, "find", "kitchen 1", "--limit", 2)
    assert shortest == ["cook1", "home kitchen 1", "name_part", "", ""]
    assert longer in [[f"cook1{i}", f"home kitchen 1{i}", "name_part", "", ""] for i in range(10)]
    assert [row[0] for row in rows_of(service, "find", "RANKED 2")] == ["play2"]
    assert rows_of(service, "find", "kitchen", "--language", "zh") == []
    assert len(rows_of(service, "find", "ranked", "--language", "zh", "--tag", "gaming")) == 4
    done = run("find", "kitchen", "--limit", 3, "--url", service.url, "--json")
    assert len(json.loads(done.stdout)["streamers"]) == 3
    done = run("find", "kitchen", "--limit", 3, "--url", service.url)
    assert "there are more" in done.stderr
    assert "two characters" in error_line(run("find", "k", "--url", service.url))


def test_from_ratings_to_a_verdict(service: Service, tmp_path: Path) -> None:
    (given,) = run(
        *("ratings", "put", "cook1", 3, "--like", "cook0"),
        *("--note", "loud", "--url", service.url),
    ).stdout.splitlines()
    assert given.startswith("cook1: 3, for question ")
    question_id = given.split()[-1]
    again = run("ratings", "put", "cook1", 2, "--like", "cook0", "--url", service.url)
    assert "2 in place of 3" in again.stdout
    ((listed, question, streamer_id, rating, *_, note),) = rows_of(service, "ratings", "list")
    assert note == "loud"
    assert (listed, question, streamer_id, rating) == (question_id, "cook0", "cook1", "2")
    few = run("evaluate-ratings", "--url", service.url)
    assert few.returncode == 1
    assert "no verdict: 1 questions" in few.stderr
    for seed in SEEDS:
        hits = service.client.get(f"/v1/streamers/{seed}/similar", params={"k": 4}).json()["hits"]
        for hit in hits:
            rating = 3 if hit["streamer_id"].startswith("cook") else 0
            body = {
                "question": {"positive": [seed]},
                "streamer_id": hit["streamer_id"],
                "rating": rating,
            }
            service.client.put("/v1/ratings", json=body).raise_for_status()
    exported = run("ratings", "export", "--url", service.url)
    file = tmp_path / "ratings.ndjson"
    assert len(exported.stdout.splitlines()) >= 48
    noted = exported.stdout.replace('"note":"loud"', '"note":"loud\u2028and\x85long"')
    assert noted != exported.stdout
    file.write_text(noted, encoding="utf-8-sig")
    for more in ((), ("--ratings", file)):
        done = run("evaluate-ratings", "-k", 4, *more, "--url", service.url, "--json")
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert told["questions"] == 12
        figures = told["figures"]
        coverage = next(f for name, f in figures.items() if name.startswith("judged coverage"))
        ndcg = next(f for name, f in figures.items() if name.startswith("ndcg@4"))
        assert coverage["mean"] == 1
        assert ndcg["low"] <= ndcg["mean"] <= ndcg["high"] <= 1
        assert told["verdict"].startswith("ndcg@4 is ")
    most = ("--min-rated", 5, "--json")  # cook0 has a fifth one
    left = json.loads(run("evaluate-ratings", "-k", 4, *most, "--url", service.url).stdout)
    assert left["questions"] <= 1
    assert any("fewer than 5 rated streamers" in note for note in left["notes"])
    thin = run("evaluate-ratings", "-k", 14, "--ratings", file, "--url", service.url)
    assert thin.returncode == 1
    assert "of the hits are judged" in thin.stderr
    two = ("--strategy", "average", "--against", "best_score", "-k", 4, "--url", service.url)
    done = run("evaluate-ratings", *two)
    assert done.returncode == 0
    assert "no difference" in done.stdout  # of one seed all strategies answer alike
    back = run("ratings", "take-back", question_id, "cook1", "--url", service.url)
    assert "taken back" in back.stdout


def test_interleave_names_a_file_that_can_not_be_written(service: Service, tmp_path: Path) -> None:
    words = ("interleave", "cook0", "--out", tmp_path, "--url", service.url)
    assert f"--out {tmp_path} can't be used" in error_line(run(*words))


def test_an_interleaved_list_is_credited_by_ratings(service: Service, tmp_path: Path) -> None:
    lists = tmp_path / "lists.ndjson"
    words = ("interleave", "cook0", "play0", "-k", 6, "--seed", 7, "--out", lists)
    shown = [row[1] for row in rows_of(service, *words)]
    assert shown == [row[1] for row in rows_of(service, *words)]
    kept = [json.loads(line) for line in lists.read_text(encoding="utf-8").splitlines()]
    assert [name for name, _ in kept[0]["picks"]] == shown
    assert sorted(team for _, team in kept[0]["picks"]) == [0, 0, 0, 1, 1, 1]
    for name in shown:
        like = ("--like", "play0", "cook0")
        done = run("ratings", "put", name, 2, *like, "--url", service.url)
        assert done.returncode == 0, done.stderr
    asked = ("evaluate-ratings", "--interleaved", lists, "--url", service.url)
    assert "no verdict: 2 questions" in run(*asked).stderr
    done = run(*asked, "--min-questions", 2)
    assert done.returncode == 0, done.stderr
    assert "no difference between average and best_score is shown" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("ratings", "put", "cook1", "4", "--like", "cook0"), "from 0 to 3"),
        (("evaluate-ratings", "--min-coverage", "2"), "a share from 0 to 1"),
        (("interleave", "cook0", "--strategies", "average", "worst", "--out", "x"), "choose from"),
    ],
)
def test_wrong_arguments_are_named(words: tuple[str, ...], said: str) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.parametrize("option", ["--ratings", "--interleaved"])
def test_a_file_that_is_none_is_named(service: Service, tmp_path: Path, option: str) -> None:
    file = tmp_path / "file"
    file.write_text('\n{"neither": 1}\n')
    said = error_line(run("evaluate-ratings", option, file, "--url", service.url))
    assert f"{option} {file}:2: " in said
    file.write_bytes("été".encode("latin-1"))
    said = error_line(run("evaluate-ratings", option, file, "--url", service.url))
    assert f"{option} {file} is not UTF-8" in said
    said = error_line(run("evaluate-ratings", option, tmp_path / "none", "--url", service.url))
    assert "can't be used" in said
    said = error_line(run("ratings", "put", "nobody", 1, "--like", "cook0", "--url", service.url))
    assert "nobody" in said
