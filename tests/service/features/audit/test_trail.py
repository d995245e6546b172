"""The queue before the chain: batches, a full disk, refusals, old files, killed processes."""

import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.errors import AuditUnavailable, StartupError
from service.features.audit.chain import ChainWriter, files_in
from service.features.audit.counts import AuditCounts
from service.features.audit.refusals import Refusals
from service.features.audit.trail import AuditTrail
from service.features.audit.verification import verify
from service.store.anchors import Anchor
from tests.service.features.audit.logs import MemoryAnchors, chain_of, entry, trail, written

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def fill_the_disk(log: AuditTrail) -> int:
    """Have the system refuse each byte; a descriptor of the file, to mend it."""
    file = log._writer._file  # type: ignore[attr-defined]
    assert file is not None
    kept = os.dup(file)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, file)
    os.close(full)
    return kept


def empty_the_disk(log: AuditTrail, kept: int) -> None:
    file = log._writer._file  # type: ignore[attr-defined]
    assert file is not None
    os.dup2(kept, file)
    os.close(kept)


def told(log: AuditTrail) -> dict[str, float]:
    """What `/metrics` tells of a log."""
    families = AuditCounts(log).collect()
    return {sample.name: sample.value for family in families for sample in family.samples}


async def test_what_is_written_is_in_the_file_at_once(tmp_path: Path) -> None:
    async with trail(tmp_path) as log:
        log.note(entry(1))
        await log.write([entry(2)])
        assert [e["ids"] for e in written(tmp_path) if e["kind"] == "request"] == [["s-1"], ["s-2"]]


async def test_a_question_waits_for_a_tenth_of_a_second_at_most(tmp_path: Path) -> None:
    async with trail(tmp_path) as log:
        loop, begin = asyncio.get_running_loop(), 0.0
        due: list[float] = []
        call_later = loop.call_later

        def seen(delay: float, *arguments: object) -> asyncio.TimerHandle:
            due.append(delay)
            return call_later(delay, *arguments)  # type: ignore[arg-type]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "call_later", seen)
            for number in range(100):
                log.note(entry(number))
        assert len(due) == 1  # for all of them
        assert begin < due[0] < 0.1


async def test_many_wait_for_one_write_to_the_file(tmp_path: Path) -> None:
    async with trail(tmp_path) as log:
        await asyncio.gather(*(log.write([entry(n)]) for n in range(200)))
        requests = [e for e in written(tmp_path) if e["kind"] == "request"]
        assert [e["request_id"] for e in requests] == [f"r-{n}" for n in range(200)]


async def test_a_full_disk_refuses_and_what_waited_is_written_later(tmp_path: Path) -> None:
    anchors = MemoryAnchors()
    async with trail(tmp_path, anchors) as log:
        kept = fill_the_disk(log)
        with pytest.raises(AuditUnavailable, match="No space left"):
            await log.write([entry(1)])
        with pytest.raises(AuditUnavailable):
            log.check()
        assert "No space left" in (log.trouble() or "")
        assert told(log)["streamer_audit_up"] == 0
        log.note(entry(2))
        empty_the_disk(log, kept)
        await log.write([entry(3)])
        log.check()
        assert log.trouble() is None
        assert told(log)["streamer_audit_up"] == 1
        requests = [e["request_id"] for e in written(tmp_path) if e["kind"] == "request"]
        assert requests == ["r-1", "r-2", "r-3"]
    assert verify(tmp_path / "audit", anchors.known).problems == []


async def test_a_full_disk_may_be_passed_over_by_setting(tmp_path: Path) -> None:
    async with trail(tmp_path, on_failure="continue") as log:
        kept = fill_the_disk(log)
        await log.write([entry(1)])
        log.check()
        assert "No space left" in (log.trouble() or "")
        empty_the_disk(log, kept)
    assert [e["request_id"] for e in written(tmp_path) if e["kind"] == "request"] == ["r-1"]


async def test_what_can_not_wait_any_more_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.features.audit.trail._MOST_WAITING", 3)
    async with trail(tmp_path) as log:
        kept = fill_the_disk(log)
        for number in range(5):
            log.note(entry(number))
        assert (log.lost, log.waiting, log.failures) == (2, 3, 0)
        with pytest.raises(AuditUnavailable):
            await log.write([])
        assert log.failures == 1
        written_before = log.written
        empty_the_disk(log, kept)
        await log.write([])
        assert (log.written, log.waiting) == (written_before + 4, 0)  # with the entry `lost`
    lost = [e["count"] for e in written(tmp_path) if e["kind"] == "lost"]
    assert lost == [2]
    assert any("2 entries could not be written" in g for g in verify(tmp_path / "audit", None).gaps)


async def test_a_folder_that_can_not_be_made_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "audit").write_text("a file")
    with pytest.raises(StartupError, match="audit"):
        await trail(tmp_path).__aenter__()


def test_refusals_are_listed_up_to_a_rate_and_counted_beyond() -> None:
    refusals = Refusals(2.0, now=0.0)
    refused = [entry(status=401, key_id=None)._replace(at=0.001 * n) for n in range(1000)]
    assert sum(refusals.admits(e) for e in refused) == 21  # a burst, and what a second gives
    summary = refusals.summary(1.0)
    assert [c["count"] for c in summary["counts"]] == [979]
    assert summary["counts"][0]["status"] == 401
    assert not refusals.has_counted


def test_refusals_on_many_routes_make_a_short_summary() -> None:
    refusals = Refusals(1e-9, now=0.0)
    for number in range(10_000):
        refusals.admits(entry(status=401, route=f"/{number}", at=0.0))
    assert len(refusals.summary(0.0)["counts"]) <= 101


async def test_an_attacker_without_a_key_can_not_fill_the_disk(tmp_path: Path) -> None:
    async with trail(tmp_path, refusals_per_s=1) as log:
        for number in range(5000):
            log.note(entry(number, key_id=None, status=401, at=1000.0))
        assert log.refusals.counted > 4900
    entries = written(tmp_path)
    assert len(entries) < 20
    (summary,) = [e for e in entries if e["kind"] == "refused"]
    listed = sum(e["kind"] == "request" for e in entries)
    assert sum(c["count"] for c in summary["counts"]) + listed == 5000


async def test_the_end_is_anchored_and_so_is_each_new_file(tmp_path: Path) -> None:
    anchors = MemoryAnchors()
    async with trail(tmp_path, anchors, file_bytes=1024) as log:
        for number in range(50):
            await log.write([entry(number)])
        ((chain, anchor),) = anchors.known.items()
        assert anchor.points[-1][0] > 2
        assert not anchor.is_closed
    assert anchors.known[chain].is_closed
    assert len(files_in(tmp_path / "audit")) > 2
    report = verify(tmp_path / "audit", anchors.known)
    assert (report.problems, report.gaps) == ([], [])


async def test_a_store_that_is_down_delays_anchors_alone(tmp_path: Path) -> None:
    anchors = MemoryAnchors()
    anchors.is_down = True
    async with trail(tmp_path, anchors) as log:
        await log.write([entry(1)])
        anchors.is_down = False
    report = verify(tmp_path / "audit", anchors.known)
    assert (report.problems, report.gaps) == ([], [])


def killed(folder: Path, lines: int) -> ChainWriter:
    """A chain as a killed process leaves it."""
    writer = ChainWriter(folder / "audit", 1 << 20, 3600.0, sync=False)
    writer.open()
    writer.append([{"kind": "request", "at": 1.0}] * lines)
    writer.close()
    return writer


async def test_a_killed_process_leaves_a_gap_that_its_successor_closes(tmp_path: Path) -> None:
    before, anchors = killed(tmp_path, 5), MemoryAnchors()
    async with trail(tmp_path, anchors):
        assert anchors.known[before.chain].is_closed
    (gap,) = [e for e in written(tmp_path) if e["kind"] == "gap"]
    assert (gap["chain"], gap["last"], gap["last_hash"]) == (before.chain, 6, before.head.digest)
    report = verify(tmp_path / "audit", anchors.known)
    assert report.problems == []
    assert any(before.chain in text and "no end" in text for text in report.gaps)
    # From then on nothing can be cut off it, which its successor tells without the store as well.
    (file,) = [f for f in files_in(tmp_path / "audit") if f.chain == before.chain]
    lines = file.path.read_bytes().splitlines(keepends=True)
    file.path.write_bytes(b"".join(lines[:-2]))
    for known in (anchors.known, None):
        assert any(
            "lines 5 to 6 are missing" in p for p in verify(file.path.parent, known).problems
        )
    async with trail(tmp_path, anchors):
        pass  # which does not forgive it
    assert verify(file.path.parent, anchors.known).problems


async def test_a_line_that_a_kill_cut_off_is_a_gap(tmp_path: Path) -> None:
    before, anchors = killed(tmp_path, 5), MemoryAnchors()
    (file,) = files_in(tmp_path / "audit")
    with file.path.open("ab") as out:
        out.write(b'{"n":7,"kind":"requ')
    async with trail(tmp_path, anchors):
        pass
    report = verify(tmp_path / "audit", anchors.known)
    assert report.problems == []
    assert any("line 7 was not written to its end" in gap for gap in report.gaps)
    assert anchors.known[before.chain].points[-1][0] == 6


async def test_a_chain_that_is_being_written_is_left_alone(tmp_path: Path) -> None:
    anchors = MemoryAnchors()
    async with trail(tmp_path, anchors), trail(tmp_path, anchors) as second:
        await second.write([entry(1)])
        report = verify(tmp_path / "audit", anchors.known)
        assert len(report.running) == 2
        assert report.problems == []
    assert not [e for e in written(tmp_path) if e["kind"] == "gap"]


@pytest.mark.parametrize("settings", [{"keep_days": 1}, {"keep_bytes": 1 << 20}])
async def test_old_files_are_removed_and_not_missed(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    folder, anchors = tmp_path / "audit", MemoryAnchors()
    whole, anchor = chain_of(folder, 50, file_bytes=2000)
    part, part_anchor = chain_of(folder, 50, file_bytes=2000)
    anchors.known |= {whole.chain: anchor, part.chain: part_anchor}
    old = [f for f in files_in(folder) if f.chain == whole.chain or f.number < 3]
    for file in old:
        if "keep_bytes" in settings:
            os.truncate(file.path, 1 << 20)  # blocks that are not there
        os.utime(file.path, (1000.0, 1000.0))
    async with trail(tmp_path, anchors, **settings):
        left = files_in(folder)
    assert not {f.path for f in old} & {f.path for f in left}
    assert whole.chain not in anchors.known
    assert {f.number for f in left if f.chain == part.chain}
    for known in (anchors.known, None):
        assert verify(folder, known).problems == []
    # One more would be missed.
    next(f for f in left if f.chain == part.chain).path.unlink()
    assert verify(folder, anchors.known).problems


async def test_a_file_is_not_removed_without_its_line(tmp_path: Path) -> None:
    anchors = MemoryAnchors()
    writer, anchor = chain_of(tmp_path / "audit", 5)
    anchors.known[writer.chain] = anchor
    async with trail(tmp_path, anchors) as log:
        (file,) = [f for f in files_in(tmp_path / "audit") if f.chain == writer.chain]
        os.utime(file.path, (1000.0, 1000.0))
        kept = fill_the_disk(log)
        await log._keep_house()
        assert file.path.exists()
        empty_the_disk(log, kept)
        await log.write([entry()])
        assert not [e for e in written(tmp_path) if e["kind"] == "removed"]
        await log._keep_house()
        assert not file.path.exists()
        assert verify(tmp_path / "audit", anchors.known).problems == []


@pytest.mark.parametrize("whose", ["its own", "the store's"])
async def test_one_clock_that_is_far_ahead_removes_nothing(tmp_path: Path, whose: str) -> None:
    folder, anchors = tmp_path / "audit", MemoryAnchors()
    chain, anchor = chain_of(folder, 5)
    anchors.known[chain.chain] = elsewhere = replace(anchor, place="elsewhere", at=time.time())
    ahead_s = 10 * 365 * 86_400.0
    if whose == "its own":
        opened = trail(tmp_path, anchors, lambda: time.time() + ahead_s)
    else:
        anchors.ahead_s = ahead_s
        opened = trail(tmp_path, anchors)
    async with opened:
        assert chain.chain in {file.chain for file in files_in(folder)}
        assert anchors.known[chain.chain] == elsewhere


async def test_anchors_of_folders_that_vanished_are_forgotten(tmp_path: Path) -> None:
    anchors, day_s, now = MemoryAnchors(), 86_400.0, time.time()
    old = Anchor("elsewhere", ((7, "a" * 64),), now - 21 * day_s, is_closed=True)
    kept = {
        "being written": replace(old, is_closed=False),
        "ended lately": replace(old, at=now - 19 * day_s),
    }
    anchors.known = {"vanished": old, **kept}
    async with trail(tmp_path, anchors, keep_days=10) as log:
        own = log._writer  # type: ignore[attr-defined]
        assert anchors.known.keys() == {*kept, own.chain}
        anchors.known["own"] = replace(old, place=own.place)
    async with trail(tmp_path, anchors, keep_days=10):
        assert "own" in anchors.known  # whose files somebody removed


@pytest.mark.parametrize("is_ended", [True, False])
async def test_a_replica_that_was_stopped_for_long_returns(tmp_path: Path, is_ended: bool) -> None:
    folder, anchors = tmp_path / "audit", MemoryAnchors()  # others have forgotten its anchor
    if is_ended:
        async with trail(tmp_path):
            pass
    else:
        killed(tmp_path, 5)
    (old,) = files_in(folder)
    os.utime(old.path, (1000.0, 1000.0))
    async with trail(tmp_path, anchors, keep_days=10) as log:
        assert anchors.known.keys() == {log._writer.chain}  # type: ignore[attr-defined]
    assert [file.chain for file in files_in(folder)] == [*anchors.known]
    report = verify(folder, anchors.known)
    assert report.problems == []
    assert len(report.gaps) == (0 if is_ended else 1)  # that it was killed


async def test_refusals_are_summed_up_after_the_clock_was_set_back(tmp_path: Path) -> None:
    clock = [5000.0]
    async with trail(tmp_path, now=lambda: clock[0], refusals_per_s=1) as log:
        for _ in range(20):
            log.note(entry(key_id=None, status=401, at=clock[0]))
        clock[0] = 1000.0
        await log.write([entry()])
        assert [e["kind"] for e in written(tmp_path)].count("refused") == 1


def test_a_file_ends_by_its_age_whatever_the_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = ChainWriter(tmp_path, 1 << 20, 3600.0, sync=False)
    writer.open()
    opened_at = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: opened_at + 3601)
    writer.append([{"kind": "request", "at": 1.0}])
    monkeypatch.undo()
    writer.close()
    assert writer.head.file == 2
