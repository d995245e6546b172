"""The client and a service, as they are used."""

import asyncio
import ssl
from pathlib import Path

import httpx
import pytest
import trustme

from service.client import (
    ApiProblem,
    AsyncClient,
    Client,
    ClientError,
    Conflict,
    Invalid,
    NotAllowed,
    NotFound,
    Patience,
    Unavailable,
    Unreachable,
)
from service.client.models import (
    ColdStartIn,
    DedupClustersOut,
    DedupFeedOut,
    DedupIn,
    ExportIn,
    ExportLineOut,
    ExportSummaryOut,
    SeedIn,
    SimilarIn,
    StreamerBody,
    StreamerContent,
)
from tests.bundles import DIM
from tests.service.conftest import Serve
from tests.service.data_sets import profile, profiles
from tests.service.process import WAIT_S, Service

pytestmark = pytest.mark.slow


def test_a_streamer_from_its_first_write_to_its_last(client: Client) -> None:
    first = client.put("s-1", {"name": "n", "tags": ["cooking", "music"]}, only_new=True)
    assert (first.created, first.version, first.status) == (True, first.sequence, "indexed")
    with pytest.raises(Conflict) as raised:
        client.put("s-1", {}, only_new=True)
    assert raised.value.code == "version_conflict"
    second = client.put("s-1", StreamerBody(tags=["cooking"], bio="b"), if_version=first.version)
    third = client.patch("s-1", {"bio": None, "language": "en"}, if_version=second.version)
    assert (second.created, third.created) == (False, False)
    with pytest.raises(Conflict):
        client.patch("s-1", {"bio": "x"}, if_version=second.version)
    found = client.get("s-1")
    assert found.version == third.version == client.sequence
    assert found.profile["tags"] == ["cooking"]
    assert (found.profile.get("bio"), found.profile["language"]) == (None, "en")
    vector = client.embedding("s-1")
    assert (len(vector.embedding), vector.version) == (DIM, third.version)
    deleted = client.delete("s-1", if_version=third.version)
    assert deleted.sequence == client.sequence == third.sequence + 1
    for ask in (client.get, client.embedding, client.delete, client.similar, client.cold_start):
        with pytest.raises(NotFound) as missing:
            ask("s-1")
        assert "'s-1' is not stored" in missing.value.detail
        assert missing.value.request_id


def test_wrong_fields_are_named(client: Client) -> None:
    with pytest.raises(Invalid) as raised:
        client.put("s-1", {"nmae": "typo"})
    assert [error.pointer for error in raised.value.errors] == ["/nmae"]
    with pytest.raises(Invalid):
        client.search({"positive": [{}]})
    with pytest.raises(Invalid, match="k: "):
        client.similar("s-1", k=0)
    with pytest.raises(Invalid):
        list(client.export({"positive": [{"streamer_id": "s-1"}]}))


def test_many_streamers_are_written_listed_and_searched(client: Client) -> None:
    said: list[int] = []
    lines = [*profiles(250), "\n", "{no json}\n"]
    found = list(client.load(lines, chunk_lines=40, at_once=3, progress=said.append))
    assert sorted(result.line for result in found) == [*range(1, 251), 252]
    assert sum(result.outcome == "created" for result in found) == 250
    assert (said[-1], len(said)) == (252, 7)
    assert [r.outcome for r in client.load(map(profile, range(3)))] == ["unchanged"] * 3
    listed = list(client.streamers(page_size=60))
    assert [s.streamer_id for s in listed] == [f"s{i:05}" for i in range(250)]
    seed = SeedIn(profile=StreamerContent(tags=["cooking"]))
    question = SimilarIn(positive=[seed], k=20, min_score=0.2, pages=True)
    pages = list(client.pages(question))
    hits = [hit for page in pages for hit in page.hits]
    assert len(pages) == -(-len(hits) // 20) > 1
    assert pages[0].reached == len(hits)
    export = ExportIn(positive=[seed], min_score=0.2)
    *exported, summary = client.export(export)
    assert isinstance(summary, ExportSummaryOut)
    assert summary.reached == len(exported) == len(hits)
    assert [e.streamer_id for e in exported if isinstance(e, ExportLineOut)] == [
        hit.streamer_id for hit in hits
    ]


def test_every_question_has_its_typed_answer(client: Client) -> None:
    for i in range(8):
        client.put(f"s{i}", {"tags": ["cooking"], "bio": "kitchen", "language": "en"})
    client.put("other", {"tags": ["music"]})
    answer = client.similar("s0", k=3, explain=True)
    assert len(answer.hits) == 3
    assert answer.complete
    assert answer.index_sequence >= client.sequence
    reasons = answer.hits[0].reasons
    assert reasons is not None
    assert reasons.shared["tags"] == ["cooking"]
    assert reasons.contributions is not None
    tags = reasons.contributions["tags"]
    assert (tags.seed, tags.hit, tags.contribution is None) == ("used", "used", False)
    assert len(client.search({"positive": [{"streamer_id": "s0"}], "k": 2}).hits) == 2
    placed = client.cold_start("s0")
    assert placed.coverage > 0
    placed = client.cold_start(ColdStartIn(profile=StreamerContent(tags=["cooking"])))
    assert placed.model_version == "test-0"
    compared = client.compare("s0", {"streamer_id": "x", "bio": "kitchen", "tags": ["cooking"]})
    assert compared.weight == pytest.approx(sum(each.weight for each in compared.channels))
    assert client.compare("s0", "other").verdict == "unrelated"
    clusters = client.dedup(["s0", "s1", "other"])
    assert isinstance(clusters, DedupClustersOut)
    assert [m.streamer_id for m in clusters.clusters[0].members] == ["s0", "s1"]
    alone = client.dedup("s0")
    assert isinstance(alone, DedupClustersOut)
    assert (alone.unique, alone.not_stored) == (["s0"], [])
    feed = client.dedup(DedupIn(ids=["s0", "s1", "other"], mode="feed", window=2))
    assert isinstance(feed, DedupFeedOut)
    assert feed.order == ["s0", "other", "s1"]


def test_what_another_store_was_told_is_waited_for_once(client: Client, service: Service) -> None:
    last = client.put("a", {"tags": ["cooking"]}).sequence
    with Client(service.url, after_sequence=last + 10**6) as other:
        with pytest.raises(Unavailable, match=rf"the store ends at sequence {last}, before"):
            other.similar("a")
        assert other.sequence == last
        assert other.similar("a").hits == []
    with Client(service.url, after_sequence=last + 10**6) as other:
        (line,) = other.cold_starts(["a"])
        assert line.problem is not None
        assert line.problem.code == "not_yet_visible"
        assert other.sequence == last


def test_health_is_told_whatever_it_is(client: Client, service: Service) -> None:
    state = client.health()
    assert (state.status, state.model_version) == ("ok", "test-0")


def test_the_asynchronous_client_asks_the_same(client: Client, service: Service) -> None:
    async def use() -> None:
        async with AsyncClient(service.url, patience=Patience(attempts=2)) as other:
            results = [r async for r in other.load(map(profile, range(50)), chunk_lines=9)]
            assert sorted(result.line for result in results) == list(range(1, 51))
            assert len([s async for s in other.streamers(page_size=7)]) == 50
            assert (await other.similar("s00000", k=5)).index_sequence >= other.sequence
            question = {"positive": [{"streamer_id": "s00000"}], "min_score": 0.5}
            exported = [line async for line in other.export(question)]
            assert isinstance(exported[-1], ExportSummaryOut)
            paged = [page async for page in other.pages({**question, "pages": True, "k": 4})]
            assert sum(len(page.hits) for page in paged) == len(exported) - 1
            with pytest.raises(NotFound):
                await other.get("nobody")

    asyncio.run(use())
    assert len(list(client.streamers())) == 50


def test_the_key_is_sent_with_every_request(serve: Serve) -> None:
    service = serve(STREAMER_API_KEY="a-secret")
    with Client(service.url, "a-secret") as client:
        client.put("s-1", {"tags": ["cooking"]})
        assert [r.outcome for r in client.load([profile(0)])] == ["created"]
        assert len(list(client.export({"positive": [{"streamer_id": "s-1"}], "min_score": 0}))) == 2
    for key in (None, "another"):
        with Client(service.url, key) as client, pytest.raises(NotAllowed) as raised:
            client.get("s-1")
        assert raised.value.code == "unauthorized"


def test_a_service_that_is_not_there(free_port: int) -> None:
    client = Client(f"http://127.0.0.1:{free_port}", patience=Patience(attempts=2))
    with client, pytest.raises(Unreachable) as raised:
        client.put("s-1", {})
    assert f"http://127.0.0.1:{free_port} can't be reached" in raised.value.detail
    assert not raised.value.is_in_doubt


def test_a_client_waits_for_a_service_that_starts(
    bundle: Path, tmp_path: Path, free_port: int
) -> None:
    patience = Patience(deadline_s=WAIT_S, attempts=1000, longest_pause_s=0.1)
    with (
        Client(f"http://127.0.0.1:{free_port}", patience=patience) as client,
        Service(bundle, tmp_path / "data", port=free_port),
    ):
        assert client.put("s-1", {"tags": ["cooking"]}).created


def test_a_starting_service_is_told_by_its_health(
    bundle: Path, tmp_path: Path, silent_store: str
) -> None:
    service = Service(bundle, tmp_path / "data", REDIS_URL=silent_store)
    with service, Client(service.url) as client, pytest.raises(Unavailable) as raised:
        client.health()
    assert raised.value.code == "not_ready"
    assert "the service is starting: " in raised.value.detail


def test_an_own_httpx_client_is_used_and_left_open(service: Service) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with httpx.Client(verify=context, headers={"X-Request-Id": "mine"}) as http:
        with Client(service.url, http=http) as client, pytest.raises(ApiProblem) as raised:
            client.get("nobody")
        assert raised.value.request_id == "mine"
        assert not http.is_closed


def test_every_error_is_a_client_error(service: Service) -> None:
    with Client("ftp://127.0.0.1") as client, pytest.raises(ClientError, match="can't be asked"):
        client.health()
