"""Ways out of the folder of imports, and files that are swapped between a look and a read."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.errors import InputChanged, InvalidRequest
from service.features.transfers.sources import Source, find
from tests.service.attacks.conftest import ADMIN_KEY
from tests.service.attacks.raw import exchange, request
from tests.service.data_sets import json_line, profile, profiles
from tests.service.process import Service

HEAD = f"Authorization: Bearer {ADMIN_KEY}"
SECRET = json_line({"streamer_id": "secret", "bio": "of nobody's concern"})


@pytest.fixture
def outside(import_dir: Path) -> Iterator[Path]:
    """A folder beside that of imports, with a file as an import would take it."""
    folder = import_dir.parent / "allowed-not"  # its name begins like the other's
    folder.mkdir()
    (folder / "a.jsonl").write_text(SECRET)
    yield folder
    (folder / "a.jsonl").unlink()
    folder.rmdir()


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        *("..", ".", "", "/", "../", "../allowed-not/a.jsonl", "../allowed/../allowed-not/a.jsonl"),
        *("./../allowed-not/a.jsonl", "..//allowed-not//a.jsonl", "../allowed-not/./a.jsonl"),
        *("%2e%2e/allowed-not/a.jsonl", "..%2fallowed-not/a.jsonl", "..\\allowed-not\\a.jsonl"),
        *("..\u2215allowed-not/a.jsonl", "\uff0e\uff0e/allowed-not/a.jsonl", ".../a.jsonl"),
        *("~/a.jsonl", "$HOME/a.jsonl", "file:///etc/passwd", "file:a.jsonl", "a.jsonl\x00.jsonl"),
        *("\x00", "a\n.jsonl", "link/a.jsonl", "link-to-file", "loop", "pipe", "socket"),
        *("/etc/passwd", "/proc/self/environ", "/dev/zero", "/dev/stdin", "/proc/self/fd/0"),
        *("/proc/self/root/etc/passwd", "//etc/passwd", "x" * 300, "x/" * 2000, "-", "|id", "a;id"),
    ],
)
def test_no_path_leads_out(guarded: Service, import_dir: Path, outside: Path, path: str) -> None:
    made = [import_dir / name for name in ("link", "link-to-file", "loop", "pipe")]
    made[0].symlink_to(outside)
    made[1].symlink_to(outside / "a.jsonl")
    made[2].symlink_to(made[2])
    os.mkfifo(made[3])
    try:
        answer = guarded.client.post("/v1/jobs/imports", json={"path": path})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
        assert {error["pointer"] for error in answer.json()["errors"]} == {"/path"}
        assert "root:" not in answer.text
    finally:
        for file in made:
            file.unlink()


def to_link(file: Path, outside: Path) -> None:
    file.unlink()
    file.symlink_to(outside / "a.jsonl")


def folder_to_link(file: Path, outside: Path) -> None:
    file.parent.rename(file.parent.with_name("moved"))
    file.parent.symlink_to(outside)


def to_pipe(file: Path, outside: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def to_device(file: Path, outside: Path) -> None:
    file.unlink()
    file.symlink_to("/dev/zero")


def to_folder(file: Path, outside: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("swap", [to_link, folder_to_link, to_pipe, to_device, to_folder])
def test_a_file_that_is_swapped_after_the_check(
    tmp_path: Path, swap: Callable[[Path, Path], None]
) -> None:
    """Between the check of the path and each time that it is opened."""
    allowed, outside = tmp_path / "allowed", tmp_path / "outside"
    (allowed / "below").mkdir(parents=True)
    outside.mkdir()
    file = allowed / "below" / "a.jsonl"
    file.write_text("".join(profiles(3)))
    (outside / "a.jsonl").write_text(SECRET)
    source = Source(find(allowed, "below/a.jsonl"), "below/a.jsonl", 1000)
    stamp = source.stamp()
    assert len(source.read(0, stamp, 10, 10_000)[0]) == 3
    swap(file, outside)

    def ends() -> None:
        with pytest.raises(InputChanged):
            source.stamp()
        with pytest.raises(InputChanged):
            list(source.look())
        with pytest.raises(InputChanged):
            source.read(0, stamp, 10, 10_000)
        with pytest.raises(InputChanged):
            list(source.convert(lambda _: iter(()), stamp))  # pyright: ignore[reportArgumentType]
        done.set()

    done = threading.Event()
    threading.Thread(target=ends, daemon=True).start()
    assert done.wait(60)  # a pipe would keep it waiting


def test_a_link_below_the_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.jsonl").write_text("".join(profiles(3)))
    (tmp_path / "link").symlink_to("real")
    source = Source(find(tmp_path, "link/a.jsonl"), "link/a.jsonl", 1000)
    assert len(source.read(0, source.stamp(), 10, 10_000)[0]) == 3


def test_a_folder_that_is_swapped_while_it_is_looked_at(tmp_path: Path) -> None:
    """However often a link comes and goes, nothing outside is ever read."""
    allowed, outside = tmp_path / "allowed", tmp_path / "outside"
    (allowed / "real").mkdir(parents=True)
    outside.mkdir()
    (allowed / "real" / "a.jsonl").write_text(json_line(profile(1)))
    (outside / "a.jsonl").write_text(SECRET)
    way, done = allowed / "way", threading.Event()
    inner, outer = allowed / "inner", allowed / "outer"

    def swaps() -> None:
        while not done.is_set():
            for link, place in ((inner, "real"), (outer, outside)):
                link.symlink_to(place)
                link.rename(way)

    way.symlink_to("real")
    swapping = threading.Thread(target=swaps)
    swapping.start()
    read: list[bytes] = []
    try:
        for _ in range(500):
            try:
                source = Source(find(allowed, "way/a.jsonl"), "way/a.jsonl", 1000)
                read += source.read(0, source.stamp(), 10, 10_000)[0]
            except (InputChanged, InvalidRequest):
                pass
    finally:
        done.set()
        swapping.join()
    assert read
    assert set(read) == {json_line(profile(1)).strip().encode()}


@pytest.mark.slow
@pytest.mark.parametrize(
    "job_id",
    [
        *(
            "..",
            ".",
            "%2e%2e",
            "..%2f..",
            "a%00",
            "%00",
            "*",
            "..%5c",
            "0" * 300,
            "a.upload",
            "place",
        ),
        *("%252e%252e", "....", "a%0d%0aX-Injected:%201", "a'--", "%f0%9f%92%a9", "%ff"),
    ],
)
def test_ids_of_jobs_are_no_paths(guarded: Service, job_id: str) -> None:
    for way in ("", "/result", "/events"):
        content = request("GET", f"/v1/jobs/{job_id}{way}", HEAD, "Connection: close")
        (answer,) = exchange(guarded, content)
        assert answer.status in (404, 405, 422), answer.body
        assert answer.headers["x-injected"] is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("..", "%2e%2e/%2e%2e/__init__.py", "..%2f..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", "."),
        *("%00", "swagger-ui.css%00", "....//etc/passwd", "..%5c..%5cetc", "%ff"),
        *("x" * 5000, "/etc/passwd", "", "%252e%252e%252fetc%252fpasswd", "con", "~root"),
    ],
)
def test_files_of_the_documentation_are_these(guarded: Service, name: str) -> None:
    content = request("GET", f"/static-offline-docs/{name}", "Connection: close")
    (answer,) = exchange(guarded, content)
    assert answer.status in (404, 405), answer.body
    assert b"root:" not in answer.body
