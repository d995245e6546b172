"""`keys`, as a person runs it, with a service running and not."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.__main__ import main
from service.features.keys.key_text import id_in
from service.features.keys.service import Keys
from service.store.redis.store import RedisStore
from tests.service.conftest import Serve
from tests.service.data_sets import profiles, write_data
from tests.service.features.keys.conftest import bearer
from tests.service.process import Service, error_line, load, run, wait_until
from tests.service.valkey import Server

pytestmark = pytest.mark.slow


def status(service: Service, key: str) -> int:
    return service.client.get("/v1/streamers", headers=bearer(key)).status_code


def test_keys_of_a_running_service(serve: Serve, tmp_path: Path) -> None:
    data = ("--data-dir", tmp_path / "data")
    service = serve()
    assert service.client.get("/v1/streamers").status_code == 200  # no key, and all from here
    done = run("keys", "create", "--name", "console", "--role", "operations", *data)
    assert done.returncode == 0, done.stderr
    key = done.stdout.strip()
    key_id = id_in(key)
    assert key_id is not None
    assert key not in done.stderr
    assert f"{key_id} (console): " in done.stderr
    assert "streamers:write" in done.stderr
    wait_until(lambda: status(service, "none") == 401, "the service knows of the key")
    assert status(service, key) == 200
    listed = run("keys", "list", *data).stdout
    header, row = [line.split("\t") for line in listed.splitlines()]
    assert header == ["key_id", "name", "role or scopes", "limits", "last used", "expires"]
    assert (row[:4], row[5]) == ([key_id, "console", "operations", ""], "")
    assert key not in listed
    rotated = run("keys", "rotate", key_id, "--grace-s", 0, *data).stdout.strip()
    wait_until(lambda: status(service, rotated) == 200, "the service knows the new text")
    assert status(service, key) == 401
    done = run("keys", "revoke", key_id, *data)
    assert done.returncode == 0, done.stderr
    wait_until(lambda: status(service, rotated) == 401, "the service refuses the key")
    assert "there is no key" in error_line(run("keys", "revoke", key_id, *data))
    assert len(run("keys", "list", *data).stdout.splitlines()) == 1  # the header
    assert key not in service.output


def test_a_key_is_changed_beside_a_running_service(serve: Serve, tmp_path: Path) -> None:
    data = ("--data-dir", tmp_path / "data")
    service = serve(STREAMER_API_KEY="first")
    scopes = ("--scope", "search", "--limit", "search=5", "--limit", "cases=0")
    made = json.loads(run("keys", "create", "--name", "x", *scopes, "--json", *data).stdout)
    key_id, key = made["key_id"], made["key"]
    assert made["limits"] == {"search": 5, "cases": 0}
    wait_until(lambda: status(service, key) == 403, "the service knows the key")
    update = ("keys", "update", key_id, *data)
    done = run(*update, "--role", "operations", "--limit", "search=default")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: status(service, key) == 200, "the service knows the new role")
    *_, row = [line.split("\t") for line in done.stdout.splitlines()]
    assert row[:4] == [key_id, "x", "operations", "cases=0"]
    assert "warning: no key in the store has the scope admin" in done.stderr
    run(*update, "--expires-at", "2030-01-31")
    changed = json.loads(run(*update, "--name", "y", "--json").stdout)
    assert (changed["name"], changed["expires_at"]) == ("y", "2030-01-31T00:00:00Z")
    changed = json.loads(run(*update, "--expires-at", "never", "--json").stdout)
    assert changed["expires_at"] is None
    (listed,) = json.loads(run("keys", "list", "--json", *data).stdout)["keys"]
    over_http = service.client.get("/v1/keys", headers=bearer("first")).json()["keys"]
    assert over_http == [{**listed, "last_used_at": over_http[0]["last_used_at"]}]
    assert json.loads(run("keys", "revoke", key_id, "--json", *data).stdout) == {"key_id": key_id}
    assert "there is no key" in error_line(run(*update, "--name", "z"))


def test_a_key_that_has_expired_is_listed_as_such(server: Server) -> None:
    async def create() -> None:
        store = await RedisStore(server.url).open()
        keys = Keys(store.keys, now=lambda: 0.0)
        await keys.create("past", "admin", expires_at=86_400.0)
        await keys.create(
            "to come", "admin", expires_at=datetime(2999, 1, 31, tzinfo=UTC).timestamp()
        )
        await keys.create("for ever", "admin")
        await store.close()

    asyncio.run(create())
    done = run("keys", "list", REDIS_URL=server.url)
    assert done.returncode == 0, done.stderr
    _, *rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert {row[1]: row[5] for row in rows} == {
        "past": "1970-01-02 00:00Z (expired)",
        "to come": "2999-01-31 00:00Z",
        "for ever": "",
    }


def test_load_and_verify_say_which_scope_they_need(serve: Serve, tmp_path: Path) -> None:
    data_dir = ("--data-dir", tmp_path / "data")
    service = serve(STREAMER_API_KEY="first")
    made = run("keys", "create", "--name", "reader", "--scope", "streamers:read", *data_dir)
    key = made.stdout.strip()
    wait_until(lambda: status(service, key) == 200, "the service knows the key")
    data = write_data(tmp_path / "set", profiles(3))
    said = error_line(load(data, service.url, STREAMER_API_KEY=key))
    assert "needs the scope 'streamers:write', and the key" in said
    said = error_line(run("verify", *data_dir, "--url", service.url, STREAMER_API_KEY=key))
    assert "needs the scope 'admin', and the key" in said
    assert load(data, service.url, STREAMER_API_KEY="first").returncode == 0
    done = run("verify", *data_dir, "--url", service.url, STREAMER_API_KEY="first")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create", "--role", "admin"], "--name"),
        (["create", "--name", " ", "--role", "admin"], "must have 1 to 100 printable characters"),
        (["create", "--name", "x"], "one of the arguments --role --scope is required"),
        (["create", "--name", "x", "--role", "root"], "invalid choice: 'root'"),
        (["create", "--name", "x", "--scope", "all"], "invalid choice: 'all'"),
        (["create", "--name", "x", "--role", "admin", "--scope", "search"], "not allowed with"),
        (["create", "--name", "x", "--role", "admin", "--expires-at", "soon"], "2030-01-31"),
        (["create", "--name", "x", "--role", "admin", "--expires-at", "2020-01-01"], "passed"),
        (["rotate", "0123456789ab", "--grace-s", "-1"], "whole number from 0 to 2592000"),
        (["revoke", "ssk_x"], "must be a key id of 12 hex digits"),
        (["update", "0123456789ab"], "names no change: give --name, --role, --scope, --limit"),
        (["update", "0123456789ab", "--limit", "search"], "must be SCOPE=UNITS with one of cases"),
        (["update", "0123456789ab", "--limit", "admin=5"], "must be SCOPE=UNITS with one of cases"),
        (["update", "0123456789ab", "--limit", "search=-1"], "a whole number or default"),
        (["update", "0123456789ab", "--limit", "search=100000001"], "may be at most 100000000"),
        (["rotate", "0123456789ab", "--expires-at", "never"], "2030-01-31"),
        ([], "ACTION"),
    ],
)
def test_wrong_usage(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["keys", *arguments])
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_without_a_store(tmp_path: Path) -> None:
    said = error_line(run("keys", "list", "--data-dir", tmp_path / "nowhere"))
    assert "give the data folder of the service by --data-dir" in said
