"""Files of profiles that `embed` and `load` are given, and where `embed` writes."""

import gzip
import io
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from service.__main__ import main
from tests.service.data_sets import json_line, profile, profiles, write_data

pytestmark = pytest.mark.slow

NOWHERE = "http://127.0.0.1:9"


def embed(bundle: Path, data: Path, out: Path) -> int:
    return main(["embed", "--bundle", str(bundle), "--data", str(data), "--out", str(out)])


def ids_of(content: bytes) -> list[str]:
    with np.load(io.BytesIO(content), allow_pickle=False) as made:
        return made["ids"].tolist()


def test_embed_writes_to_a_pipe_and_leaves_it_there(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, pipe, read = write_data(tmp_path / "set", profiles(2)), tmp_path / "pipe", list[bytes]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    assert embed(bundle, data, pipe) == 0
    reader.join()
    assert ids_of(read[0]) == ["s00000", "s00001"]
    assert pipe.is_fifo()
    assert "2 vectors" in capsys.readouterr().out


def test_embed_follows_a_link(bundle: Path, tmp_path: Path) -> None:
    data, file = write_data(tmp_path / "set", profiles(2)), tmp_path / "elsewhere" / "v.npz"
    file.parent.mkdir()
    link = tmp_path / "v.npz"
    link.symlink_to(file)
    assert embed(bundle, data, link) == 0
    assert link.is_symlink()
    assert ids_of(file.read_bytes()) == ["s00000", "s00001"]


def test_embed_refuses_an_id_that_is_there_twice(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_data(tmp_path / "set", [*profiles(2), "\n", json_line(profile(1))])
    assert embed(bundle, data, tmp_path / "v.npz") == 1
    said = capsys.readouterr().err
    assert f"{data}/streamers.jsonl:4: 's00001' is already on line 2; keep one of them" in said
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize("command", ["embed", "load"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(b"{}"), "is compressed with gzip: unpack it first"),
        (json_line(profile(0)).encode("utf-16"), "is UTF-16: save it as UTF-8"),
        (b"PAR1", "is a Parquet file, which `encode` and imports (POST /v1/jobs/imports) read"),
        (
            None,
            "(No such file or directory): streamers.parquet is read by `encode`, and by imports",
        ),
    ],
    ids=["gzip", "utf16", "parquet", "folder"],
)
def test_profiles_of_another_form_have_a_way(
    bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
    content: bytes | None,
    said: str,
) -> None:
    data = write_data(tmp_path / "set", [])
    file = data / "streamers.jsonl"
    file.write_bytes(content or b"")
    if content is None:
        file.rename(data / "streamers.parquet")
    if command == "embed":
        assert embed(bundle, data, tmp_path / "v.npz") == 1
    else:
        assert main(["load", str(data), "--url", NOWHERE, "--timeout", "1"]) == 1
    assert said in capsys.readouterr().err
