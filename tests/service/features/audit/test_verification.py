"""What is done to a chain is named: whatever byte, line or file it is done to."""

from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.features.audit.chain import ChainWriter, files_in
from service.features.audit.verification import verify
from service.store.anchors import Anchor
from tests.service.features.audit.logs import chain_of

_LINES = 8


def test_a_chain_as_it_was_written_has_no_problem(tmp_path: Path) -> None:
    writer, anchor = chain_of(tmp_path, 50, file_bytes=2000)
    report = verify(tmp_path, {writer.chain: anchor})
    assert (report.problems, report.gaps, report.running) == ([], [], [])
    assert len(files_in(tmp_path)) > 2
    assert report.lines == anchor.points[0][0] == 51 + len(files_in(tmp_path))


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    chain_of(folder, 1)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_one_changed_byte_is_named(share: float, bits: int) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        writer, anchor = chain_of(folder, _LINES)
        (file,) = files_in(folder)
        content = bytearray(file.path.read_bytes())
        at = int(share * len(content))
        line = content[:at].count(b"\n") + 1
        content[at] ^= bits
        file.path.write_bytes(content)
        problem = verify(folder, {writer.chain: anchor}).problems[0]
        assert f"line {line} " in problem or f"lines {line} to" in problem


@given(st.integers(1, _LINES + 2), st.integers(1, 3))
def test_removed_lines_are_named(first: int, count: int) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        writer, anchor = chain_of(folder, _LINES)
        (file,) = files_in(folder)
        lines = file.path.read_bytes().splitlines(keepends=True)
        assert len(lines) == _LINES + 2
        file.path.write_bytes(b"".join(lines[: first - 1] + lines[first - 1 + count :]))
        last = min(first + count - 1, len(lines))
        (problem,) = verify(folder, {writer.chain: anchor}).problems
        assert f"lines {first} to {last}" in problem
        assert "missing" in problem


@given(st.integers(1, 400))
def test_a_tail_that_was_cut_off_is_named(count: int) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        writer, anchor = chain_of(folder, _LINES)
        (file,) = files_in(folder)
        content = file.path.read_bytes()[:-count]
        file.path.write_bytes(content)
        left = content.count(b"\n")
        problems = verify(folder, {writer.chain: anchor}).problems
        assert problems == [
            f"{file.path.name} is cut off: lines {left + 1} to {_LINES + 2} are missing"
        ]


@given(st.permutations(range(4)))
def test_lines_in_another_order_are_named(order: list[int]) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        writer, anchor = chain_of(folder, 2)
        (file,) = files_in(folder)
        lines = file.path.read_bytes().splitlines(keepends=True)
        file.path.write_bytes(b"".join(lines[i] for i in order))
        problems = verify(folder, {writer.chain: anchor}).problems
        assert bool(problems) == (order != sorted(order))


@pytest.mark.parametrize("which", [0, 1, -1])
def test_a_removed_file_is_named(tmp_path: Path, which: int) -> None:
    writer, anchor = chain_of(tmp_path, 50, file_bytes=2000)
    gone = files_in(tmp_path)[which]
    gone.path.unlink()
    problems = verify(tmp_path, {writer.chain: anchor}).problems
    if which == -1:  # only the anchor tells
        assert "is cut off" in problems[0]
    else:
        assert f"file {gone.number:06}" in problems[0]
        assert "missing" in problems[0]
    assert len(problems) == 1


def test_a_removed_chain_is_named(tmp_path: Path) -> None:
    writer, anchor = chain_of(tmp_path, 5)
    for file in files_in(tmp_path):
        file.path.unlink()
    (problem,) = verify(tmp_path, {writer.chain: anchor}).problems
    assert writer.chain in problem
    assert "all its files are missing" in problem


def test_a_chain_that_was_written_anew_is_named(tmp_path: Path) -> None:
    """Hashes that fit each other are not those that were anchored."""
    writer, anchor = chain_of(tmp_path, 5)
    (file,) = files_in(tmp_path)
    forged = ChainWriter(tmp_path, 1 << 20, 3600.0, sync=False)
    forged.chain = writer.chain
    forged.open()
    for number in range(5):
        forged.append([{"kind": "request", "at": 1.0, "ids": [f"another-{number}"]}])
    forged.append([{"kind": "end", "at": 1.0}])
    forged.close()
    assert verify(tmp_path, None).problems == []  # by itself it looks well
    (problem,) = verify(tmp_path, {writer.chain: anchor}).problems
    assert problem == f"chain {writer.chain} is not the one that was anchored at line 7"
    assert file.path.is_file()


_OTHER = {"20260101T000000Z-00000000": Anchor("another", ((9, "0" * 64),), 1.0, is_closed=True)}


def test_chains_of_another_folder_are_not_missing_here(tmp_path: Path) -> None:
    writer, anchor = chain_of(tmp_path, 1)
    report = verify(tmp_path, {writer.chain: anchor, **_OTHER}, ["another"])
    assert (report.problems, report.elsewhere, report.place) == ([], 1, writer.place)


def test_a_folder_that_nobody_accepts_is_named(tmp_path: Path) -> None:
    writer, anchor = chain_of(tmp_path, 1)
    (problem,) = verify(tmp_path, {writer.chain: anchor, **_OTHER}).problems
    assert problem.startswith("folder another is not here, with 1 chains until 1970-01-01T00:00:01")
    assert "--elsewhere another" in problem


def test_a_folder_that_was_removed_and_begun_anew_is_named(tmp_path: Path) -> None:
    before, anchor = chain_of(tmp_path / "audit", 5)
    rmtree(tmp_path / "audit")
    problems = verify(tmp_path / "audit", {before.chain: anchor}).problems
    assert f"chain {before.chain}: all its files are missing; it had 7 lines" in problems
    writer, newer = chain_of(tmp_path / "audit", 5)
    known = {before.chain: anchor, writer.chain: newer}
    (problem,) = verify(tmp_path / "audit", known).problems
    assert problem.startswith(f"folder {before.place} is not here, with 1 chains")


@pytest.mark.parametrize("name", ["fedcba9876543210\n", "another\n", "", None])
def test_chains_that_were_removed_with_the_name_of_the_folder_are_named(
    tmp_path: Path, name: str | None
) -> None:
    """What is still there tells by its own anchor which folder it was."""
    before, anchor = chain_of(tmp_path, 5)
    for file in files_in(tmp_path):
        file.path.unlink()
    running = ChainWriter(tmp_path, 1 << 20, 3600.0, sync=False)
    running.open()
    head = (running.head.number, running.head.digest)
    known = {before.chain: anchor, **_OTHER}
    known[running.chain] = Anchor(running.place, (head,), 1.0, is_closed=False)
    place = tmp_path / "place"
    place.unlink() if name is None else place.write_text(name)
    report = verify(tmp_path, known, ["another"])
    running.close()
    assert f"chain {before.chain}: all its files are missing; it had 7 lines" in report.problems
    now = f"names {name.strip()}" if name else "is missing"
    told = f"the file place {now}: the store has chains of {running.place}"
    assert any(problem.startswith(told) for problem in report.problems)
    assert report.running == [running.chain]


def test_a_folder_is_not_elsewhere_itself(tmp_path: Path) -> None:
    writer, anchor = chain_of(tmp_path, 1)
    (problem,) = verify(tmp_path, {writer.chain: anchor}, [writer.place]).problems
    assert problem == f"this folder is {writer.place} itself: do not name it by --elsewhere"


def test_a_store_without_the_anchor_is_named(tmp_path: Path) -> None:
    chain_of(tmp_path, 1)
    (problem,) = verify(tmp_path, {}).problems
    assert "has no anchor in the store" in problem
