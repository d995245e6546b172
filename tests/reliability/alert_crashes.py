"""kill -9 of service, store or both under writes that 50 watchlists are matched with.

Each streamer has one content, which is written again and again. In the end every alert that a
comparison of all pairs finds is there, once, with one event, and no other; and each event came to
a webhook, under one id that no other event has. That comparison uses no index of seeds and no log:
the evidence of each stored streamer with each seed.
"""

import asyncio
import base64
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from model_export.contract.bundle import Bundle
from model_export.contract.evidence import Side
from model_export.contract.streamer import StreamerProfile
from service.engine.evidence.engine import Evidence
from service.engine.watchlists.content import content_of
from service.engine.work.lanes import run_to_end
from service.features.watchlists.alerts.keeping import alert_id_of
from service.features.watchlists.records import LISTS, SEEDS, SEEDS_OF, WATCHLIST
from service.store.base import Record
from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis.backup import ArchivedStore
from tests.support.bundles import TOPICS
from tests.service.features.webhooks.receiver import Received, Receiver, receiving
from tests.support.service import Service, is_free, wait_until

VICTIMS = ("service", "store", "service and store")
WATCHED = 50
WRITERS = 3
WRITES_A_CRASH = 40
OPTIONS: dict[str, Any] = {
    "STREAMER_JOBS__LEASE_S": "1",
    "STREAMER_WATCHLISTS__MAX_OPEN_ALERTS": "1000000",
    "STREAMER_WEBHOOKS__PRIVATE_NETWORKS": "127.0.0.0/8",
}
_WORDS = [word for words in TOPICS.values() for word in words.split()]
_LETTERS = "面条红烧肉做饭游戏开黑上分电竞唱歌吉他弹唱旅行户外徒步露营海鲜直播老师傅"


def bio_of(style: int, choices: random.Random) -> str:
    """A text of one of some styles, more or less changed."""
    own = random.Random(style)
    letters = own.choices(_LETTERS, k=60)
    for _ in range(choices.choice((0, 3, 12, 30))):
        letters[choices.randrange(60)] = choices.choice(_LETTERS)
    return "".join(letters) + " " + " ".join(own.choices(_WORDS, k=6))


def list_of(number: int) -> dict[str, Any]:
    """A watchlist of a few of the styles."""
    choices = random.Random(f"list {number}")
    styles = choices.sample(range(40), 4)
    negative = [{"profile": {"bio": bio_of(styles[3], choices)}}] if number % 3 == 0 else []
    return {
        "name": f"list {number}",
        "positive": [{"profile": {"bio": bio_of(style, choices)}} for style in styles[:3]],
        "negative": negative,
        "min_probability": choices.choice((0.2, 0.5, 0.9, 0.99)),
    }


class Deployment:
    """One service that is killed and started again, writers beside it, and 50 watchlists."""

    def __init__(
        self, bundle: Path, data_dir: Path, running: ExitStack, seed: int, receiver: Receiver
    ) -> None:
        """Start it, and have its alerts posted to the receiver."""
        self.bundle, self.data_dir = bundle, data_dir
        self._running = running
        self._messages: defaultdict[str, set[str]] = defaultdict(set)  # by event
        self._choices = random.Random(seed)
        self._is_over = threading.Event()
        self._lists = 0
        self.acknowledged: list[str] = []
        self.service = self._start()
        hook = {"url": receiver.url(), "kinds": ["watchlist.matched"]}
        made = self.service.client.post("/v1/webhooks", json=hook).raise_for_status().json()

        def take(received: Received, _: object) -> int:
            event = received.verified(made["secret"])
            self._messages[event["event_id"]].add(received.message)
            return 204

        receiver.answer = take

    def _start(self) -> Service:
        service = Service(self.bundle, self.data_dir, **OPTIONS)
        return self._running.enter_context(service).wait_until_ready()

    def add_lists(self, upto: int) -> None:
        """Create watchlists, each once however often it is asked for."""
        while self._lists < upto:
            headers = {"Idempotency-Key": f'"list {self._lists}"'}
            answer = self.service.client.post(
                "/v1/watchlists", json=list_of(self._lists), headers=headers
            )
            answer.raise_for_status()
            self._lists += 1

    @contextmanager
    def writers(self) -> Iterator[None]:
        """Write without pause meanwhile."""
        threads = [threading.Thread(target=self._write, args=(i,)) for i in range(WRITERS)]
        self._is_over.clear()
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._is_over.set()
            for thread in threads:
                thread.join()

    def _write(self, writer: int) -> None:
        choices = random.Random(f"{writer} {len(self.acknowledged)}")
        while not self._is_over.is_set():
            number = choices.randrange(400)
            own = random.Random(f"{writer} {number}")  # the same content each time
            name, bio = f"w{writer}-{number}", bio_of(own.randrange(50), own)
            try:
                answer = httpx.put(
                    f"{self.service.url}/v1/streamers/{name}",
                    json={"bio": bio},
                    timeout=20,
                    trust_env=False,
                )
            except (httpx.HTTPError, AssertionError):
                time.sleep(0.02)
                continue
            if answer.status_code < 300:
                self.acknowledged.append(name)

    def crash(self, victims: str) -> None:
        """Kill a while after some writes were acknowledged, and return when it is back."""
        wanted = len(self.acknowledged) + WRITES_A_CRASH
        wait_until(lambda: len(self.acknowledged) >= wanted, "writes are acknowledged")
        time.sleep(self._choices.uniform(0.05, 1.0))
        service, store = self.service, self.service.store
        if "store" in victims:
            store.kill()
        if victims == "store":
            wait_until(lambda: service.store.pid != store.pid and service.is_ready(), "back")
            return
        service.kill()
        wait_until(lambda: is_free(self.data_dir), "the folder is free")
        self.service = self._start()

    def check(self) -> tuple[int, int]:
        """Compare with all pairs; how many streamers and alerts there are. No writer may run."""
        client = self.service.client
        last = client.get("/readyz").json()["store_sequence"]
        wait_until(lambda: _is_matched(client, last), f"{last} is matched", 120)
        wait_until(lambda: _is_swept(client), "all lists are swept", 120)
        alerts = list(_alerts(client))
        events = list(_events(client))
        told = {event["event_id"] for event in events}
        wait_until(lambda: told <= {*self._messages}, "all came to the webhook", 240)
        self.service.stop()
        wait_until(lambda: is_free(self.data_dir), "the folder is free")
        records, expected = asyncio.run(self._expected())
        self.service = self._start()
        assert set(self.acknowledged) <= {record.streamer_id for record in records}
        counts = Counter(alerts)
        assert max(counts.values(), default=1) == 1
        assert counts.keys() == expected, (
            f"missing {len(expected - counts.keys())}, needless {len(counts.keys() - expected)}"
        )
        assert len({event["event_id"] for event in events}) == len(events)
        assert Counter(event["data"]["alert_id"] for event in events) == counts
        assert self._messages.keys() == told
        ids = [message for messages in self._messages.values() for message in messages]
        assert len(ids) == len(set(ids)) == len(told)
        return len(records), len(alerts)

    async def _expected(self) -> tuple[list[Record], set[str]]:
        """Ids of all alerts, by comparing each stored streamer with each seed."""
        evidence = Evidence(Bundle(self.bundle))
        async with EmbeddedStore(self.data_dir / "store") as embedded:
            store = ArchivedStore(embedded.url)
            await store.open()
            try:
                ids = await store.list_ids("", 100_000)
                records = [r for r in await store.get(ids) if r is not None]
                written = [
                    evidence.side(
                        StreamerProfile.model_validate_json(record.profile),
                        _vector(record.embedding),
                    )
                    for record in records
                ]
                expected: set[str] = set()
                for document in await store.documents.page(SEEDS, None, 1000):
                    seeds = SEEDS_OF.validate_json(document.body)
                    positive, negative = (
                        [
                            evidence.side(
                                StreamerProfile.model_validate(seed.profile),
                                _vector(base64.b64decode(seed.embedding)),
                            )
                            for seed in sign
                        ]
                        for sign in (seeds.positive, seeds.negative)
                    )
                    found = await store.documents.get(LISTS, [document.document_id])
                    assert found[0] is not None
                    least = WATCHLIST.validate_json(found[0].body).min_probability
                    best = _best(evidence, written, positive)
                    cancels = _best(evidence, written, negative)
                    matches = evidence.matcher.probability(best) >= least
                    expected |= {
                        alert_id_of(document.document_id, record.streamer_id, _content(record))
                        for record, is_match in zip(
                            records, matches & (best > cancels), strict=True
                        )
                        if is_match
                    }
            finally:
                await store.close()
        return records, expected


def play(
    bundle: Path, data_dir: Path, rounds: int, *, every: int = 10, seed: int = 0
) -> Iterator[tuple[int, int, int]]:
    """Crash so often, comparing with all pairs now and then; rounds, streamers, alerts so far."""
    choices = random.Random(seed)
    with ExitStack() as running:
        receiver = running.enter_context(receiving())
        deployment = Deployment(bundle, data_dir, running, seed, receiver)
        deployment.add_lists(WATCHED - 10)
        done = 0
        while done < rounds:
            part = min(every, rounds - done)
            with deployment.writers():
                for _ in range(part):
                    deployment.crash(VICTIMS[choices.randrange(len(VICTIMS))])
                    done += 1
                    # The last ones come in the middle of it: their sweeps are killed as well.
                    deployment.add_lists(min(WATCHED, WATCHED - 10 + done))
            yield (done, *deployment.check())


def _content(record: Record) -> str:
    return content_of(StreamerProfile.model_validate_json(record.profile))


def _best(evidence: Evidence, written: list[Side], seeds: list[Side]) -> "np.ndarray":  # type: ignore[type-arg]
    """The largest weight of each streamer with these seeds (W,), by comparing all pairs."""
    if not seeds or not written:
        return np.full(len(written), -np.inf)
    one, other = np.divmod(np.arange(len(written) * len(seeds)), len(seeds))
    compared = run_to_end(evidence.compare([*written, *seeds], one, len(written) + other))
    return compared.matches.weights.reshape(len(written), len(seeds)).max(1)


def _vector(content: bytes) -> "np.ndarray | None":  # type: ignore[type-arg]
    return np.frombuffer(content, "<f4").astype(np.float32) if content else None


def _is_matched(client: httpx.Client, sequence: int) -> bool:
    name = "streamer_watchlists_sequence "
    found = [line for line in client.get("/metrics").text.splitlines() if line.startswith(name)]
    return any(float(line.split()[1]) >= sequence for line in found)


def _is_swept(client: httpx.Client) -> bool:
    found = client.get("/v1/watchlists", params={"limit": 100}).json()["watchlists"]
    return all(each["sweep"]["state"] == "done" for each in found)


def _alerts(client: httpx.Client) -> Iterator[str]:
    params: dict[str, Any] = {"limit": 1000}
    while page := client.get("/v1/alerts", params=params).raise_for_status().json():
        yield from (each["alert_id"] for each in page["alerts"])
        if not page["alerts"]:
            return
        params["cursor"] = page["next_cursor"]


def _events(client: httpx.Client) -> Iterator[dict[str, Any]]:
    params: dict[str, Any] = {"limit": 1000}
    while page := client.get("/v1/events", params=params).raise_for_status().json():
        yield from (each for each in page["events"] if each["kind"] == "watchlist.matched")
        if not page["events"]:
            return
        params["cursor"] = page["next_cursor"]
