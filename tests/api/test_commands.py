"""The command line: each command once with a real answer, for people and for programs."""

import csv
import json
import os
import pty
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ADMIN_KEY
from tests.support.api import Api
from tests.support.bundles import DIM, ESTABLISHED_IDS, TOPICS, write_bundle
from tests.support.machine import free_port
from tests.support.receiver import receiving
from tests.support.service import ROOT, Service, command, environment, run, wait_until, write_data

RING = "guitar vocal cover concert every night at nine, 7e1f90ab 55d2c3e4 write to me"
COOKS = [f"cook-{i}" for i in range(4)]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    models = tmp_path_factory.mktemp("models")
    write_bundle(models / "next", seed=1)
    return {
        "STREAMER_MODELS__FOLDER": str(models),
        "STREAMER_WEBHOOKS__PRIVATE_NETWORKS": "127.0.0.0/8",
    }


@pytest.fixture(scope="module", autouse=True)
def stored(api: Api) -> None:
    cook = {"tags": ["cooking"], "category": "food", "language": "en", "bio": "kitchen soup"}
    profiles: list[dict[str, Any]] = [
        {"streamer_id": name, "name": f"Kitchen {i}", **cook} for i, name in enumerate(COOKS)
    ]
    profiles += [{"streamer_id": f"ring-{i}", "name": "the ring", "bio": RING} for i in (1, 2)]
    profiles += [{"streamer_id": ESTABLISHED_IDS[0], "tags": ["cooking"]}, {"streamer_id": "empty"}]
    api.wait_until_grouped(api.write(profiles))


class Shell:
    """Runs commands against the module's service."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.data_dir = ("--data-dir", service.data_dir)
        self.variables = {"STREAMER_URL": service.url, "STREAMER_API_KEY": ADMIN_KEY}

    def done(
        self, *words: object, status: int = 0, given: str = ""
    ) -> subprocess.CompletedProcess[str]:
        done = run(*words, given=given, **self.variables)
        assert done.returncode == status, done.stdout + done.stderr
        return done

    def rows(self, *words: object, **options: Any) -> list[dict[str, str]]:
        """The table that a pipe gets."""
        text = self.done(*words, **options).stdout
        return list(csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))

    def json(self, *words: object, **options: Any) -> Any:
        return json.loads(self.done(*words, "--json", **options).stdout)

    def error(self, *words: object, status: int = 1, given: str = "") -> str:
        """The one line of a command that fails; it prints no answer."""
        done = self.done(*words, status=status, given=given)
        assert done.stdout == ""
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: ")
        return line


@pytest.fixture(scope="module")
def shell(service: Service) -> Shell:
    return Shell(service)


# Questions


def test_similar_takes_seeds_filters_and_ids_from_its_input(shell: Shell, api: Api) -> None:
    rows = shell.rows("similar", "cook-0", "-k", 2, "--must", "category=food")
    assert [(row["rank"], row["streamer_id"]) for row in rows] == [("1", "cook-1"), ("2", "cook-2")]
    asked = shell.json(
        *(
            "similar",
            "-",
            "--unlike",
            "ring-1",
            "--must",
            "language=en",
            "--must-not",
            "tags=music",
        ),
        *("--min-score", "0.1", "--explain"),
        given="cook-0 and more\ncook-1\n",
    )
    assert [hit["streamer_id"] for hit in asked["hits"]] == COOKS[2:]
    assert asked["hits"][0]["reasons"]["shared"]["tags"] == ["cooking"]
    assert asked["model_version"] == api.ok("GET", "/readyz")["model_version"]
    assert "streamer_not_found (404)" in shell.error("similar", "nobody")


def test_find_cold_start_dedup_and_compare(shell: Shell) -> None:
    found = shell.done("find", "kitchen", "--language", "en", "--limit", 2)
    assert found.stdout.splitlines()[0].split("\t")[:2] == ["streamer_id", "name"]
    assert len(found.stdout.splitlines()) == 3
    assert found.stderr.startswith("there are more: ")
    (near,) = shell.rows("cold-start", "cook-0", "--neighbours", 1)
    assert near["streamer_id"] == ESTABLISHED_IDS[0]
    done = shell.done("dedup", "-", given="cook-0\nring-1\nring-2\nnobody\nempty\n")
    groups = [tuple(line.split("\t")[:2]) for line in done.stdout.splitlines()[1:]]
    assert groups == [
        ("1", "ring-1"), ("1", "ring-2"), ("unique", "cook-0"), ("not_comparable", "empty"),
        ("not_stored", "nobody"),
    ]  # fmt: skip
    assert done.stderr.startswith("warning: 1 of the ids are not stored")
    compared = shell.json("compare", "ring-1", "ring-2")
    assert compared["verdict"] == "near_duplicate"


def test_duplicates_judgements_and_events(shell: Shell, api: Api) -> None:
    groups = shell.rows("duplicates", "list", "--limit", 1000)
    assert ("ring-1", "2") in [(group["representative"], group["size"]) for group in groups]
    (row,) = shell.rows("judge", "cook-0", "cook-1", "different", "--note", "two brothers")
    assert (row["a"], row["b"], row["verdict"], row["note"]) == (
        "cook-0", "cook-1", "different", "two brothers"
    )  # fmt: skip
    (kept,) = shell.json("duplicates", "judgements", "cook-1")["judgements"]
    assert kept["verdict"] == "different"
    shell.done("judge", "cook-1", "cook-0", "take-back")
    assert api.ok("GET", "/v1/judgements?streamer_id=cook-1")["judgements"] == []
    events = shell.done("events", "--kinds", "streamer.*")
    lines = [line.split("\t") for line in events.stdout.splitlines()[1:]]
    assert [line[1:3] for line in lines][:2] == [
        ["streamer.upserted", "cook-0"],
        ["streamer.upserted", "cook-1"],
    ]
    assert "--cursor" in events.stderr


# What teams keep


def test_lists_and_outreach(shell: Shell, api: Api, tmp_path: Path) -> None:
    rows = shell.rows("lists", "preview", "cook-0", "-k", 3, "--explain", "short")
    assert [row["streamer_id"] for row in rows] == COOKS[1:]
    assert all("cooking" in row["why"] for row in rows)
    shell.done("lists", "save", "spring", "cook-0", "-k", 3, "--must", "category=food")
    record = shell.json("outreach", "record", "cook-1", "--note", "mail", "--at", "2030-01-31")
    assert record["ids"] == ["cook-1"]
    (listed,) = api.ok("GET", "/v1/outreach?streamer_id=cook-1")["outreach"]
    assert (listed["outreach_id"], listed["note"]) == (record["outreach_id"], "mail")
    out = tmp_path / "spring.csv"
    assert str(out) in shell.done("lists", "run", "spring", "--out", out).stdout
    with out.open(encoding="utf-8-sig", newline="") as file:
        assert [row["streamer_id"] for row in csv.DictReader(file)] == COOKS[1:]
    (kept,) = api.ok("GET", "/v1/lists/spring")["runs"]
    assert (kept["run"], kept["rows"]) == (1, 3)


def test_ratings_interleaving_and_figures(shell: Shell, api: Api, tmp_path: Path) -> None:
    question = shell.json("ratings", "put", "cook-1", 2, "--like", "cook-0")["question_id"]
    (rating,) = shell.rows("ratings", "list", "--question", question)
    assert (rating["streamer_id"], rating["rating"]) == ("cook-1", "2")
    exported = json.loads(shell.done("ratings", "export").stdout)
    assert (exported["question_id"], exported["rating"]) == (question, 2)
    lists = tmp_path / "lists.ndjson"
    shell.done("interleave", "cook-0", "cook-1", "--out", lists, "-k", 2)
    assert lists.stat().st_size
    figures = shell.done("evaluate-ratings", status=1)  # too few questions for a verdict
    assert figures.stdout.startswith("figure\tmean\tlow\thigh\n")
    shell.done("ratings", "take-back", question, "cook-1")
    assert api.ok("GET", "/v1/ratings")["ratings"] == []


def test_watchlists_and_alerts(shell: Shell) -> None:
    words = ("--name", "ring", "--min-probability", "0.5", "--not-like", "cook-0")
    made = shell.json("watchlists", "create", "ring-1", *words)["watchlist_id"]
    opened = ("alerts", "list", "--state", "open", "--list", made)
    api = shell.service.api
    wait_until(
        lambda: api.ok("GET", f"/v1/alerts?state=open&watchlist_id={made}")["alerts"],
        "the other one of the ring matches",
    )
    (alert,) = shell.rows(*opened)
    assert (alert["streamer_id"], alert["like"], alert["list"]) == ("ring-2", "ring-1", "ring")
    (row,) = shell.rows("alerts", "dismiss", alert["alert_id"], "--note", "his brother")
    assert row["state"] == "dismissed"


def test_a_case_to_its_archive(shell: Shell, api: Api, tmp_path: Path) -> None:
    case = shell.done("cases", "create", "ring-1", "--title", "scam").stdout.strip()
    assert "2 members" in shell.done("cases", "expand", case, "--hops", 2).stderr
    assert shell.done("cases", "decide", case, "ring-2", "confirmed").stdout.startswith("ring-2")
    shown = api.ok("GET", f"/v1/cases/{case}")
    assert [m["streamer_id"] for m in shown["members"]] == ["ring-1", "ring-2"]
    assert shown["members"][1]["verdict"]["verdict"] == "confirmed"
    archive = tmp_path / "case.zip"
    shell.done("cases", "export", case, "--out", archive)
    assert shell.done("verify-case", archive).stdout.startswith(f"{case}: 2 members")
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    shell.done("verify-case", archive, status=1)


def test_webhooks(shell: Shell) -> None:
    with receiving() as receiver:
        made = shell.json(
            "webhooks", "create", receiver.url(), "--kinds", "duplicates.*,watchlist.*"
        )
        assert made["kinds"] == ["duplicates.*", "watchlist.*"]
        tested = shell.rows("webhooks", "test", made["webhook_id"])
        assert "204" in tested[-1].values()
        (received,) = receiver.wait_for(1)
        received.verified(made["secret"])


def test_a_space_and_the_next_model(shell: Shell, api: Api, tmp_path: Path) -> None:
    ids = [*COOKS, "ring-1", "ring-2", ESTABLISHED_IDS[0]]
    vectors = np.array([api.embedding(name)[:8] for name in ids], np.float32)
    np.savez(tmp_path / "vectors.npz", ids=ids, vectors=vectors)
    put = shell.done("space", "put", "als", "g0", tmp_path / "vectors.npz", "--promote", "--force")
    assert "g0 is active: 7 streamers" in put.stderr
    assert api.ok("GET", "/v1/spaces/als")["active"]["generation"] == "g0"
    assert shell.json("models", "register", "next")["state"] == "registered"
    assert {m["model_version"] for m in api.ok("GET", "/v1/models")["models"]} == {
        "test-0",
        "test-1",
    }
    assert "no layout" in shell.done("map", "show").stderr


# Many streamers, jobs, and work without a service


def test_load_names_bad_lines_and_is_repeated_without_harm(shell: Shell, tmp_path: Path) -> None:
    lines = [{"streamer_id": f"load-{i}", "bio": "mountain hostel"} for i in range(5)]
    data = write_data(tmp_path / "set", lines)
    with (data / "streamers.jsonl").open("a") as file:
        file.write("\n{no json}\n")
    loaded = shell.done("load", data, "--json", status=1)
    counts = json.loads(loaded.stdout)
    assert (counts["stored"], counts["created"]) == (5, 5)
    assert [bad["line"] for bad in counts["errors"]] == [7]
    assert f"{data}/streamers.jsonl:7: " in loaded.stderr
    again = shell.json("load", "/dev/stdin", given="".join(json.dumps(p) + "\n" for p in lines))
    assert (again["created"], again["unchanged"]) == (0, 5)


def test_encoded_elsewhere_and_imported(
    shell: Shell, api: Api, bundle: Path, tmp_path: Path
) -> None:
    profiles = [{"streamer_id": f"enc-{i}", "bio": f"train {i} 吉他"} for i in range(6)]
    data = write_data(tmp_path / "set", [*profiles, {"streamer_id": "enc-thin"}])
    source, file = data / "streamers.jsonl", tmp_path / "encoded.parquet"
    shell.done("encode", "--bundle", bundle, "--in", source, "--out", file)
    imported = shell.json("import", file)
    assert (imported["lines"], imported["created"], imported["refused"]) == (7, 7, 0)
    out = tmp_path / "vectors.npz"
    embedded = shell.done("embed", "--bundle", bundle, "--data", data, "--out", out)
    assert f"{out}: 6 vectors of {DIM}, 1 without usable content" in embedded.stdout
    with np.load(out, allow_pickle=False) as made:
        assert made["ids"].tolist() == [profile["streamer_id"] for profile in profiles]
        np.testing.assert_allclose(made["vectors"][3], api.embedding("enc-3"), atol=1e-6)
    assert api.ok("GET", "/v1/streamers/enc-3")["profile"]["bio"] == "train 3 吉他"


def test_jobs(shell: Shell) -> None:
    job = shell.done("jobs", "rebuild-index").stdout.split()[0]
    watched = shell.done("jobs", "watch", job)
    assert "index_rebuild: succeeded" in watched.stdout + watched.stderr


def test_keys_erasure_and_the_audit_log(shell: Shell, api: Api) -> None:
    made = shell.json("keys", "create", "--name", "n", "--scope", "search", *shell.data_dir)
    with Api(shell.service.url, made["key"]) as key:
        asked = "/v1/streamers/cook-0/similar"
        wait_until(lambda: key.get(asked).status_code == 200, "the key is known")
        key.refused("DELETE", "/v1/streamers/cook-0", status=403, code="missing_scope")
        assert made["key_id"] in shell.done("keys", "list", *shell.data_dir).stdout
        shell.done("keys", "revoke", made["key_id"], *shell.data_dir)
        wait_until(lambda: key.get(asked).status_code == 401, "the key is revoked")
    api.put_streamer("forget", bio="beach")
    erased = shell.json("erase", "forget", *shell.data_dir)
    assert erased["streamer_id"] == "forget"
    api.refused("GET", "/v1/streamers/forget", status=404, code="streamer_not_found")
    audit = shell.json("verify-audit", *shell.data_dir)
    assert audit["problems"] == []
    files = [*(shell.service.data_dir / "audit").rglob("*")]
    assert any(b"forget" in file.read_bytes() for file in files if file.is_file())


def test_a_store_is_compacted_verified_and_watched_for_drift(
    shell: Shell, api: Api, bundle: Path
) -> None:
    words = [word for topic in TOPICS.values() for word in topic.split()]
    draw = np.random.default_rng(3)
    profiles = [
        {"streamer_id": f"pack-{i}", "bio": " ".join(draw.choice(words, 8)), "name": f"n {i}"}
        for i in range(1100)
    ]
    before = api.write(profiles)
    packed = shell.json("compact", *shell.data_dir)
    assert packed["streamers"] >= 1100
    assert api.ok("GET", "/v1/streamers/pack-7")["profile"] == profiles[7]
    verified = shell.json(
        *("verify", *shell.data_dir, "--url", shell.service.url),
        *("--reencode-sample", 20, "--bundle", bundle),
    )
    assert verified["differences"] == 0
    parts = {part["part"]: part["streamers"] for part in verified["parts"]}
    assert parts["store"] == parts["served"] > 1100
    assert api.ok("GET", "/readyz")["store_sequence"] == before  # packing is no write
    drift = shell.done("drift", *shell.data_dir, "--bundle", bundle, "--days", 7, status=1)
    assert drift.stderr.splitlines()[-1].startswith("error: only 0 of ")  # all of it is new


def test_a_release_is_checked_by_held_out_streamers(bundle: Path, tmp_path: Path) -> None:
    checked = run("release-check", bundle, "--data", write_data(tmp_path / "set", []))
    assert checked.returncode == 1
    assert "splits.csv" in checked.stderr


# What all commands share


def test_wrong_arguments_are_one_line_with_status_2(shell: Shell) -> None:
    secret = shell.error("load", "data", "--api-key", "sk_secret", status=2)
    assert "STREAMER_API_KEY" in secret
    assert "sk_secret" not in secret
    assert "--url" in shell.error("verify", "--url", "ftp://localhost", status=2)


def test_without_the_key_or_the_service_it_is_told_in_a_line(shell: Shell) -> None:
    refused = run("alerts", "list", STREAMER_URL=shell.service.url)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "STREAMER_API_KEY" in refused.stderr
    nowhere = f"http://127.0.0.1:{free_port()}"
    assert nowhere in shell.error("judge", "a", "b", "same", "--url", nowhere, "--timeout", 1)


def test_a_terminal_gets_a_table_and_help_names_every_command(shell: Shell) -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        command("similar", "cook-0", "-k", 1, "--must", "category=food"),
        cwd=ROOT,
        env=environment(**shell.variables),
        stdout=theirs,
        check=False,
    )
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert done.returncode == 0
    assert shown.splitlines()[0].split() == ["rank", "streamer_id", "score", "precision"]
    assert "\t" not in shown
    helped = run("--help").stdout
    for name in ("serve", "similar", "watchlists", "restore", "verify-audit", "completion"):
        assert f"\n    {name} " in helped
    completion = run("completion", "bash")
    assert completion.returncode == 0
    assert "rebuild-index" in completion.stdout


def test_a_follower_of_events_that_is_ended_tells_where_to_go_on(shell: Shell, api: Api) -> None:
    following = subprocess.Popen(
        command("events", "--follow", "--json", "--kinds", "streamer.*"),
        cwd=ROOT,
        env=environment(**shell.variables, PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with following:
        assert following.stdout is not None
        assert following.stderr is not None
        api.put_streamer("followed", bio="hostel")
        while "followed" not in following.stdout.readline():
            assert following.poll() is None
        following.send_signal(signal.SIGTERM)
        assert "--cursor" in following.stderr.read()
    assert following.returncode == 143
