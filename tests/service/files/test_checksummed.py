"""Checksummed folders: whole or not there, and every byte of them is checked."""

import json
import os
import shutil
from pathlib import Path

import pytest

from service.files.checksummed import (
    MANIFEST,
    UNFINISHED,
    Broken,
    ChecksummedFolder,
    Stopped,
    creating,
    remove_left,
    remove_unfinished,
)
from tests.interfering import at_call

LONG = os.urandom(3_000_000)


def written(path: Path) -> Path:
    with creating(path, {"number": 7}) as folder:
        folder.write("short", b"abc")
        folder.write("empty", b"")
        with folder.file("long") as file:
            for start in range(0, len(LONG), 700_001):
                file.write(LONG[start : start + 700_001])
    return path


def test_it_gives_back_what_was_written(tmp_path: Path) -> None:
    found = ChecksummedFolder(written(tmp_path / "deep" / "a"))
    assert found.about == {"number": 7}
    assert found.files == {"short": 3, "empty": 0, "long": len(LONG)}
    assert found.read("short") == b"abc"
    assert found.read("empty") == b""
    assert b"".join(found.blocks("long")) == LONG
    into = bytearray(len(LONG))
    found.read_into("long", memoryview(into))
    assert into == LONG
    assert found.checked("long").read_bytes() == LONG
    found.check()
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["a"]


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path / "a")
    for name, places in (
        ("short", range(3)),
        ("long", (0, 1, 1_500_000, len(LONG) - 1)),
        (MANIFEST, range((path / MANIFEST).stat().st_size)),
    ):
        good = (path / name).read_bytes()
        for place in places:
            bad = bytearray(good)
            bad[place] ^= 1 << place % 8
            (path / name).write_bytes(bad)
            with pytest.raises(Broken):
                ChecksummedFolder(path).check()
            if name != MANIFEST:
                for read in (
                    ChecksummedFolder(path).read,
                    lambda n: list(ChecksummedFolder(path).blocks(n)),
                ):
                    with pytest.raises(Broken, match="its SHA-256 is not the manifest's"):
                        read(name)
        (path / name).write_bytes(good)
    ChecksummedFolder(path).check()


def test_files_that_are_cut_grown_or_gone(tmp_path: Path) -> None:
    path = written(tmp_path / "a")
    for name in ("long", MANIFEST):
        good = (path / name).read_bytes()
        for bad in (good[:-1], good[: len(good) // 2], b"", good + b"x"):
            (path / name).write_bytes(bad)
            with pytest.raises(Broken):
                ChecksummedFolder(path).read("long")
        (path / name).unlink()
        with pytest.raises(Broken, match="can't be read: No such file"):
            ChecksummedFolder(path).read("long")
        (path / name).write_bytes(good)
    with pytest.raises(Broken, match="does not list other"):
        ChecksummedFolder(path).read("other")
    with pytest.raises(Broken, match="has 3 bytes, not 4"):
        ChecksummedFolder(path).read_into("short", memoryview(bytearray(4)))


def test_a_manifest_that_names_files_elsewhere(tmp_path: Path) -> None:
    import hashlib

    path = written(tmp_path / "a")
    body = json.loads((path / MANIFEST).read_bytes().split(b"\n")[0])
    for name in ("../b", "/etc/passwd", "..", ""):
        text = json.dumps({**body, "files": {name: {"size": 1, "sha256": "0"}}}).encode()
        digest = hashlib.sha256(text).hexdigest().encode()
        (path / MANIFEST).write_bytes(text + b"\n" + digest + b"\n")
        with pytest.raises(Broken, match="outside of the folder"):
            ChecksummedFolder(path)


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with creating(tmp_path / "a", {}) as folder:
            folder.write("short", b"abc")
            raise RuntimeError("on the way")

    with pytest.raises(RuntimeError, match="on the way"):
        fail()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Stopped), creating(tmp_path / "a", {}, lambda: True) as folder:
        folder.write("large", bytes(17 << 20))
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over(tmp_path: Path) -> None:
    path = written(tmp_path / "a")
    with pytest.raises(FileExistsError, match="exists already"):
        written(path)
    ChecksummedFolder(path).check()
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_what_killed_writers_left_is_removed(tmp_path: Path) -> None:
    path = written(tmp_path / "a")
    (tmp_path / f"{UNFINISHED}b-1234").mkdir()
    (tmp_path / f"{UNFINISHED}b-1234" / "short").write_bytes(b"a")
    remove_unfinished(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("removed", range(9))
def test_a_removal_that_was_killed_is_ended_by_the_next_one(tmp_path: Path, removed: int) -> None:
    left = iter(range(removed))

    def stop() -> None:
        if next(left, None) is None:
            raise Killed

    def fail() -> None:
        with creating(tmp_path / "a", {}) as folder:
            for name in "abcdefgh":
                folder.write(name, b"abc")
            raise RuntimeError("on the way")

    with pytest.raises(Killed), at_call(os.unlink, stop):
        fail()
    (draft,) = tmp_path.iterdir()
    assert len(list(draft.iterdir())) == 9 - removed
    remove_left(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_others_may_be_writing_stays(tmp_path: Path) -> None:
    left = tmp_path / f"{UNFINISHED}killed-1234"
    with creating(tmp_path / "a", {}) as folder:
        folder.write("short", b"abc")
        (writing,) = tmp_path.iterdir()
        shutil.copytree(writing, left)
        remove_left(tmp_path)
        assert list(tmp_path.iterdir()) == [writing]
    ChecksummedFolder(tmp_path / "a").check()
    remove_left(tmp_path / "none")
