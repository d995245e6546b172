"""Decisions about alerts that change meanwhile."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from service.errors import VersionConflict
from service.features.watchlists.alerts.service import ShownAlert
from service.features.watchlists.records import SWEPT
from service.store.base import ANY_STORED
from service.store.documents import Put
from tests.service.features.watchlists.deployment import NOODLES, Deployment, Progress

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def alert(deployment: Deployment) -> ShownAlert:
    """An open alert of a streamer `x`."""
    await deployment.write("seed", NOODLES)
    await deployment.write("x", NOODLES + "0")
    await deployment.create("seed")
    await deployment.sweeps().run(Progress())
    ((shown,), *_) = await deployment.alerts.page("on", None, None, "", 9)
    return shown


@pytest.fixture
def before_the_write(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[], Awaitable[Any]]], None]:
    """Has something happen once, between what is read and the first write."""

    def happens(what: Callable[[], Awaitable[Any]]) -> None:
        change, begun = deployment.documents.change, list[int]()

        async def changed(puts: Sequence[Any], *rest: Any) -> list[int]:
            if not begun:
                begun.append(1)
                await what()
            return await change(puts, *rest)

        monkeypatch.setattr(deployment.documents, "change", changed)

    return happens


@pytest.mark.parametrize("expected", [(), (ANY_STORED,)])
async def test_a_decision_is_not_stored_for_content_that_came_after_it_was_read(
    deployment: Deployment,
    alert: ShownAlert,
    before_the_write: Callable[[Callable[[], Awaitable[Any]]], None],
    expected: Sequence[int],
) -> None:
    async def brought_up_to_date() -> None:
        await deployment.write("x", NOODLES)
        await deployment.documents.change([Put(SWEPT, alert.alert.watchlist_id, None)])
        await deployment.sweeps().run(Progress())

    before_the_write(brought_up_to_date)
    with pytest.raises(VersionConflict):
        await deployment.alerts.decide(alert.alert_id, "dismissed", "", "k", "desk", expected)
    after = (await deployment.alerts.get(alert.alert_id)).alert
    assert (after.state, after.decisions) == ("open", [])
    assert after.content != alert.alert.content


async def test_decisions_at_the_same_time_are_both_kept(
    deployment: Deployment,
    alert: ShownAlert,
    before_the_write: Callable[[Callable[[], Awaitable[Any]]], None],
) -> None:
    before_the_write(
        lambda: deployment.alerts.decide(alert.alert_id, "confirmed", "", "k", "desk 2")
    )
    decided = await deployment.alerts.decide(alert.alert_id, "dismissed", "", "k", "desk")
    assert [each.state for each in decided.alert.decisions] == ["confirmed", "dismissed"]
    assert decided.alert.state == "dismissed"
