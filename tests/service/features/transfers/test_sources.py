"""A file of lines that is read in parts, and must stay as it is."""

import hashlib
import os
import random
from pathlib import Path

import pytest

from service.engine.work.lanes import run_to_end
from service.errors import InputChanged
from service.features.transfers.sources import Content, Source

LIMIT = 100


def source(folder: Path, content: bytes) -> Source:
    (folder / "a.jsonl").write_bytes(content)
    return Source(folder / "a.jsonl", "a.jsonl", LIMIT)


def all_lines(read: Source, lines: int, size: int) -> list[bytes]:
    """What is read in parts, each from where the one before ended."""
    stamp, at, found = read.stamp(), 0, []
    while True:
        part, at = read.read(at, stamp, lines, size)
        if not part:
            return found
        assert len(part) <= lines
        found += part


@pytest.mark.parametrize("seed", range(20))
def test_lines_are_those_of_the_file_however_they_are_read(tmp_path: Path, seed: int) -> None:
    choices = random.Random(seed)
    sizes = [choices.choice([0, 1, 50, LIMIT - 1, LIMIT, LIMIT + 1, 3000]) for _ in range(60)]
    whole = b"\n".join(choices.randbytes(size).replace(b"\n", b"x") for size in sizes)
    whole += choices.choice([b"", b"\n"])
    read = source(tmp_path, whole)
    expected = [line[: LIMIT + 1] for line in whole.removesuffix(b"\n").split(b"\n")]
    content = run_to_end(read.look())
    found = all_lines(read, choices.randint(1, 9), choices.choice([1, 200, 10**6]))
    assert [line[: LIMIT + 1] for line in found] == expected
    assert all(len(line) <= LIMIT + 2 for line in found)
    assert content.lines == len(expected)
    assert content.sha256 == hashlib.sha256(whole).hexdigest()
    assert Content.load(content.dump()) == content


@pytest.mark.parametrize("change", ["size", "time", "file", "gone"])
def test_a_change_is_noticed(tmp_path: Path, change: str) -> None:
    read = source(tmp_path, b"one\ntwo\nthree\n")
    stamp, file = read.stamp(), tmp_path / "a.jsonl"
    assert read.read(0, stamp, 1, 100) == ([b"one"], 4)
    if change == "size":
        file.write_bytes(b"one\ntwo\nthree\nfour\n")
    elif change == "time":
        os.utime(file, (1, 1))
    elif change == "file":
        kept = file.stat()
        (tmp_path / "b").write_bytes(b"ONE\nTWO\nTHREE\n")
        os.utime(tmp_path / "b", ns=(kept.st_atime_ns, kept.st_mtime_ns))
        (tmp_path / "b").rename(file)
    else:
        file.unlink()
    with pytest.raises(InputChanged, match=r"/path: 'a.jsonl'"):
        read.read(4, stamp, 1, 100)


def test_a_change_while_it_is_looked_through_is_noticed(tmp_path: Path) -> None:
    read = source(tmp_path, b"x" * (3 << 20))
    steps = read.look()
    next(steps)
    os.utime(tmp_path / "a.jsonl", (1, 1))
    with pytest.raises(InputChanged):
        run_to_end(steps)
