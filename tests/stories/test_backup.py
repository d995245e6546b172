"""Backups: made beside a running service, restored elsewhere, and stores that lost something."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.client import Client
from service.client.models import RanOut
from tests.conftest import ADMIN_KEY, Serve
from tests.support.receiver import receiving
from tests.support.service import run, wait_until
from tests.support.valkey import Server

COPIES = ["copy-0", "copy-1", "copy-2"]
VARIABLES = {
    "STREAMER_API_KEY": ADMIN_KEY,
    "STREAMER_WEBHOOKS__PRIVATE_NETWORKS": "127.0.0.0/8",
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """An empty store of one's own."""
    folder = tmp_path / "server"
    folder.mkdir()
    server = Server(folder)
    server.start()
    yield server
    server.kill()


def answered(*words: object, **variables: str) -> dict[str, Any]:
    done = run(*words, "--json", **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def grouped(client: Client, sequence: int) -> None:
    wait_until(
        lambda: (client.duplicates.page().evaluated_sequence or 0) >= sequence, "it is grouped"
    )


def work(client: Client, ids: list[str]) -> None:
    """What teams do: lists, outreach, ratings, judgements, a watchlist, alerts, a case."""
    client.lists.save("spring", {"positive": [{"streamer_id": ids[0]}], "k": 5})
    client.lists.run("spring")
    client.outreach.record([ids[1]], note="mail")
    client.ratings.put({"question": {"positive": [ids[0]]}, "streamer_id": ids[1], "rating": 2})
    client.judgements.put(ids[1], ids[2], "different", "two brothers")
    made = client.watchlists.create(
        {"name": "ring", "positive": [{"streamer_id": COPIES[0]}], "min_probability": 0.5}
    )
    opened = lambda: list(client.alerts.all(state="open", watchlist_id=made.watchlist_id))  # noqa: E731
    wait_until(lambda: {alert.streamer_id for alert in opened()} >= {*COPIES[1:]}, "both match")
    client.alerts.decide(opened()[0].alert_id, "confirmed", "seen")
    case = client.cases.create("scam", COPIES[:1])
    ran = client.cases.expand(case.case_id, case.revision)
    if not isinstance(ran, RanOut):
        client.jobs.wait(ran.job_id)
    client.cases.decide(
        case.case_id, COPIES[1], "confirmed", client.cases.get(case.case_id).revision
    )


def hand_over(client: Client, ids: list[str], file: Path) -> None:
    """A generation of ID-embeddings, which is served."""
    vectors = np.random.default_rng(7).normal(size=(len(ids), 8)).tolist()
    rows = [
        {"kind": kind, "id": name, "vector": vector}
        for kind in ("streamer", "user")
        for name, vector in zip(ids, vectors, strict=True)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    client.spaces.hand_over("taste", "g1", file, promote=True, force=True)


def kept(client: Client, ids: list[str]) -> dict[str, Any]:
    """What teams see of a store, but for what is of a moment."""
    return {
        "streamers": list(client.streamers(page_size=40)),
        "vectors": [client.embedding(name).embedding for name in (ids[7], COPIES[0])],
        "similar": [hit.streamer_id for hit in client.similar(ids[0], k=20, exact=True).hits],
        "spaces": [(s.space, s.active and s.active.generation) for s in client.spaces.all()],
        "own": client.spaces.own_vector("taste", ids[3]).vector,
        "groups": sorted(
            client.duplicates.get(g.group_id).members for g in client.duplicates.all()
        ),
        "judgements": list(client.judgements.all()),
        "list": client.lists.get("spring"),
        "run": client.lists.held("spring", 1),
        "outreach": list(client.outreach.all()),
        "ratings": list(client.ratings.all()),
        "watchlists": [(each.name, each.revision) for each in client.watchlists.all()],
        "alerts": sorted((a.alert_id, a.streamer_id, a.state) for a in client.alerts.all()),
        "cases": [
            (member.streamer_id, member.verdict)
            for case in client.cases.page().cases
            for member in client.cases.members(case.case_id)
        ],
    }


def test_a_backup_is_the_same_on_another_machine_and_on_a_store_of_ones_own(
    serve: Serve, profiles: list[dict[str, Any]], server: Server, tmp_path: Path
) -> None:
    one = serve(data_dir=tmp_path / "one", **VARIABLES)
    client = Client(one.url, ADMIN_KEY)
    some = profiles[:120]
    ids = [profile["streamer_id"] for profile in some]
    list(client.load(some))
    original = max(some, key=lambda profile: len(json.dumps(profile)))
    for name in COPIES:
        client.put(name, {k: v for k, v in original.items() if k != "streamer_id"})
    client.put("gone", {"bio": "gone soon"})
    last = client.delete("gone").sequence
    grouped(client, last)
    work(client, ids)
    hand_over(client, ids, tmp_path / "taste.jsonl")
    reader = one.api.with_key("streamers:read")
    key = str(reader.headers["authorization"]).removeprefix("Bearer ")
    reader.close()
    with receiving() as receiver:
        webhook = client.webhooks.create(receiver.url(), ["duplicates.*"]).webhook_id
    before = kept(client, ids)
    assert any({*COPIES} <= {*members} for members in before["groups"])
    assert {*COPIES} <= {name for name, _ in before["cases"]}
    assert "confirmed" in {state for _, _, state in before["alerts"]}

    copy, metrics = tmp_path / "copy", tmp_path / "backup.prom"
    where = ("--data-dir", one.data_dir)
    made = answered("backup", *where, "--out", copy, "--metrics", metrics)
    assert (made["streamers"], made["sequence"]) == (123, last)
    assert "streamer_backup_bytes" in metrics.read_text()
    checked = answered("verify", *where, "--url", one.url, STREAMER_API_KEY=ADMIN_KEY)
    assert checked["differences"] == 0
    client.put("later", {"bio": "after the backup"})
    client.delete(ids[0])
    client.close()
    assert one.stop() == 0

    for folder, variables in (("two", {}), ("three", {"REDIS_URL": server.url})):
        there = tmp_path / folder
        restored = answered("restore", copy, "--data-dir", there, **variables)
        assert (restored["streamers"], restored["sequence"]) == (123, last)
        service = serve(data_dir=there, **VARIABLES, **variables)
        with Client(service.url, ADMIN_KEY) as client, Client(service.url, key) as reading:
            grouped(client, last)
            assert kept(client, ids) == before
            assert reading.get(ids[0]).profile["streamer_id"] == ids[0]
            with pytest.raises(Exception, match="streamers:write"):
                reading.put("x", {})
            assert not client.webhooks.get(webhook).enabled
            assert client.put(ids[0], {"bio": "new"}).version > last
        checked = answered(
            *("verify", "--data-dir", there, "--url", service.url),
            STREAMER_API_KEY=ADMIN_KEY,
            **variables,
        )
        assert checked["differences"] == 0
        assert service.stop() == 0

    # Onto what is there: the folder keeps what was before, an external store has to be empty.
    back = answered("restore", copy, *where)
    assert Path(back["before"]).is_dir()
    full = run("restore", copy, "--data-dir", tmp_path / "three", REDIS_URL=server.url)
    assert (full.returncode, full.stdout) == (1, "")
    with Client(serve(data_dir=one.data_dir, **VARIABLES).url, ADMIN_KEY) as client:
        assert kept(client, ids)["streamers"] == before["streamers"]
        # No number comes again, of those that were given after the backup either.
        assert client.put("next", {"bio": "new"}).version > last + 2


def test_a_backup_that_is_damaged_is_refused_and_touches_nothing(
    serve: Serve, profiles: list[dict[str, Any]], tmp_path: Path
) -> None:
    service = serve()
    service.api.write(profiles[:40])
    where = ("--data-dir", service.data_dir)
    answered("backup", *where, "--out", tmp_path / "copy")
    assert run("backup", *where, "--out", tmp_path / "copy").returncode == 1  # it is there
    refused = run("restore", tmp_path / "copy", *where)  # beside the service
    assert (refused.returncode, refused.stdout) == (1, "")
    assert service.stop() == 0
    largest = max((tmp_path / "copy").rglob("*"), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    refused = run("restore", tmp_path / "copy", *where)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert largest.name in refused.stderr
    assert len(serve().api.all("/v1/streamers", "streamers")) == 40


def remove_the_store(store: Path) -> None:
    shutil.rmtree(store)


def cut_the_log_in_half(store: Path) -> None:
    (log,) = (store / "appendonlydir").glob("*.incr.aof")
    with log.open("rb+") as file:
        file.truncate(log.stat().st_size // 2)


@pytest.mark.parametrize("damage", [remove_the_store, cut_the_log_in_half])
def test_a_store_that_lost_acknowledged_writes_starts_only_where_that_is_accepted(
    serve: Serve,
    bundle: Path,
    profiles: list[dict[str, Any]],
    tmp_path: Path,
    damage: Callable[[Path], None],
) -> None:
    service = serve()
    last = service.api.write(profiles[:80])
    assert service.stop() == 0
    data_dir = tmp_path / "data"
    damage(data_dir / "store")
    for _ in range(2):  # the first refusal leaves nothing that the second one takes for a store
        refused = run("serve", "--bundle", bundle, "--data-dir", data_dir, "--port", 0)
        assert refused.returncode == 1
        line = refused.stderr.splitlines()[-1]
        assert line.startswith("error: ")
        assert str(last) in line
        assert "--accept-data-loss" in line
    service = serve("--accept-data-loss")
    left = [s["streamer_id"] for s in service.api.all("/v1/streamers", "streamers")]
    assert len(left) < 80
    assert bool(left) == (damage is cut_the_log_in_half)
    assert service.api.put_streamer("new", bio="kitchen") > last  # no number comes again
    service.kill()
    again = serve().api  # accepted once is enough
    assert {s["streamer_id"] for s in again.all("/v1/streamers", "streamers")} == {*left, "new"}
