"""What is asked again, when, and what is not."""

import asyncio
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import httpx
import pytest

from service.client import (
    Client,
    ClientError,
    Conflict,
    DeadlineExceeded,
    Invalid,
    NotAllowed,
    NotFound,
    OutcomeUnknown,
    Patience,
    Unavailable,
    UnexpectedAnswer,
    Unreachable,
    patience,
)
from service.client.patience import Attempts
from service.features.jobs.schemas import QUEUED
from tests.service.client.scripted import AT_ONCE, EMPTY, WRITTEN, Script, lines, problem

CUT = httpx.ReadError("the connection broke")
LATE = httpx.ReadTimeout("late")
REFUSED = httpx.ConnectError("nobody listens")
DONE = httpx.Response(201, json=WRITTEN)


@pytest.mark.parametrize(
    "trouble",
    [CUT, LATE, REFUSED, problem(503, "overloaded"), problem(429, "limited"), httpx.Response(502)],
    ids=str,
)
def test_questions_and_idempotent_writes_are_sent_again(trouble: httpx.Response) -> None:
    script = Script(trouble, trouble, DONE, trouble, httpx.Response(200, json=EMPTY))
    client = script.client()
    assert client.put("a", {"tags": ["x"]}).version == 7
    puts = script.seen[:3]
    assert len({request.headers["idempotency-key"] for request in puts}) == 1
    assert {request.content for request in puts} == {b'{"tags":["x"]}'}
    assert client.search({"positive": [{"streamer_id": "a"}]}).hits == []
    assert script.steps == []


@pytest.mark.parametrize("trouble", [CUT, LATE, problem(503, "store_unavailable")], ids=str)
def test_a_write_that_may_have_been_done_is_repeated_only_with_a_key_that_counts(
    trouble: httpx.Response,
) -> None:
    for keyed in ((), ("PUT",)):
        script = Script(trouble, keyed=keyed)
        with pytest.raises(OutcomeUnknown, match="not known whether PATCH /v1/streamers/a was"):
            script.client().patch("a", {"bio": None})
        script = Script(trouble)
        with pytest.raises(OutcomeUnknown):
            script.client().put("a", {}, if_version=3)
    script = Script(trouble, DONE, trouble, DONE, keyed=("PUT", "PATCH"))
    client = script.client()
    assert client.patch("a", {"bio": None}).version == 7
    assert client.put("a", {}, only_new=True).version == 7
    keys = [request.headers["idempotency-key"] for request in script.seen]
    assert keys[0] == keys[1] != keys[2] == keys[3]


def test_a_job_is_queued_once_whichever_answer_was_lost() -> None:
    queued = httpx.Response(202, json=QUEUED)
    script = Script(CUT, queued, CUT, queued)
    client = script.client()
    client.models.backfill("m")
    client.models.compare("m")
    keys = [request.headers["idempotency-key"] for request in script.seen]
    assert keys[0] == keys[1] != keys[2] == keys[3]


@pytest.mark.parametrize(
    "refused",
    [[REFUSED] * 3, [httpx.Response(502), problem(503, "not_ready")], [CUT, LATE]],
    ids=["nobody listens", "it starts", "it is cut"],
)
def test_a_keyed_write_is_sent_again_once_a_service_that_was_away_tells_of_keys(
    refused: list[httpx.Response],
) -> None:
    script = Script(CUT, DONE, keyed=("PATCH",), refused=refused)
    assert script.client().patch("a", {"bio": None}).version == 7
    assert len({request.headers["idempotency-key"] for request in script.seen}) == 1
    assert script.steps == script.refused == []


@pytest.mark.parametrize("refused", [[REFUSED] * 9, [httpx.Response(404, text="<p>")]], ids=str)
def test_a_write_is_not_sent_again_where_nothing_tells_of_keys(
    refused: list[httpx.Response],
) -> None:
    script = Script(CUT, keyed=("PATCH",), refused=refused)
    with pytest.raises(OutcomeUnknown):
        script.client(Patience(first_pause_s=1e-4, longest_pause_s=1e-3, attempts=4)).patch("a", {})
    assert len(script.seen) == 1


@pytest.mark.parametrize(
    "write",
    [
        lambda client: client.cases.expand("c", 3),
        lambda client: client.cases.rerun("c", 3),
        lambda client: client.cases.decide("c", "a", "cleared", 3),
        lambda client: client.cases.undo("c", 3),
        lambda client: client.cases.delete("c", 3),
        lambda client: client.lists.save("l", {}, if_revision=3),
        lambda client: client.lists.save("l", {}, only_new=True),
        lambda client: client.lists.delete("l", if_revision=3),
        lambda client: client.lists.delete("l"),
        lambda client: client.outreach.delete("o"),
        lambda client: client.watchlists.replace("w", {}, if_revision=3),
        lambda client: client.watchlists.delete("w"),
        lambda client: client.alerts.decide("al", "open", if_revision=3),
        lambda client: client.alerts.decide("al", "open"),
        lambda client: client.judgements.put("a", "b", "same"),
        lambda client: client.judgements.delete("a", "b"),
        lambda client: client.webhooks.update("wh", enabled=True, if_version=3),
        lambda client: client.webhooks.delete("wh"),
        lambda client: client.spaces.delete("s", "g"),
        lambda client: client.ratings.delete("0123456789abcdef", "a"),
    ],
)
def test_a_write_whose_route_takes_no_key_is_not_sent_again_after_a_lost_answer(
    write: Callable[[Client], object],
) -> None:
    script = Script(CUT, keyed=("PUT", "PATCH", "DELETE"))
    with pytest.raises(OutcomeUnknown):
        write(script.client())
    assert len(script.seen) == 1


@pytest.mark.parametrize(
    "trouble",
    [
        REFUSED,
        httpx.ConnectTimeout("no way"),
        problem(503, "overloaded"),
        problem(429, "limited"),
        problem(409, "write_contended"),
        problem(409, "idempotency_key_in_use"),
    ],
    ids=str,
)
def test_a_write_that_was_surely_not_done_is_sent_again(trouble: httpx.Response) -> None:
    script = Script(trouble, DONE)
    assert script.client().patch("a", {"bio": None}).version == 7
    assert [request.content for request in script.seen] == [b'{"bio":null}'] * 2


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, NotAllowed),
        (403, NotAllowed),
        (404, NotFound),
        (409, Conflict),
        (412, Conflict),
        (422, Invalid),
    ],
)
def test_what_the_caller_has_to_change_is_not_sent_again(
    status: int, kind: type[ClientError]
) -> None:
    script = Script(problem(status, "some_code"))
    with pytest.raises(kind) as raised:
        script.client().get("a")
    error = raised.value
    assert isinstance(error, Invalid | NotAllowed | NotFound | Conflict)
    assert (error.status, error.code, error.detail) == (status, "some_code", "why")
    assert (error.request_id, error.retry_after_s) == ("r-1", None)
    assert str(error) == f"some_code ({status}): why"


def test_tries_are_counted_and_the_last_error_is_told() -> None:
    script = Script(*[problem(503, "overloaded", **{"retry-after": "0"})] * 3)
    with pytest.raises(Unavailable) as raised:
        script.client(Patience(attempts=3, first_pause_s=1e-4)).get("a")
    assert raised.value.retry_after_s == 0
    assert len(script.seen) == 3


def test_a_write_that_any_try_may_have_done_is_told_as_such() -> None:
    for steps, is_in_doubt in (((CUT, REFUSED, REFUSED), True), ((REFUSED,) * 3, False)):
        client = Script(*steps).client(Patience(attempts=3, first_pause_s=1e-4))
        with pytest.raises(Unreachable, match="nobody listens") as raised:
            client.outreach.record(["a"])
        assert raised.value.is_in_doubt is is_in_doubt
    tries = Attempts(Patience(), 0)
    for error in (Unreachable("cut"), Unreachable("gone", is_in_doubt=False)):
        with pytest.raises(DeadlineExceeded) as late:
            tries.pause_after(error)
    assert late.value.is_in_doubt


def test_retry_after_is_waited_for_unless_the_deadline_is_nearer() -> None:
    script = Script(problem(503, "overloaded", **{"retry-after": "1"}), DONE)
    begin = time.monotonic()
    script.client().put("a", {})
    assert time.monotonic() - begin >= 1
    script = Script(problem(503, "overloaded", **{"retry-after": "3600"}))
    with pytest.raises(Unavailable) as raised:
        script.client().put("a", {}, deadline_s=5)
    assert raised.value.retry_after_s == 3600


def test_pauses_grow_and_are_bounded() -> None:
    tries = Attempts(Patience(attempts=9, first_pause_s=1, longest_pause_s=8, deadline_s=1e6))
    pauses = [tries.pause_after(Unreachable("gone")) for _ in range(8)]
    for pause, longest in zip(pauses, (1, 2, 4, 8, 8, 8, 8, 8), strict=True):
        assert longest / 2 <= pause <= longest
    with pytest.raises(Unreachable):
        tries.pause_after(Unreachable("gone"))


def test_a_call_whose_time_is_over() -> None:
    with pytest.raises(DeadlineExceeded, match="no answer within 0 s"):
        Script().client().get("a", deadline_s=0)
    timeout = Attempts(Patience(deadline_s=7, attempt_s=2, connect_s=0.5)).timeout()
    assert (timeout.connect, timeout.read, timeout.write) == (0.5, 2, 2)
    left = Attempts(Patience(deadline_s=700, attempt_s=600), 300).timeout().read
    assert left is not None
    assert 200 < left <= 300
    tries = Attempts(Patience(), 0)
    with pytest.raises(DeadlineExceeded) as raised:
        tries.pause_after(Unreachable("gone", is_in_doubt=False))
    assert not raised.value.is_in_doubt


def test_an_answer_that_takes_too_long_to_come_is_told_as_such(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seconds = [0.0]
    clock = SimpleNamespace(monotonic=lambda: seconds[0], sleep=time.sleep)
    monkeypatch.setattr(patience, "time", clock)

    def slowly() -> Iterator[bytes]:
        seconds[0] += 40
        yield b"{"

    script = Script(httpx.Response(200, content=slowly()))
    told = r"^the answer was still coming after 30 s \(1 bytes\)$"
    with pytest.raises(DeadlineExceeded, match=told):
        script.client().get("a")


def test_what_is_no_service_is_named() -> None:
    for answer in (httpx.Response(200, text="<p>Welcome</p>"), httpx.Response(404, text="<p>")):
        with pytest.raises(UnexpectedAnswer, match=r"answers \d+: <p>.*is this the address"):
            Script(answer).client().get("a")


def test_an_answer_of_another_release_is_no_wrong_address() -> None:
    answer = httpx.Response(200, json={"streamer_id": "a", "version": "7a"})
    why = r"answers 200: {.*}; version: Input should .*: the service may be of another release"
    with pytest.raises(UnexpectedAnswer, match=why):
        Script(answer).client().get("a")


def test_of_two_kinds_of_answers_the_field_of_its_own_is_named() -> None:
    question = {"positive": [{"streamer_id": "a"}], "min_score": 0}
    line = {"streamer_id": "a", "score": 1, "precision": None}
    for answer, wrong in ((line, "rank"), ({"reached": 0}, "threshold")):
        client = Script(lines(answer)).client()
        with pytest.raises(UnexpectedAnswer, match=rf"}}; {wrong}: Field required: the service"):
            list(client.export(question))
    client = Script(httpx.Response(200, json={"mode": "feed", "threshold": 0.9})).client()
    with pytest.raises(UnexpectedAnswer, match=r"}; feed.order: Field required: the service"):
        client.dedup(["a", "b"])


def test_ids_stay_in_their_place_of_the_path() -> None:
    script = Script(*[problem(404, "streamer_not_found")] * 2)
    for streamer_id in ("a/../b?c#d", "x:1"):
        with pytest.raises(NotFound):
            script.client().get(streamer_id)
    paths = [request.url.raw_path for request in script.seen]
    assert paths == [b"/v1/streamers/a%2F..%2Fb%3Fc%23d", b"/v1/streamers/x:1"]


def test_questions_wait_for_the_last_write_of_the_client() -> None:
    answer = httpx.Response(200, json=EMPTY)
    script = Script(answer, DONE, *[answer] * 3)
    client = script.client()
    client.similar("a")
    client.put("a", {})
    assert client.sequence == 7
    client.similar("a")
    client.search({"positive": []})
    client.search({"positive": [], "after_sequence": 9})
    assert "after_sequence" not in script.seen[0].url.params
    assert script.seen[2].url.params["after_sequence"] == "7"
    assert script.seen[3].content == b'{"positive":[],"after_sequence":7}'
    assert script.seen[4].content == b'{"positive":[],"after_sequence":9}'
    script = Script(answer)
    script.client(after_sequence=5).similar("a", min_score=0.0, explain=True)
    assert dict(script.seen[0].url.params) == {
        "k": "10",
        "after_sequence": "5",
        "min_score": "0.0",
        "explain": "true",
    }


def test_a_write_that_the_store_lost_is_waited_for_once() -> None:
    """As after a restore of a backup: each question would be refused until its numbers come."""
    late, answer = problem(503, "not_yet_visible"), httpx.Response(200, json=EMPTY)
    lost = httpx.Response(503, json={**late.json(), "store_sequence": 5})
    script = Script(DONE, late, lost, answer)
    client = script.client()
    client.put("a", {})
    with pytest.raises(Unavailable) as raised:
        client.similar("a")
    assert not raised.value.is_passing
    client.similar("a")
    assert [seen.url.params["after_sequence"] for seen in script.seen[1:]] == ["7", "7", "5"]
    line = {"line": 1, "problem": {"code": "not_yet_visible", "detail": "", "store_sequence": 3}}
    script.steps += [httpx.Response(200, json=line), answer]
    assert client.cold_starts(["a"])[0].answer is None
    client.similar("a")
    assert script.seen[-1].url.params["after_sequence"] == "3"


def test_the_asynchronous_client_does_the_same() -> None:
    done = [httpx.Response(200, json=WRITTEN) for _ in range(2)]
    script = Script(CUT, problem(503, "overloaded"), done[0], LATE, done[1], keyed=("PATCH",))

    async def write() -> int:
        async with script.async_client(AT_ONCE) as client:
            await client.put("a", {})
            return (await client.patch("a", {})).version

    assert asyncio.run(write()) == 7
    assert script.steps == []


def test_a_deadline_that_passes_in_a_pause_says_what_was_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr("service.client.patience.time", SimpleNamespace(monotonic=lambda: now[0]))
    tries = Attempts(Patience(attempts=None, first_pause_s=1), 5)
    assert tries.pause_after(Unreachable("nobody is there", is_in_doubt=False)) <= 1
    now[0] = 6
    with pytest.raises(DeadlineExceeded, match="within 5 s: nobody is there") as raised:
        tries.timeout()
    assert not raised.value.is_in_doubt
