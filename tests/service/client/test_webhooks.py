"""Webhooks by the client and by the command line, with a receiver on this machine."""

import asyncio
import json
from collections.abc import Iterator

import pytest

from service.client import AsyncClient, Client, Conflict, Invalid, NotFound
from tests.service.conftest import Serve
from tests.service.features.webhooks.receiver import Receiver, receiving
from tests.service.process import error_line, run, wait_until

pytestmark = pytest.mark.slow
OPTIONS = {"STREAMER_WEBHOOKS__PRIVATE_NETWORKS": "127.0.0.0/8"}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def test_a_webhook_from_its_making_to_its_end(serve: Serve, receiver: Receiver) -> None:
    service = serve(**OPTIONS)
    with Client(service.url) as client:
        made = client.webhooks.create(receiver.url(), ["streamer.*"], "a test")
        client.put("s-1", {"bio": "guitar"})
        (found,) = receiver.wait_for(1)
        assert found.verified(made.secret)["data"]["streamer_id"] == "s-1"
        name = made.webhook_id
        wait_until(lambda: client.webhooks.get(name).delivered == 1, "it is noted")
        page = client.webhooks.deliveries(name, "delivered")
        assert [one.message_id for one in page.deliveries] == [found.message]
        assert client.webhooks.test(name).delivered
        assert client.webhooks.rotate(name, 0).secret != made.secret
        changed = client.webhooks.update(name, enabled=False)
        with pytest.raises(Conflict, match="version"):
            client.webhooks.update(name, enabled=True, if_version=changed.version - 1)
        assert client.webhooks.replay(name) == 0

        async def listed() -> list[str]:
            async with AsyncClient(service.url) as there:
                return [webhook.webhook_id async for webhook in there.webhooks.all(page_size=1)]

        assert asyncio.run(listed()) == [name]
        with pytest.raises(Invalid, match="kinds"):
            client.webhooks.create(receiver.url(), ["nothing.*"])
        client.webhooks.delete(name)
        with pytest.raises(NotFound):
            client.webhooks.get(name)


def test_the_command(serve: Serve, receiver: Receiver) -> None:
    at = ("--url", serve(**OPTIONS).url)
    kinds = ("--kinds", "streamer.*, duplicates.merged")
    made = json.loads(run("webhooks", "create", receiver.url(), *kinds, "--json", *at).stdout)
    assert made["kinds"] == ["streamer.*", "duplicates.merged"]
    name = made["webhook_id"]
    assert run("webhooks", "test", name, *at).stdout.splitlines()[-1].startswith("True\t204")
    with Client(at[1]) as client:
        for streamer_id in ("s-1", "s-2"):
            client.put(streamer_id, {"bio": "guitar"})
        wait_until(lambda: client.webhooks.get(name).delivered == 2, "both are noted")
    listed = run("webhooks", "deliveries", name, "--state", "delivered", "--limit", 1, *at)
    assert len(listed.stdout.splitlines()) == 2
    assert listed.stderr.startswith("there are more: ")
    receiver.answer = lambda received, handler: 500
    refused = run("webhooks", "test", name, *at)
    assert refused.returncode == 1
    assert refused.stdout.splitlines()[-1].startswith("False\t500")
    for action in ("disable", "enable", "show"):
        row = run("webhooks", action, name, *at).stdout.splitlines()[-1].split("\t")
        assert row[:4] == [name, receiver.url(), "streamer.*,duplicates.merged", row[3]]
        assert row[3] == ("off" if action == "disable" else "on")
    for action in ("list", "deliveries", "replay", "rotate", "delete"):
        words = () if action == "list" else (name,)
        done = run("webhooks", action, *words, *at)
        assert (done.returncode, done.stderr) == (0, "")
    assert "there is no webhook" in error_line(run("webhooks", "show", name, *at))
