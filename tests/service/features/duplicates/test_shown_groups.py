"""What is answered of a group, from edges in a real store."""

from collections.abc import AsyncIterator, Sequence
from itertools import combinations, pairwise

import pytest
from redis.asyncio import Redis

from service.engine.work.lanes import Lanes
from service.features.duplicates.groups.edges import pair_of
from service.features.duplicates.service import Duplicates, ShownGroup
from service.features.jobs.service import Jobs
from service.settings import Jobs as JobSettings
from service.settings import Work
from service.store.duplicates import (
    Commit,
    EdgeRecord,
    GroupChange,
    GroupRecord,
    JudgementRecord,
)
from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis.duplicates.groups import RedisGroups
from service.store.redis.duplicates.judgements import RedisJudgements
from service.store.redis.events.feed import RedisEvents
from service.store.redis.jobs import JobLimits, RedisJobs
from service.store.redis.store import RedisStore
from tests.service.store.records import put

pytestmark = pytest.mark.anyio
GROUP = "dup-a"


@pytest.fixture
async def store(embedded: EmbeddedStore) -> AsyncIterator[RedisStore]:
    async with Redis.from_url(embedded.url) as admin:
        await admin.flushall()
    opened = await RedisStore(embedded.url).open()
    yield opened
    await opened.close()


@pytest.fixture
async def lanes() -> AsyncIterator[Lanes]:
    running = Lanes(Work(threads=2))
    running.start()
    yield running
    running.stop()


async def shown(
    store: RedisStore,
    lanes: Lanes,
    edges: Sequence[EdgeRecord],
    same: Sequence[tuple[str, str]] = (),
    limit: int = 1000,
    after: str = "",
) -> ShownGroup:
    """The group of all whom these edges join."""
    judgements = RedisJudgements(store.client)
    groups = RedisGroups(store.client, judgements, RedisEvents(store.client))
    members = sorted({name for edge in edges for name in (edge.a, edge.b)})
    token = await groups.claim("one", 60)
    assert token is not None
    record = GroupRecord(GROUP, "live", len(members), members[0], 1.0, 1.0)
    change = GroupChange(None, record, joined=members)
    await groups.commit(token, 1, Commit(edges, groups=[change]))
    for a, b in same:
        await put(store, a)
        await put(store, b)
        await judgements.put(JudgementRecord(a, b, "same", "", "", "", 1.0))
    jobs = Jobs(
        RedisJobs(store.client, JobLimits(60, 1, 60, b"{}")), JobSettings(), lambda: None, {}
    )
    return await Duplicates(store, groups, judgements, lanes, jobs).get(GROUP, after, limit)


def edge(a: str, b: str, weight: float = 5.0, kind: str = "near_duplicate") -> EdgeRecord:
    return EdgeRecord(*pair_of(a, b), weight, kind)


async def test_who_is_tied_to_a_hub_alone_has_an_edge(store: RedisStore, lanes: Lanes) -> None:
    others = [f"m{i:03}" for i in range(120)]
    edges = [edge("hub", other, 1.0 + i) for i, other in enumerate(others)]
    found = await shown(store, lanes, edges)
    assert {(e.a, e.b) for e in found.edges} == {("hub", other) for other in others}
    first = await shown(store, lanes, edges, limit=1)
    assert first.members == ["hub"]
    assert [e.b for e in first.edges] == others[-50:]  # the strongest
    rest = await shown(store, lanes, edges, limit=40, after="m019")
    assert [(e.a, e.b) for e in rest.edges] == [("hub", other) for other in others[20:60]]


async def test_an_edge_beside_a_judgement_is_no_bridge(store: RedisStore, lanes: Lanes) -> None:
    rings = [edge(a, b) for a, b in ("ab", "bc", "ac", "xy", "yz", "xz")]
    edges = [*rings, edge("c", "x", 9.0)]
    found = await shown(store, lanes, edges)
    assert [(e.a, e.b) for e in found.edges if e.bridge] == [("c", "x")]
    found = await shown(store, lanes, edges, same=[("b", "y")])
    assert not any(e.bridge for e in found.edges)


async def test_a_contact_of_a_crowd_holds_nothing_together(store: RedisStore, lanes: Lanes) -> None:
    """It is cut where groups are, so that the edges beside it hold them together alone."""
    members = [f"a{i:02}" for i in range(20)]
    chain = [edge(a, b) for a, b in pairwise(members)]
    known = {(e.a, e.b) for e in chain}
    crowd = [edge(*pair, 11.0, "same_contact") for pair in combinations(members, 2)]
    found = await shown(store, lanes, [*chain, *(e for e in crowd if (e.a, e.b) not in known)])
    assert len(found.edges) == len(crowd)
    assert {(e.a, e.b) for e in found.edges if e.bridge} == known
