"""`examples/investigate.py`: from two seeds to a webhook when the next copy signs up."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.client import Client
from tests.bundles import write_bundle_with_evidence
from tests.service.conftest import Serve
from tests.service.process import ROOT, environment, run, wait_until

pytestmark = pytest.mark.slow
OPTIONS = {"STREAMER_WEBHOOKS__PRIVATE_NETWORKS": "127.0.0.0/8"}
RING = {
    "one": {"bio": "guitar vocal cover concert on the old roof, telegram: lunaris4471"},
    "two": {"bio": "kitchen recipe noodles soup, telegram: lunaris4471, telegram: harbour_9023"},
    "three": {"bio": "mountain beach hostel train tickets, write to telegram: harbour_9023"},
}
HONEST = {"bio": "guitar vocal lessons for beginners, telegram: someoneelse77"}
COPY = {"bio": "puzzle evenings with my cat; T e l e g r a m: harbour_9023"}


@pytest.fixture
def client(serve: Serve, tmp_path: Path) -> Iterator[Client]:
    write_bundle_with_evidence(tmp_path / "bundle")
    with Client(serve(bundle=tmp_path / "bundle", **OPTIONS).url) as client:
        yield client


def follow(client: Client, archive: Path) -> tuple[list[str], int]:
    """What the example prints, and its exit status; the next copy signs up when it watches."""
    command = [sys.executable, "examples/investigate.py", "one", "two", "--alerts", "1"]
    command += ["--min-probability", "0.8"]
    with subprocess.Popen(
        [*command, "--export", str(archive), "--url", client.url],
        cwd=ROOT,
        env=environment(PYTHONPATH=str(ROOT), PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        text=True,
    ) as example:
        assert example.stdout is not None
        lines: list[str] = []
        for line in example.stdout:
            lines.append(line.rstrip())
            if found := re.match(r"alerts are posted to (\S+)", line):
                forged = {"type": "watchlist.matched", "data": {"alert_id": "al-0"}}
                signed = {
                    "webhook-id": "msg_1",
                    "webhook-timestamp": "1",
                    "webhook-signature": "v1,",
                }
                assert (
                    httpx.post(found[1], json=forged, headers=signed, trust_env=False).status_code
                    == 400
                )
                assert httpx.post(found[1], json=forged, trust_env=False).status_code == 400
            if line.startswith("watching by"):
                client.put("stranger", HONEST)
                client.put("four", COPY)
    return lines, example.returncode


def test_from_two_seeds_to_the_next_copy(client: Client, tmp_path: Path) -> None:
    for name, profile in RING.items():
        client.put(name, profile)
    last = client.put("honest", HONEST)

    def is_evaluated() -> bool:
        sequence = client.duplicates.of("honest").evaluated_sequence
        return sequence is not None and sequence >= last.sequence

    wait_until(is_evaluated, "candidates are known")
    archive = tmp_path / "case.zip"
    lines, status = follow(client, archive)
    assert status == 0
    assert lines[0].startswith("one, two: same_contact")
    case_id, members = lines[2].split(": ")
    assert members == "one, three, two"
    decided = {each.streamer_id: each.verdict for each in client.cases.verdicts(case_id).verdicts}
    assert decided == dict.fromkeys(RING, "confirmed")
    assert run("verify-case", archive).returncode == 0
    (told,) = [line for line in lines if " is like " in line]
    assert told.startswith("four is like t")
    (alert,) = client.alerts.all()
    assert alert.streamer_id == "four"
    assert list(client.webhooks.all()) == []
