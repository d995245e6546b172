"""The Python client before a real service, with asyncio and without, and before faults."""

import asyncio
import inspect
import json
import socket
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import httpx
import numpy as np
import pytest

from service.client import (
    AnswerCut,
    ApiProblem,
    AsyncClient,
    Client,
    ClientError,
    Conflict,
    DeadlineExceeded,
    Invalid,
    JobCancelled,
    JobFailed,
    NotAllowed,
    NotFound,
    OutcomeUnknown,
    Patience,
    Unavailable,
    UnexpectedAnswer,
    Unreachable,
)
from service.client.models import (
    ColdStartIn,
    DedupIn,
    ExportIn,
    JobOut,
    ListQuestionIn,
    RanOut,
    SeedIn,
    SimilarIn,
    StreamerBody,
    StreamerContent,
)
from tests.conftest import ADMIN_KEY
from tests.support.api import Api
from tests.support.bundles import DIM, ESTABLISHED_IDS, TOPICS
from tests.support.machine import free_port
from tests.support.receiver import receiving
from tests.support.service import Service, wait_until

COOKING = {"tags": ["cooking"], "bio": "kitchen soup"}
SOON = Patience(first_pause_s=0.001, longest_pause_s=0.01)
LINES = {"Content-Type": "application/x-ndjson"}
KINDS = pytest.mark.parametrize("kind", [Client, AsyncClient])


class Waited:
    """An `AsyncClient` or a part of it, whose calls are waited for: it looks like a `Client`."""

    def __init__(self, of: Any, runner: asyncio.Runner) -> None:
        self._of, self._runner = of, runner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._of, name)
        if inspect.ismethod(found):
            return lambda *given, **named: self._wait(found(*given, **named))
        is_part = type(found).__module__.startswith("service.client") and not name[0].isupper()
        return Waited(found, self._runner) if is_part else found

    def _wait(self, made: Any) -> Any:
        if inspect.iscoroutine(made):
            return self._runner.run(made)
        return Waited(made, self._runner) if hasattr(made, "__anext__") else made

    def __iter__(self) -> Generator[Any, None, None]:
        while True:
            try:
                yield self._runner.run(anext(self._of))
            except StopAsyncIteration:
                return

    def __next__(self) -> Any:
        return self._runner.run(anext(self._of))


@pytest.fixture(scope="module")
def import_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("imports")


@pytest.fixture(scope="module")
def settings(import_folder: Path) -> dict[str, str]:
    return {
        "STREAMER_JOBS__IMPORT_DIR": str(import_folder),
        "STREAMER_WEBHOOKS__PRIVATE_NETWORKS": "127.0.0.0/8",
    }


@pytest.fixture(params=["sync", "async"])
def face(request: pytest.FixtureRequest) -> str:
    """Which of both clients is used; ids of a test begin with it."""
    return request.param


Connect = Callable[..., Client]


@pytest.fixture
def connect(face: str, service: Service) -> Iterator[Connect]:
    """Makes clients of either kind, by default of the module's service."""
    with asyncio.Runner() as runner:
        made: list[Callable[[], object]] = []

        def connected(url: str = "", key: str | None = ADMIN_KEY, **options: Any) -> Client:
            if face == "sync":
                client = Client(url or service.url, key, **options)
                made.append(client.close)
                return client
            there = AsyncClient(url or service.url, key, **options)
            made.append(lambda: runner.run(there.aclose()))
            return cast(Client, Waited(there, runner))

        yield connected
        for close in made:
            close()


@pytest.fixture
def client(connect: Connect) -> Client:
    return connect()


# What is stored


def test_a_streamer_from_its_first_write_to_its_last(client: Client, face: str) -> None:
    name = f"{face}-life"
    first = client.put(name, {"name": "n", "tags": ["cooking", "music"]}, only_new=True)
    assert (first.created, first.version, first.status) == (True, first.sequence, "indexed")
    with pytest.raises(Conflict) as raised:
        client.put(name, {}, only_new=True)
    assert (raised.value.code, raised.value.status) == ("version_conflict", 412)
    second = client.put(name, StreamerBody(tags=["cooking"], bio="b"), if_version=first.version)
    third = client.patch(name, {"bio": None, "language": "en"}, if_version=second.version)
    assert (second.created, third.created) == (False, False)
    with pytest.raises(Conflict):
        client.patch(name, {"bio": "x"}, if_version=second.version)
    found = client.get(name)
    assert found.version == third.version == client.sequence
    assert found.profile["tags"] == ["cooking"]
    assert (found.profile.get("bio"), found.profile["language"]) == (None, "en")
    vector = client.embedding(name)
    assert (len(vector.embedding), vector.version) == (DIM, third.version)
    with pytest.raises(Conflict):
        client.delete(name, if_version=first.version)
    deleted = client.delete(name, if_version=third.version)
    assert deleted.sequence == client.sequence > third.sequence
    for ask in (client.get, client.embedding, client.delete, client.similar, client.cold_start):
        with pytest.raises(NotFound) as missing:
            ask(name)
        assert missing.value.code == "streamer_not_found"
        assert missing.value.request_id


def test_what_is_wrong_with_a_request_is_named(client: Client, face: str) -> None:
    with pytest.raises(Invalid) as raised:
        client.put(f"{face}-wrong", {"nmae": "typo"})
    assert [error.pointer for error in raised.value.errors] == ["/nmae"]
    assert (raised.value.status, raised.value.is_in_doubt) == (422, False)
    with pytest.raises(Invalid):
        client.search({"positive": [{}]})
    with pytest.raises(Invalid, match=r"\bk\b"):
        client.similar(f"{face}-wrong", k=0)
    with pytest.raises(Invalid):
        list(client.export({"positive": [{"streamer_id": "s-1"}]}))


def test_many_lines_are_written_once_and_listed_page_by_page(client: Client, face: str) -> None:
    names = [f"{face}-many-{i:03}" for i in range(120)]
    lines = [json.dumps({"streamer_id": name, **COOKING}) for name in names]
    mixed: list[Any] = [
        *lines[:80], "\n", "{no json}\n", StreamerContent.model_validate(COOKING), *lines[80:]
    ]  # fmt: skip
    done: list[int] = []
    found = list(client.load(mixed, chunk_lines=25, at_once=3, progress=done.append))
    assert sorted(result.line for result in found) == [*range(1, 81), *range(82, 124)]
    assert {r.line for r in found if r.outcome == "error"} == {82, 83}
    assert {r.streamer_id for r in found if r.outcome == "created"} == {*names}
    assert client.sequence == max(r.sequence or 0 for r in found)
    assert (done[-1], len(done)) == (123, 5)
    again = client.load((json.loads(line) for line in lines[:30]), chunk_lines=7)
    assert [result.outcome for result in again] == ["unchanged"] * 30
    listed = [each.streamer_id for each in client.streamers(page_size=50)]
    assert listed == sorted(listed)
    assert [name for name in listed if name.startswith(f"{face}-many-")] == names


# Questions


def test_every_question_has_its_typed_answer(client: Client, face: str) -> None:
    ours: dict[str, Any] = {"must": [{"field": "category", "any": [f"{face}-asked"]}]}
    ids = [f"{face}-q{i}" for i in range(6)]
    for name in ids:
        client.put(name, {**COOKING, "category": f"{face}-asked", "language": "en"})
    other = f"{face}-other"
    client.put(other, {"tags": ["music"], "category": f"{face}-asked"})
    answer = client.similar(ids[0], k=3, explain=True, exact=True)
    assert len(answer.hits) == 3
    assert answer.complete
    assert answer.index_sequence >= client.sequence
    reasons = answer.hits[0].reasons
    assert reasons is not None
    assert reasons.shared["tags"] == ["cooking"]
    assert all(hit.score >= 0.9 for hit in client.similar(ids[0], min_score=0.9, k=50).hits)
    seed = SeedIn(profile=StreamerContent.model_validate(COOKING))
    question = SimilarIn.model_validate(
        {"positive": [{"profile": COOKING}], "filter": ours, "k": 4, "min_score": 0.2}
    )
    hits = client.search(question).hits
    assert len({hit.streamer_id for hit in hits} & set(ids)) == 4
    paged = list(client.pages(question.model_copy(update={"pages": True})))
    assert [len(page.hits) for page in paged] == [4, 2]
    assert {hit.streamer_id for page in paged for hit in page.hits} == set(ids)
    export = ExportIn.model_validate({"positive": [seed], "filter": ours, "min_score": 0.2})
    *exported, summary = client.export(export)
    assert getattr(summary, "reached", None) == len(exported) == 6
    client.put(ESTABLISHED_IDS[0], COOKING)
    placed = client.cold_start(ids[0])
    assert [each.streamer_id for each in placed.neighbours] == [ESTABLISHED_IDS[0]]
    profile = StreamerContent.model_validate(COOKING)
    (found,) = client.cold_start(ColdStartIn(profile=profile)).neighbours
    assert found.streamer_id == ESTABLISHED_IDS[0]
    lines = client.cold_starts([ids[0], f"{face}-nobody"])
    assert lines[0].answer is not None
    assert lines[0].answer.neighbours == placed.neighbours
    assert lines[1].problem is not None
    assert lines[1].problem.code == "streamer_not_found"
    compared = client.compare(ids[0], {"streamer_id": "x", **COOKING})
    assert compared.weight == pytest.approx(sum(each.weight for each in compared.channels))
    (text,) = [each.weight for each in compared.channels if each.channel == "text"]
    without = client.compare(ids[0], {"streamer_id": "x", **COOKING}, without=["text"])
    assert without.weight == pytest.approx(compared.weight - text)
    clusters: Any = client.dedup([ids[0], ids[1], other, f"{face}-nobody"])
    assert [m.streamer_id for m in clusters.clusters[0].members] == ids[:2]
    assert (clusters.unique, clusters.not_stored) == ([other], [f"{face}-nobody"])
    assert getattr(client.dedup(ids[0]), "unique", None) == [ids[0]]
    feed = client.dedup(DedupIn(ids=[*ids[:2], other], mode="feed", window=2))
    assert getattr(feed, "order", None) == [ids[0], other, ids[1]]
    state = client.health()
    assert (state.status, state.model_version) == ("ok", "test-0")


def test_questions_wait_for_a_write_and_once_for_one_that_is_lost(
    client: Client, connect: Connect, face: str
) -> None:
    name = f"{face}-seen"
    for number in range(5):  # each is asked for at once, and seen
        written = client.put(name, {"bio": f"guitar {face} {number}"})
        question = {"positive": [{"profile": {"bio": f"guitar {face}"}}], "k": 50}
        answer = client.search(question)
        assert answer.index_sequence >= written.sequence
        assert name in [hit.streamer_id for hit in answer.hits]
    last = client.sequence
    other = connect(after_sequence=last + 10**6)
    (line,) = other.cold_starts([name])
    assert line.problem is not None
    assert line.problem.code == "not_yet_visible"
    assert last <= other.sequence < last + 10**6
    assert other.similar(name).complete
    other = connect(after_sequence=last + 10**6)
    with pytest.raises(Unavailable) as raised:
        other.similar(name)
    assert raised.value.code == "not_yet_visible"
    assert (raised.value.problem.store_sequence or 0) >= last
    assert other.similar(name).complete


def test_names_facets_and_ratings(client: Client, face: str) -> None:
    word = {"sync": "lunaria", "async": "solaria"}[face]
    for number in range(4):
        client.put(f"{face}-n{number}", {"name": f"{word} {'i' * (number + 1)}", "tags": ["music"]})
    client.put(f"{face}-zh", {"name": f"{word} 月亮", "language": "zh", "tags": ["music"]})
    found = partial(client.find.all, word)
    wait_until(lambda: len(list(found(page_size=50))) == 5, "names are found")
    page = client.find.page(word, limit=2)
    rest = client.find.page(word, limit=9, cursor=page.next_cursor)
    every = [each.streamer_id for each in (*page.streamers, *rest.streamers)]
    assert [each.streamer_id for each in found(page_size=2)] == every
    assert sorted(every) == [f"{face}-n0", f"{face}-n1", f"{face}-n2", f"{face}-n3", f"{face}-zh"]
    chinese = {"must": [{"field": "language", "any": ["zh"]}]}
    assert [each.streamer_id for each in found(filter=chinese)] == [f"{face}-zh"]
    facets = client.find.facets(["language"], filter=chinese)
    assert [value.value for value in facets.fields[0].values] == ["zh"]
    with pytest.raises(Invalid):
        client.find.page("l")
    given = client.ratings.put(
        {"question": {"positive": [f"{face}-n0"]}, "streamer_id": f"{face}-n1", "rating": 2}
    )
    (rated,) = client.ratings.all(given.question_id, page_size=1)
    assert (rated.streamer_id, rated.rating) == (f"{face}-n1", 2)
    assert client.ratings.page(given.question_id).ratings == [rated]
    mine = client.ratings.mine({"positive": [f"{face}-n0"]}, [f"{face}-n1", f"{face}-n2"])
    assert [(each.streamer_id, each.rating) for each in mine.ratings] == [(f"{face}-n1", 2)]
    assert client.ratings.delete(given.question_id, f"{face}-n1").rating == 2
    with pytest.raises(NotFound):
        client.ratings.delete(given.question_id, f"{face}-n1")


# What teams keep


def test_lists_and_outreach(client: Client, face: str) -> None:
    ids = [f"{face}-l{i}" for i in range(5)]
    for i, name in enumerate(ids):
        client.put(name, {**COOKING, "category": f"{face}-list", "name": f"n{i}"})
    ours = {"must": [{"field": "category", "any": [f"{face}-list"]}]}
    question = {"positive": [{"streamer_id": ids[0]}], "k": 100, "filter": ours}
    previewed = client.lists.preview(ListQuestionIn.model_validate(question))
    assert {row.streamer_id for row in previewed.rows} == set(ids[1:])
    long = {**question, "k": 1001}  # which a job makes
    assert client.lists.preview(long).rows == previewed.rows
    file = client.lists.download({**long, "exclude": {"ids": ["misspelt"]}}, "csv")
    assert file.count(b"\r\n") == 1 + len(previewed.rows)
    assert file.warnings
    assert client.lists.download(question, "xlsx").startswith(b"PK")
    name = f"{face}-mine"
    saved = client.lists.save(name, question, title="t", only_new=True)
    with pytest.raises(Conflict):
        client.lists.save(name, question, only_new=True)
    run = client.lists.run(name)
    assert [row.streamer_id for row in run.rows] == [row.streamer_id for row in previewed.rows]
    record = client.outreach.record([run.rows[0].streamer_id], note="mail")
    later = {**question, "exclude": {"outreach_since": record.at}}
    client.lists.save(name, later, if_revision=saved.revision)
    again = client.lists.run(name)
    assert [row.streamer_id for row in again.rows] == [row.streamer_id for row in run.rows[1:]]
    assert client.lists.held(name, 1).ids == [row.streamer_id for row in run.rows]
    assert client.lists.held(name, 2, new_only=True).ids == []
    assert client.lists.run_to_file(name, "csv", new_only=True).count(b"\r\n") == 1
    assert client.lists.held_to_file(name, 1, "ndjson").count(b"\n") == 1 + len(run.rows)
    with pytest.raises(NotFound):
        client.lists.held_to_file(name, 9, "xlsx")
    assert [one.run for one in client.lists.get(name).runs] == [3, 2, 1]
    assert name in [each.name for each in client.lists.all(page_size=1)]
    assert [one.outreach_id for one in client.outreach.all(run.rows[0].streamer_id)] == [
        record.outreach_id
    ]
    assert client.outreach.page(run.rows[1].streamer_id).outreach == []
    assert client.outreach.delete(record.outreach_id) == record
    client.lists.delete(name)
    with pytest.raises(NotFound):
        client.lists.run(name)


def copied(name: str) -> dict[str, Any]:
    """The profile of one account that has copies, unlike those of other names."""
    mark = sha256(name.encode()).hexdigest()
    words = " ".join(mark[i : i + 8] for i in range(0, 64, 8))
    return {"name": mark[:12], "bio": f"kitchen raid guitar beach {words}"}


def ring(client: Client, prefix: str, count: int) -> list[str]:
    """Copies of one account, which are a group."""
    ids = [f"{prefix}{i}" for i in range(count)]
    for name in ids:
        client.put(name, copied(prefix))

    def is_grouped() -> bool:
        group = client.duplicates.of(ids[0]).group
        return group is not None and group.size == count

    wait_until(is_grouped, "the copies are a group")
    return ids


def test_groups_judgements_and_events(client: Client, face: str) -> None:
    before = client.events(kinds=["duplicates.*"])
    list(before)
    ids = ring(client, f"{face}-ring-", 4)
    found = client.duplicates.of(ids[0])
    assert found.group is not None
    assert {tie.streamer_id for tie in found.duplicates} == set(ids) - {ids[0]}
    assert found.group.group_id in [g.group_id for g in client.duplicates.all(page_size=1)]
    assert client.duplicates.page(limit=1).groups
    first = client.duplicates.get(found.group.group_id, limit=3)
    rest = client.duplicates.get(found.group.group_id, limit=3, cursor=first.next_cursor)
    assert first.members + rest.members == ids
    assert client.judgements.get(ids[0], ids[1]) is None
    given = client.judgements.put(ids[1], ids[0], "different", "two brothers")
    assert (given.a, given.b) == (ids[0], ids[1])
    client.judgements.put(ids[1], ids[2], "same")
    overruling = client.judgements.put(ids[0], ids[2], "same")
    assert [(pair.a, pair.b) for pair in overruling.overrules] == [(ids[0], ids[1])]
    kept = client.judgements.get(ids[1], ids[0])
    assert kept is not None
    assert (kept.note, kept.verdict) == ("two brothers", "different")
    assert [(j.a, j.b) for j in client.judgements.all(ids[1], page_size=1)] == [
        (ids[0], ids[1]),
        (ids[1], ids[2]),
    ]
    assert len(client.judgements.page(ids[1], limit=1).judgements) == 1
    for a, b in ((0, 1), (0, 2), (2, 1)):
        client.judgements.delete(ids[a], ids[b])
    with pytest.raises(NotFound):
        client.judgements.delete(ids[0], ids[1])
    events = {event.event_id: event for event in before}
    told = [name for event in events.values() for name in event.data["streamer_ids"]]
    assert set(ids) <= set(told)
    client.delete(ids[3])
    follower = client.events(before.cursor, kinds=["duplicates.*"], poll_s=0.01, page_size=1)
    split = next(
        iter(e for e in follower if ids[3] in e.data["streamer_ids"] and e.kind.endswith("split"))
    )
    assert split.event_id not in events
    assert split in list(client.events(follower.cursor, kinds=["duplicates.*"]))
    rebuilt = client.jobs.wait(client.duplicates.rebuild().job_id)
    assert rebuilt.kind == "duplicates"
    with pytest.raises(Invalid):
        next(iter(client.events("dup-garbage")))


def test_watchlists_and_alerts(client: Client, face: str) -> None:
    guitar = copied(f"{face}-watched")
    client.put(f"{face}-seed", guitar)
    wanted = {
        "name": face, "positive": [{"streamer_id": f"{face}-seed"}], "min_probability": 0.5
    }  # fmt: skip
    made = client.watchlists.create(wanted)
    assert made.watchlist_id in [each.watchlist_id for each in client.watchlists.all(page_size=1)]
    client.put(f"{face}-copy", guitar)
    opened = partial(client.alerts.all, state="open", watchlist_id=made.watchlist_id)
    wait_until(lambda: list(opened()), "the copy matches")
    (alert,) = opened(page_size=1)
    assert (alert.streamer_id, alert.seed_id) == (f"{face}-copy", f"{face}-seed")
    decided = client.alerts.decide(alert.alert_id, "confirmed", "why", if_revision=alert.revision)
    assert client.alerts.get(alert.alert_id) == decided
    assert list(opened()) == []
    with pytest.raises(Conflict):
        client.alerts.decide(alert.alert_id, "open", if_revision=alert.revision)
    changed = client.watchlists.replace(made.watchlist_id, {**wanted, "name": f"{face} 2"})
    with pytest.raises(Conflict):
        client.watchlists.delete(made.watchlist_id, if_revision=made.revision)
    shadowed = client.watchlists.change(made.watchlist_id, {"mode": "shadow"})
    assert client.watchlists.get(made.watchlist_id).mode == "shadow"
    assert changed.revision < shadowed.revision
    client.watchlists.delete(made.watchlist_id, if_revision=shadowed.revision)
    with pytest.raises(NotFound):
        client.watchlists.get(made.watchlist_id)


def test_a_case_from_its_seeds_to_its_archive(client: Client, face: str) -> None:
    ids = ring(client, f"{face}-case-", 3)
    case = client.cases.create(f"{face} scam", ids[:1])
    ran = client.cases.expand(case.case_id, case.revision, {"hops": 2})
    if not isinstance(ran, RanOut):
        client.jobs.wait(ran.job_id)
    shown = client.cases.get(case.case_id, limit=1)
    assert shown.revision > case.revision
    members = list(client.cases.members(case.case_id, page_size=1))
    assert sorted(member.streamer_id for member in members) == ids
    decided = client.cases.decide(case.case_id, ids[1], "cleared", shown.revision, "why")
    (verdict,) = client.cases.verdicts(case.case_id).verdicts
    assert (verdict.streamer_id, verdict.verdict) == (ids[1], "cleared")
    with pytest.raises(Conflict):
        client.cases.undo(case.case_id, shown.revision)
    undone = client.cases.undo(case.case_id, decided.revision)
    assert client.cases.verdicts(case.case_id).verdicts == []
    again = client.cases.rerun(case.case_id, undone.revision)
    if not isinstance(again, RanOut):
        client.jobs.wait(again.job_id)
    assert len(client.cases.events(case.case_id, limit=2).events) == 2
    assert client.cases.export(case.case_id).startswith(b"PK")
    assert client.cases.export(case.case_id, "csv").count(b"\n") >= 1 + len(ids)
    assert case.case_id in [each.case_id for each in client.cases.page().cases]
    client.cases.delete(case.case_id, client.cases.get(case.case_id).revision)
    with pytest.raises(NotFound):
        client.cases.get(case.case_id)


def test_webhooks(client: Client, face: str) -> None:
    with receiving() as receiver:
        made = client.webhooks.create(receiver.url(), ["streamer.*"], "a test")
        name = made.webhook_id
        client.put(f"{face}-told", COOKING)
        (found,) = receiver.wait_for(1)
        assert found.verified(made.secret)["data"]["streamer_id"] == f"{face}-told"
        wait_until(lambda: client.webhooks.get(name).delivered == 1, "it is noted")
        delivered = client.webhooks.deliveries(name, "delivered").deliveries
        assert [one.message_id for one in delivered] == [found.message_id]
        assert client.webhooks.test(name).delivered
        assert client.webhooks.rotate(name, 0).secret != made.secret
        changed = client.webhooks.update(name, enabled=False)
        assert not client.webhooks.get(name).enabled
        with pytest.raises(Conflict):
            client.webhooks.update(name, enabled=True, if_version=changed.version - 1)
        assert client.webhooks.replay(name) == 0
        assert name in [each.webhook_id for each in client.webhooks.all(page_size=1)]
        with pytest.raises(Invalid):
            client.webhooks.create(receiver.url(), ["nothing.*"])
        client.webhooks.delete(name)
        with pytest.raises(NotFound):
            client.webhooks.get(name)


def test_spaces_and_models(client: Client, face: str, tmp_path: Path, bundle: Path) -> None:
    ids = [f"{face}-sp{i:02}" for i in range(60)]
    draw = np.random.default_rng(7)
    words = [word for topic in TOPICS.values() for word in topic.split()]
    bios = [" ".join(draw.choice(words, 5, replace=False)) for _ in ids]
    list(client.load({"streamer_id": n, "bio": b} for n, b in zip(ids, bios, strict=True)))
    known = np.array([client.embedding(name).embedding for name in ids], np.float32)
    vectors = known @ draw.normal(size=(DIM, 12)).astype(np.float32)
    users = {
        "user_ids": [f"观众-{i}" for i in range(30)],
        "user_vectors": draw.normal(size=(30, 12)).astype(np.float32),
    }
    archive = tmp_path / "vectors.npz"
    np.savez(archive, ids=ids, vectors=vectors, **users)
    lines = tmp_path / "vectors.jsonl"
    rows = [
        {"kind": "streamer", "id": n, "vector": v.tolist()}
        for n, v in zip(ids, vectors, strict=True)
    ]
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = client.spaces.hand_over(face, "g0", archive, promote=True, force=True)
    assert (made.state, made.counts.users, made.counts.streamers) == ("active", 30, 60)
    with pytest.raises(Conflict):
        client.spaces.hand_over(face, "g0", archive)
    assert client.spaces.hand_over(face, "g1", lines).generation == "g1"
    assert client.spaces.erase_user(face, "观众-1").generations == 1
    assert client.spaces.promote(face, "g1", force=True).previous == "g0"
    own = client.spaces.own_vector(face, ids[3])
    assert (own.generation, own.is_established) == ("g1", True)
    np.testing.assert_allclose(own.vector or [], vectors[3], rtol=1e-5)
    assert client.spaces.roll_back(face).serving == "g0"
    client.spaces.delete(face, "g1")
    assert [g.generation for g in client.spaces.get(face).generations] == ["g0"]
    assert face in [each.space for each in client.spaces.all()]
    with pytest.raises(ValueError, match="npz"):
        client.spaces.hand_over(face, "g2", tmp_path / "vectors.csv")
    (active,) = client.models.all()
    assert (active.state, client.models.get(active.model_version)) == ("active", active)
    with pytest.raises(ApiProblem):
        client.models.register(str(bundle))
    with pytest.raises(NotFound):
        client.models.backfill("another")
    assert client.layouts.state().current is None
    with pytest.raises(ApiProblem):
        client.layouts.select({"near": {"x": 1, "y": 1, "radius": 9}})


# Long work


def test_streamers_go_in_and_out_by_jobs(client: Client, face: str, import_folder: Path) -> None:
    ids = [f"{face}-job-{i:03}" for i in range(300)]
    profiles = [{"streamer_id": name, **COOKING, "category": f"{face}-jobs"} for name in ids]
    seen: list[JobOut] = []
    started = client.imports.start([*profiles, "{no json}"])
    assert started.kind == "import"
    result = client.imports.wait(started.job_id, on_progress=seen.append)
    assert (result.created, result.refused, result.lines) == (300, 1, 301)
    assert result.refused_lines[0].line == 301
    assert client.sequence >= (result.sequence or 0) > 0
    assert seen[-1].state == "succeeded"
    assert [job.progress.done for job in seen] == sorted(job.progress.done for job in seen)
    file = import_folder / f"{face}.jsonl"
    file.write_text("".join(json.dumps(p) + "\n" for p in profiles[:20]))
    for again in (client.imports.start_upload(file), client.imports.start_file(file.name)):
        assert client.imports.wait(again.job_id).unchanged == 20
    ours = {"must": [{"field": "category", "any": [f"{face}-jobs"]}]}
    export = client.exports.start(ours)
    assert [p.streamer_id for p in client.exports.lines(export.job_id)] == ids
    question = {"positive": [{"streamer_id": ids[0]}], "min_score": 0.5, "filter": ours}
    at_once = list(client.export(question))
    similar = client.exports.start_similar(question)
    assert list(client.exports.similar_lines(similar.job_id)) == at_once
    assert len(at_once) == 300
    with pytest.raises(ClientError, match="similar_lines"):
        next(iter(client.exports.lines(similar.job_id)))
    listed = [job.job_id for job in client.jobs.all(page_size=2)]
    assert listed == sorted(listed, reverse=True)
    assert {started.job_id, export.job_id, similar.job_id} <= set(listed)
    rebuilt = client.jobs.wait(client.jobs.rebuild_index().job_id)
    assert rebuilt.result is not None
    assert rebuilt.result["streamers"] >= 300


def test_how_a_job_ended_is_a_typed_error(client: Client, api: Api, face: str) -> None:
    asked = {"positive": [{"streamer_id": f"{face}-nobody"}], "min_score": 0.5}
    later = {"Prefer": "respond-async"}
    job = api.ok("POST", "/v1/similar/export", asked, status=202, headers=later)
    with pytest.raises(JobFailed) as failed:
        client.jobs.wait(job["job_id"])
    assert failed.value.job.error is not None
    assert failed.value.job.error.code == "streamer_not_found"
    with pytest.raises(JobFailed):
        client.jobs.wait(client.jobs.retry(job["job_id"]).job_id)
    with pytest.raises(NotFound):
        client.jobs.wait("0" * 28)


# Keys and addresses


def test_the_key_is_sent_and_what_it_may_not_is_named(
    connect: Connect, api: Api, face: str
) -> None:
    api.put_streamer(f"{face}-keyed", **COOKING)
    for key in (None, "another"):
        with pytest.raises(NotAllowed) as raised:
            connect(key=key).get(f"{face}-keyed")
        assert (raised.value.code, raised.value.status) == ("unauthorized", 401)
    with api.with_key("streamers:read") as reader:
        reading = connect(key=str(reader.headers["authorization"]).removeprefix("Bearer "))
        assert reading.get(f"{face}-keyed").profile["tags"] == ["cooking"]
        with pytest.raises(NotAllowed, match="streamers:write") as raised:
            reading.put(f"{face}-keyed", {})
        assert raised.value.status == 403


@KINDS
@pytest.mark.parametrize("key", ["sk_secret ", "sk_secret\n", "sk_s\u00e9cret", ""])
def test_a_key_that_no_header_can_carry_is_not_told(
    kind: type[Client | AsyncClient], key: str
) -> None:
    with pytest.raises(ClientError) as raised:
        kind("http://service", key)
    assert "cret" not in str(raised.value)


@KINDS
def test_addresses_and_proxies_that_can_not_be_used(
    kind: type[Client | AsyncClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    for url in ("http://service:port", "http://a\x01b", "http://xn--a"):
        with pytest.raises(ClientError, match="can't be asked"):
            kind(url)
    monkeypatch.setenv("ALL_PROXY", "socks5://user:secret@proxy:port")
    with pytest.raises(ClientError, match="ALL_PROXY") as raised:
        kind("http://service.example.org")
    assert "secret" not in str(raised.value)
    kind("http://127.0.0.1:8000")  # is asked without


def test_this_machine_is_asked_without_the_proxy_of_the_environment(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    assert connect().health().status == "ok"


def test_who_is_not_there_and_what_can_not_be_asked(connect: Connect) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(Unreachable, match="can't be reached") as raised:
        connect(nobody, patience=Patience(attempts=2, first_pause_s=0.001)).put("s-1", {})
    assert not raised.value.is_in_doubt
    with pytest.raises(ClientError, match="can't be asked"):
        connect("ftp://127.0.0.1").health()
    with pytest.raises(ClientError, match="can't be asked"):
        connect().get("a" * 100_000)


def test_an_own_httpx_client_is_used_and_left_open(service: Service) -> None:
    with httpx.Client(headers={"X-Request-Id": "mine"}, trust_env=False) as http:
        with Client(service.url, ADMIN_KEY, http=http) as client, pytest.raises(NotFound) as raised:
            client.get("nobody")
        assert raised.value.request_id == "mine"
        assert not http.is_closed


# Faults: a server between client and service


CUT_BEFORE, CUT_AFTER, CUT_INSIDE, LATE = "cut before", "cut after", "cut inside", "late"
Fault = str | tuple[int, dict[str, str], bytes]


def problem(status: int, code: str, **headers: str) -> Fault:
    """A refusal that does not come from the service."""
    body = {"type": f"/errors#{code}", "title": "t", "status": status, "code": code}
    return status, headers, json.dumps({**body, "detail": "why"}).encode()


class Faulty:
    """What stands between; its faults are of the next requests, one each, but for `/openapi.json`.

    Attributes:
        faults: that are still to come; after them requests pass.
        seen: method, path with query, headers and body of each request.
        url: where it listens.
    """

    def __init__(self, behind: str) -> None:
        self.faults: list[Fault] = []
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.behind = behind
        self.ends = threading.Event()
        self.url = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        body = handler.rfile.read(int(handler.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        fault: Fault = ""
        if handler.path != "/openapi.json":
            self.seen.append((handler.command, handler.path, headers, body))
            fault = self.faults.pop(0) if self.faults else ""
        if fault == CUT_BEFORE:
            return
        if fault == LATE:
            self.ends.wait()
            return
        if isinstance(fault, tuple):
            status, sent, content = fault
        else:
            del headers["host"]
            with httpx.Client(trust_env=False, timeout=120) as http:
                passed = http.request(
                    handler.command, self.behind + handler.path, content=body, headers=headers
                )
            status, content = passed.status_code, passed.content
            names = ("content-type", "etag", "retry-after", "x-request-id", "location")
            sent = {name: passed.headers[name] for name in names if name in passed.headers}
        if fault == CUT_AFTER:
            return
        handler.send_response(status)
        for name, value in sent.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[: len(content) // 2] if fault == CUT_INSIDE else content)


@contextmanager
def faulty(behind: str) -> Iterator[Faulty]:
    between = Faulty(behind)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            between.answer(self)

        do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

        def handle(self) -> None:
            with suppress(ConnectionError):
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    between.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield between
    finally:
        between.ends.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def between(service: Service) -> Iterator[Faulty]:
    with faulty(service.url) as made:
        yield made


SENT_AGAIN: list[Fault] = [
    CUT_BEFORE, CUT_AFTER, CUT_INSIDE, problem(503, "overloaded"), problem(429, "rate_limited"),
    (502, {}, b"<p>bad gateway"), (504, {}, b""),
]  # fmt: skip


@pytest.mark.parametrize("fault", SENT_AGAIN, ids=lambda fault: str(fault)[:16])
def test_questions_and_writes_with_a_key_of_their_own_are_sent_again_and_done_once(
    connect: Connect, between: Faulty, face: str, fault: Fault, api: Api
) -> None:
    name = f"{face}-again-{SENT_AGAIN.index(fault)}"
    client = connect(between.url, patience=SOON)
    between.faults = [fault, fault]
    written = client.put(name, COOKING)
    assert written.created
    keys = {headers["idempotency-key"] for _, _, headers, _ in between.seen}
    assert (len(between.seen), len(keys)) == (3, 1)
    between.faults = [fault]
    patched = client.patch(name, {"bio": None})
    assert api.ok("GET", f"/v1/streamers/{name}")["version"] == patched.version
    # Nobody else wrote meanwhile: each was done once.
    assert patched.version == written.version + 1
    between.faults = [fault, fault]
    assert client.get(name).version == patched.version
    between.faults = [fault]
    deleted = client.delete(name)
    assert deleted.sequence == patched.version + 1
    assert between.faults == []


def test_what_could_be_done_twice_is_not_sent_again_after_a_lost_answer(
    connect: Connect, between: Faulty, face: str, client: Client
) -> None:
    a, b = f"{face}-once-a", f"{face}-once-b"
    for name in (a, b):
        client.put(name, COOKING)
    saved = client.lists.save(f"{face}-once", {"positive": [{"streamer_id": a}]})
    given = client.ratings.put({"question": {"positive": [a]}, "streamer_id": b, "rating": 1})
    case = client.cases.create(f"{face}-once", [a])
    there = connect(between.url, patience=SOON)
    writes: list[Callable[[], object]] = [
        lambda: there.judgements.put(a, b, "different"),
        lambda: there.judgements.delete(a, b),
        lambda: there.ratings.delete(given.question_id, b),
        lambda: there.lists.delete(f"{face}-once", if_revision=saved.revision),
        lambda: there.cases.delete(case.case_id, case.revision),
    ]
    for write in writes:
        between.faults, between.seen = [CUT_AFTER], []
        with pytest.raises(OutcomeUnknown) as raised:
            write()
        assert raised.value.is_in_doubt
        assert len(between.seen) == 1
    assert client.judgements.get(a, b) is None  # each was done by what was cut
    for gone in (client.lists.get, client.cases.get):
        with pytest.raises(NotFound):
            gone(f"{face}-once" if gone == client.lists.get else case.case_id)
    between.faults, between.seen = [problem(503, "overloaded"), problem(429, "rate_limited")], []
    there.judgements.put(a, b, "different")  # refused before anything was done
    assert len(between.seen) == 3


def test_a_write_is_not_sent_again_to_a_service_that_does_not_tell_of_keys(
    connect: Connect, face: str
) -> None:
    with faulty("") as between:  # which has no document of its API either
        between.faults = [CUT_BEFORE]
        patience = Patience(attempts=2, first_pause_s=0.001, deadline_s=5)
        with pytest.raises(OutcomeUnknown):
            connect(between.url, patience=patience).patch("a", {})
        assert len(between.seen) == 1


def test_jobs_and_records_whose_answer_was_lost_are_made_once(
    connect: Connect, between: Faulty, client: Client, face: str
) -> None:
    client.put(f"{face}-mailed", COOKING)
    there = connect(between.url, patience=SOON)
    between.faults = [CUT_AFTER, CUT_INSIDE]
    before = {job.job_id for job in client.jobs.all()}
    started = there.imports.start([{"streamer_id": f"{face}-imported", **COOKING}])
    assert {job.job_id for job in client.jobs.all()} - before == {started.job_id}
    assert client.imports.wait(started.job_id).created == 1
    between.faults = [CUT_AFTER, CUT_AFTER]
    made = there.outreach.record([f"{face}-mailed"], note="mail")
    assert list(client.outreach.all(f"{face}-mailed")) == [made]


def test_lines_of_a_load_that_have_no_result_are_sent_again(
    connect: Connect, between: Faulty, client: Client, face: str
) -> None:
    names = [f"{face}-load-{i:02}" for i in range(60)]
    there = connect(between.url, patience=SOON)
    between.faults = [CUT_BEFORE, CUT_AFTER, CUT_INSIDE, problem(503, "overloaded"), CUT_INSIDE]
    given = [{"streamer_id": name, **COOKING} for name in names]
    found = list(there.load(given, chunk_lines=20, at_once=1))
    assert [result.line for result in found] == [*range(1, 61)]
    assert {result.outcome for result in found} == {"created", "unchanged"}
    assert {query for _, query, _, _ in between.seen} == {"/v1/streamers:bulk?skip_unchanged=true"}
    first, last = (client.get(name).version for name in (names[0], names[-1]))
    assert last - first == 59  # none was written twice
    between.faults, between.seen = [CUT_BEFORE], []
    with pytest.raises(Unreachable):
        list(connect(between.url, patience=Patience(attempts=1)).load(given[:1]))
    assert len(between.seen) == 1


def test_retry_after_is_kept_and_tries_are_counted(connect: Connect, between: Faulty) -> None:
    patience = Patience(attempts=3, first_pause_s=0.001)
    between.faults = [problem(503, "overloaded", **{"Retry-After": "0"})] * 4
    with pytest.raises(Unavailable) as raised:
        connect(between.url, patience=patience).get("a")
    assert (raised.value.code, raised.value.retry_after_s) == ("overloaded", 0)
    assert len(between.seen) == 3
    between.faults, between.seen = [problem(429, "rate_limited", **{"Retry-After": "3600"})], []
    with pytest.raises(Unavailable) as raised:  # it would be after the deadline
        connect(between.url, patience=patience).get("a", deadline_s=30)
    assert (raised.value.status, raised.value.retry_after_s) == (429, 3600)
    assert len(between.seen) == 1


def test_a_call_is_given_up_at_its_deadline(connect: Connect, between: Faulty) -> None:
    between.faults = [LATE, LATE]
    for call in (
        lambda: connect(between.url).get("a", deadline_s=0.1),
        lambda: connect(between.url, patience=Patience(deadline_s=0.1)).put("late", {}),
        lambda: connect(between.url).get("a", deadline_s=0),
    ):
        with pytest.raises(DeadlineExceeded):
            call()
    between.faults = [LATE]
    patience = Patience(attempt_s=1, first_pause_s=0.001)
    with pytest.raises(NotFound):  # of the second try
        connect(between.url, patience=patience).get("a")


@pytest.mark.parametrize(
    ("answer", "call", "kind", "said"),
    [
        ((200, {}, b"<p>Welcome"), lambda c: c.get("a"), UnexpectedAnswer, "Welcome"),
        ((404, {}, b"<p>none"), lambda c: c.get("a"), UnexpectedAnswer, "404"),
        ((200, {}, b'{"version": "7a"}'), lambda c: c.get("a"), UnexpectedAnswer, "release"),
        ((200, {}, b'{"odd": 7}\n'), lambda c: list(c.load([{}])), UnexpectedAnswer, "odd"),
        (problem(422, "x"), lambda c: list(c.load([{}])), Invalid, "why"),
        (
            (200, LINES, b'{"streamer_id":"a","score":1,"precision":null,"rank":1}\n'),
            lambda c: list(c.export({"positive": [{"streamer_id": "a"}], "min_score": 0})),
            AnswerCut,
            "before its last line",
        ),
        (problem(507, "x"), lambda c: c.judgements.put("a", "b", "same"), OutcomeUnknown, "why"),
    ],
)
def test_an_answer_that_is_none_of_the_service_is_told_as_such(
    connect: Connect,
    between: Faulty,
    answer: Fault,
    call: Callable[[Client], object],
    kind: type[ClientError],
    said: str,
) -> None:
    between.faults = [answer] * 8
    with pytest.raises(kind, match=said):
        call(connect(between.url, patience=SOON))


@pytest.mark.parametrize("status", [200, 204, 502, 503])
def test_a_job_is_asked_for_where_no_events_come_through(
    connect: Connect, client: Client, between: Faulty, face: str, status: int
) -> None:
    job = client.imports.start([{"streamer_id": f"{face}-no-events", **COOKING}])
    between.faults = [(status, {"Retry-After": "0"}, b"<html>" if status != 204 else b"")]
    assert connect(between.url, patience=SOON).imports.wait(job.job_id).lines == 1
    assert between.seen[0][1].endswith("/events")
    assert len(between.seen) > 1


def test_a_client_waits_for_a_service_that_starts_and_not_for_a_job_that_nobody_runs(
    bundle: Path, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    waiting = Patience(deadline_s=240, attempts=None, longest_pause_s=0.1)

    async def write() -> None:
        async with AsyncClient(url, patience=waiting) as client:
            assert (await client.put("s-1", COOKING)).created

    with Service(bundle, tmp_path / "data", port=port, STREAMER_JOBS__AT_ONCE="0"):
        asyncio.run(write())
        with Client(url) as client:
            job = client.exports.start()
            with pytest.raises(DeadlineExceeded, match=job.job_id):
                client.jobs.wait(job.job_id, timeout_s=0.2)
            assert client.jobs.cancel(job.job_id).state == "cancelled"
            with pytest.raises(JobCancelled) as cancelled:
                client.jobs.wait(job.job_id)
            assert cancelled.value.job == client.jobs.get(job.job_id)
            assert client.jobs.retry(job.job_id).state == "queued"


def test_a_starting_service_is_told_by_its_health(bundle: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        with Service(bundle, tmp_path / "data", REDIS_URL=store) as service:
            with Client(service.url) as client, pytest.raises(Unavailable) as raised:
                client.health()
            assert raised.value.code == "not_ready"
