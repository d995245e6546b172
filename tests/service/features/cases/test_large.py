"""A case with as many members as a walk may find: expanded, paged, run again and exported.

A smaller limit than the service's, with which a case is expanded in the tests of the console.
"""

from functools import partial
from pathlib import Path

import pytest

from service.engine.expansion.walk import Walk
from service.features.cases import expanding
from service.features.cases.exports.archive import verify
from service.features.cases.exports.exporting import Format
from service.features.cases.records import Actor, Query
from service.features.cases.running import Ran
from tests.service.features.cases.large import Large, large_cases

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
MOST_MEMBERS = 2000
WHO = Actor("k", "desk")
QUERY = Query(hops=5, min_probability=0.1, budget=20_000, fan_out=64)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def page_through(large: Large, case_id: str) -> list[str]:
    names: list[str] = []
    start: int | None = 0
    while start is not None:
        shown = await large.cases.show(case_id, None, start, 200)
        names += [member.streamer_id for member in shown.members]
        start = shown.next_place
    return names


async def exported(large: Large, case_id: str, file_format: Format) -> bytes:
    exported = await large.exports.export(case_id, file_format)
    return b"".join([part async for part in exported.parts])


async def test_a_case_of_thousands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expanding, "Walk", partial(Walk, most_members=MOST_MEMBERS))
    async with large_cases(tmp_path, MOST_MEMBERS + 200) as large:
        kept = await large.cases.create("a farm", [large.names[0]], [], WHO)
        case_id = kept.case.case_id
        ran = await large.cases.expand(case_id, QUERY, [kept.revision], WHO)
        assert isinstance(ran, Ran)
        run = ran.kept.case.run
        assert run is not None
        assert run.stopped_because == "members"
        assert MOST_MEMBERS <= run.members <= len(large.names)
        names = await page_through(large, case_id)
        assert len(names) == len(set(names)) == run.members

        again = await large.cases.rerun(case_id, [ran.kept.revision], WHO)
        assert isinstance(again, Ran)
        assert again.kept == ran.kept
        assert not again.differences

        revision = ran.kept.revision
        now, _ = await large.cases.decide(case_id, names[-1], "confirmed", "", [revision], WHO)
        files = {each: await exported(large, case_id, each) for each in ("csv", "ndjson", "zip")}
    assert files["csv"].count(b"\r\n") == run.members + 1
    assert files["ndjson"].count(b"\n") == run.members
    (tmp_path / "case.zip").write_bytes(files["zip"])
    checked = verify(tmp_path / "case.zip")
    assert (checked.members, checked.profiles) == (run.members, run.members)
    assert now.case.run == run
