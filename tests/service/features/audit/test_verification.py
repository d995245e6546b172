"""What is done to a chain is named: whatever byte, line or file it is done to."""

from pathlib import Path
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


def test_chains_of_another_folder_are_not_missing_here(tmp_path: Path) -> None:
    writer, anchor = chain_of(tmp_path, 1)
    elsewhere = Anchor("another place", ((9, "0" * 64),), 1.0, is_closed=True)
    report = verify(tmp_path, {writer.chain: anchor, "20260101T000000Z-00000000": elsewhere})
    assert (report.problems, report.elsewhere) == ([], 1)


def test_a_store_without_the_anchor_is_named(tmp_path: Path) -> None:
    chain_of(tmp_path, 1)
    (problem,) = verify(tmp_path, {}).problems
    assert "has no anchor in the store" in problem
