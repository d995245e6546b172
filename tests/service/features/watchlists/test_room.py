"""Room for open alerts, beside matches, decisions and sweeps at the same time; earlier alerts."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from service.engine.watchlists.matcher import Matcher
from service.features.watchlists.alerts.keeping import ALERTS, HISTORIES, alert_id_of
from service.features.watchlists.alerts.service import Alerts
from service.features.watchlists.matching import Found, Matching
from service.features.watchlists.records import SWEPT, TALLIES
from service.features.watchlists.watched import due_lists
from service.store.documents import Put
from tests.service.features.watchlists.deployment import NOODLES, Deployment, Progress

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def alerts(deployment: Deployment) -> Alerts:
    """Of lists that may have one open alert."""
    return Alerts(deployment.documents, deployment.lanes, 1)


async def dismiss_all(deployment: Deployment, alerts: Alerts, list_id: str) -> None:
    found, *_ = await deployment.alerts.page("on", "open", list_id, "", 1000)
    for each in found:
        await alerts.decide(each.alert_id, "dismissed", "", "k", "desk")


async def full(deployment: Deployment) -> str:
    """A list with one alert and two streamers beyond."""
    await deployment.write("seed", NOODLES)
    for i in range(3):
        await deployment.write(f"x{i}", NOODLES + str(i))
    made = await deployment.create("seed")
    await deployment.sweeps(most_open=1).run(Progress())
    assert (await deployment.lists.get(made.watchlist_id)).beyond == 2
    return made.watchlist_id


async def test_who_is_counted_while_an_alert_is_decided_is_raised(
    deployment: Deployment, alerts: Alerts, monkeypatch: pytest.MonkeyPatch
) -> None:
    await deployment.write("seed", NOODLES)
    await deployment.write("x0", NOODLES + "0")
    list_id = (await deployment.create("seed")).watchlist_id
    await deployment.sweeps(most_open=1).run(Progress())
    await deployment.write("x1", NOODLES + "1")
    await deployment.documents.change([Put(SWEPT, list_id, None)])
    change, decided = deployment.documents.change, list[int]()

    async def decided_before(puts: Sequence[Any], *rest: Any) -> list[int]:
        if not decided:  # the first change is that of the sweep, which found no room
            decided.append(1)
            await dismiss_all(deployment, alerts, list_id)
        return await change(puts, *rest)

    monkeypatch.setattr(deployment.documents, "change", decided_before)
    await deployment.sweeps(most_open=1).run(Progress())
    assert await deployment.raised(list_id) == ["x0", "x1"]
    assert (await deployment.lists.get(list_id)).beyond == 0


async def test_a_sweep_that_ends_while_room_comes_is_not_the_one_that_was_asked_for(
    deployment: Deployment, alerts: Alerts
) -> None:
    list_id = await full(deployment)
    await deployment.documents.change([Put(SWEPT, list_id, None)])

    class DecidedAtTheEnd(Matching):
        def __init__(self) -> None:
            vars(self).update(vars(deployment.matching))

        async def matches(
            self, ids: Sequence[str], matcher: Matcher, *, keeps: bool = False
        ) -> list[Found]:
            if not ids:  # the last step of a round
                await dismiss_all(deployment, alerts, list_id)
            return await super().matches(ids, matcher, keeps=keeps)

    await deployment.sweeps(DecidedAtTheEnd(), most_open=1).run(Progress())
    assert (await due_lists(deployment.documents))[1] == {}
    assert await deployment.raised(list_id) == ["x0", "x1", "x2"]
    assert (await deployment.lists.get(list_id)).beyond == 0


async def test_a_list_is_due_again_as_long_as_it_was_not_swept(
    deployment: Deployment, alerts: Alerts
) -> None:
    list_id = await full(deployment)
    await dismiss_all(deployment, alerts, list_id)
    assert (await deployment.lists.get(list_id)).beyond == 0
    assert (await due_lists(deployment.documents))[1] == {list_id: (1, 1)}
    await deployment.sweeps(most_open=1).run(Progress())
    assert (await deployment.lists.get(list_id)).beyond == 1
    assert (await due_lists(deployment.documents))[1] == {}


async def test_a_list_that_may_have_more_alerts_than_before_is_due_once(
    deployment: Deployment,
) -> None:
    list_id = await full(deployment)
    await deployment.book(most_open=1).sweep_again()
    assert (await due_lists(deployment.documents))[1] == {}
    follower = deployment.follower("a", most_open=2)
    follower.start()
    try:
        async with asyncio.timeout(60):
            while not follower.due:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        await follower.stop()
    assert (await due_lists(deployment.documents))[1] == {list_id: (1, 1)}
    await deployment.sweeps(most_open=2).run(Progress())
    assert await deployment.raised(list_id) == ["x0", "x1"]
    assert (await deployment.lists.get(list_id)).beyond == 1
    await deployment.book(most_open=2).sweep_again()
    assert (await due_lists(deployment.documents))[1] == {}


async def test_a_tally_that_is_written_meanwhile_keeps_no_list_from_being_due(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_id = await full(deployment)
    change, written = deployment.documents.change, list[int]()

    async def written_before(puts: Sequence[Any], *rest: Any) -> list[int]:
        if not written:
            (tally,) = await deployment.documents.get(TALLIES, [list_id])
            assert tally is not None
            written.extend(await change([Put(TALLIES, list_id, tally.body)]))
        return await change(puts, *rest)

    monkeypatch.setattr(deployment.documents, "change", written_before)
    await deployment.book(most_open=2).sweep_again()
    assert (await due_lists(deployment.documents))[1] == {list_id: (1, 1)}


async def test_a_list_is_not_swept_for_each_decision(deployment: Deployment) -> None:
    await deployment.write("seed", NOODLES)
    for i in range(60):
        await deployment.write(f"x{i:02}", NOODLES + chr(0x4E00 + i))
    list_id = (await deployment.create("seed")).watchlist_id
    await deployment.sweeps(most_open=30).run(Progress())
    alerts = Alerts(deployment.documents, deployment.lanes, 30)
    found, *_ = await alerts.page("on", "open", list_id, "", 1000)
    due: list[bool] = []
    for each in found[:3]:
        await alerts.decide(each.alert_id, "dismissed", "", "k", "desk")
        due.append(bool((await due_lists(deployment.documents))[1]))
    assert due == [False, False, True]
    await alerts.decide(found[3].alert_id, "dismissed", "", "k", "desk")
    await deployment.sweeps(most_open=30).run(Progress())
    assert (await deployment.lists.get(list_id)).beyond == 60 - 34


async def test_alerts_of_earlier_builds_are_not_raised_again(deployment: Deployment) -> None:
    """These have the digest of the whole profile, in their ids too, and no history."""
    await deployment.write("seed", NOODLES)
    await deployment.write("x", NOODLES + "0")
    list_id = (await deployment.create("seed")).watchlist_id
    await deployment.sweeps().run(Progress())
    ((shown,), *_) = await deployment.alerts.page("on", None, list_id, "", 9)
    earlier = alert_id_of(list_id, "x", shown.alert.digest)
    documents = deployment.documents
    await documents.drop(HISTORIES)
    (open_ones,) = [c for c in await documents.collections("alerts:of") if c.endswith(":open")]
    (entry,) = await documents.page(open_ones, None, 9)
    written = entry.body.replace(shown.alert_id.encode(), earlier.encode())
    names = [f"alerts{part}" for part in (":on", ":on:open", f":of:{list_id}:on")]
    await documents.change(
        [
            Put(ALERTS, shown.alert_id, None),
            Put(ALERTS, earlier, replace(shown.alert, content="").dump()),
            *(Put(name, entry.document_id, written) for name in (*names, open_ones)),
        ]
    )
    await deployment.alerts.decide(earlier, "dismissed", "", "k", "desk")

    async def matched(bio: str, **fields: Any) -> list[tuple[str, str]]:
        await deployment.write("x", bio, **fields)
        await documents.change([Put(SWEPT, list_id, None)])
        await deployment.sweeps().run(Progress())
        found, *_ = await deployment.alerts.page("on", None, list_id, "", 9)
        return [(each.alert_id, each.alert.state) for each in found]

    before = [(earlier, "dismissed")]
    assert await matched(NOODLES + "0") == before
    assert await matched(NOODLES + "0", attributes={"fans": 1}) == before
    assert [state for _, state in await matched(NOODLES)] == ["dismissed", "open"]
