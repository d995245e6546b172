"""Pages of alerts end where they are large enough."""

import pytest

from service.features.watchlists.alerts.keeping import ALERTS, NUMBER, indexes, key_of
from service.features.watchlists.alerts.service import PAGE_BYTES
from service.features.watchlists.records import Alert, Decision
from service.store.documents import Put
from tests.service.features.watchlists.deployment import MODEL, Deployment

pytestmark = pytest.mark.anyio

LIST = "wl-1"
NOTED = [Decision("open", "界" * 1000, "key", "desk", 1.0)] * 20


def alert(number: int, decisions: list[Decision]) -> Alert:
    return Alert(
        number,
        LIST,
        1,
        "l",
        "on",
        "open",
        f"s{number}",
        "d" * 64,
        number,
        0,
        "seed",
        0.99,
        12.5,
        "near_duplicate",
        [{"channel": "text", "level": "whole", "weight": 12.5}],
        MODEL,
        float(number),
        decisions,
    )


async def write(deployment: Deployment, some: list[Alert]) -> None:
    puts: list[Put] = []
    for each in some:
        alert_id = f"al-{each.number:024x}"
        entry = f'{{"alert_id":"{alert_id}"}}'.encode()
        puts.append(Put(ALERTS, alert_id, each.dump()))
        names = indexes(LIST, each.mode, each.state)
        puts += [Put(name, key_of(each.number), entry) for name in names]
    puts.append(Put(NUMBER, "last", f'{{"number":{some[-1].number}}}'.encode()))
    await deployment.documents.change(puts)


async def test_a_page_of_alerts_with_long_notes_is_short_and_the_next_goes_on(
    deployment: Deployment,
) -> None:
    for start in range(1, 41, 10):
        await write(deployment, [alert(number, NOTED) for number in range(start, start + 10)])
    large = len(alert(1, NOTED).dump())
    await write(deployment, [alert(number, []) for number in range(41, 45)])
    told: list[list[int]] = []
    place, has_more = "", True
    while has_more:
        found, following, has_more = await deployment.alerts.page("on", "open", LIST, place, 1000)
        told.append([each.alert.number for each in found])
        assert following is not None
        place = following
    assert [number for page in told for number in page] == [*range(1, 45)]
    assert len(told[0]) == PAGE_BYTES // large
    assert len(told) == -(-40 // len(told[0]))
    await write(deployment, [alert(45, [])])
    found, _, has_more = await deployment.alerts.page("on", "open", LIST, place, 1000)
    assert ([each.alert.number for each in found], has_more) == ([45], False)
    found, _, has_more = await deployment.alerts.page("on", "open", LIST, "", 5)
    assert (len(found), has_more) == (5, True)
