"""Files that options name: read as text, and written whole or not at all."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from service.commands.arguments import UnusablePath
from service.commands.files import text_of, write_whole
from tests.service.process import ROOT

WRITE_AND_TELL = """
import argparse, sys
from pathlib import Path
from service.commands.files import tell_written, write_whole
path = Path(sys.argv[1])
write_whole("--out", path, lambda: b"content")
tell_written(argparse.Namespace(json=False), path, {}, lambda: print("told"))
"""


def test_text_is_utf8_with_a_byte_order_mark_or_not(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    for content in ("夜".encode(), b"\xef\xbb\xbf" + "夜".encode()):
        file.write_bytes(content)
        assert text_of("--question", file, "give another") == "夜"
    file.write_bytes("nuit d'été".encode("latin-1"))
    with pytest.raises(UnusablePath, match=rf"^--question {file} is not UTF-8 .*: save it as UTF"):
        text_of("--question", file, "give another")
    with pytest.raises(UnusablePath, match=r"--question .*No such file.*: give another"):
        text_of("--question", tmp_path / "nothing", "give another")


def test_a_file_is_written_whole_or_stays_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "case.zip"
    assert write_whole("--out", file, lambda: b"one") == 3
    file.chmod(0o600)
    link = tmp_path / "link.zip"
    link.symlink_to(file)
    assert write_whole("--out", link, lambda: b"two") == 3
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"two", 0o600)

    def broken() -> bytes:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        write_whole("--out", file, broken)
    assert file.read_bytes() == b"two"
    assert {each.name for each in tmp_path.iterdir()} == {"case.zip", "link.zip"}


def test_nothing_is_made_for_a_file_that_can_not_be_written(tmp_path: Path) -> None:
    def made() -> bytes:
        pytest.fail("this can't be done twice")

    for path, why in ((tmp_path, "Is a directory"), (tmp_path / "no" / "file", "No such file")):
        with pytest.raises(UnusablePath, match=rf"--out {path} .*{why}"):
            write_whole("--out", path, made)


def test_what_can_not_be_moved_to_its_place_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "new.csv"

    def made() -> bytes:
        file.mkdir()  # by somebody else, meanwhile
        return b"w1\n"

    with pytest.raises(UnusablePath) as raised:
        write_whole("--out", file, made)
    (draft,) = (each for each in tmp_path.iterdir() if each != file)
    assert draft.read_bytes() == b"w1\n"
    assert str(raised.value).endswith(f"its content is in {draft}")


def test_a_pipe_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    assert write_whole("--out", pipe, lambda: b"one") == 3
    reader.join(60)
    assert read == [b"one"]
    assert pipe.is_fifo()


def test_a_file_that_is_read_only_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "list.csv"
    target.write_bytes(b"before")
    target.chmod(0o444)
    assert write_whole("--out", target, lambda: b"after") == 5
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"after", 0o444)
    assert [*tmp_path.iterdir()] == [target]


def test_the_end_of_a_pipe_is_written_to() -> None:
    """Its path resolves to one that is not there."""
    end, begin = os.pipe()
    try:
        assert write_whole("--out", Path(f"/dev/fd/{begin}"), lambda: b"content") == 7
        assert os.read(end, 100) == b"content"
    finally:
        os.close(end)
        os.close(begin)


@pytest.mark.parametrize(
    ("path", "output", "error"),
    [("/dev/stdout", "content", "told\n"), ("/dev/null", "told\n", "")],
)
def test_what_was_written_is_told_on_the_output_unless_that_has_it(
    path: str, output: str, error: str
) -> None:
    words = [sys.executable, "-c", WRITE_AND_TELL, path]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == (output, error)


@pytest.mark.parametrize("path", ["/dev/stdout", "{file}"])
def test_a_file_that_standard_output_goes_to_is_written_through_it(
    path: str, tmp_path: Path
) -> None:
    file = tmp_path / "case.zip"
    file.write_bytes(b"before ")
    words = [sys.executable, "-c", WRITE_AND_TELL, path.format(file=file)]
    with file.open("ab") as output:
        done = subprocess.run(words, cwd=ROOT, stdout=output, stderr=subprocess.PIPE, check=True)
    assert (file.read_bytes(), done.stderr) == (b"before content", b"told\n")
    assert [*tmp_path.iterdir()] == [file]
