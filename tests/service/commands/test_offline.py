"""`encode` and `import` as a person or a scheduler runs them."""

import json
from pathlib import Path

import pytest

from tests.service.conftest import Serve
from tests.service.data_sets import json_line, profile, profiles, write_data
from tests.service.process import error_line, run

pytestmark = pytest.mark.slow


def test_parts_are_encoded_and_imported(bundle: Path, serve: Serve, tmp_path: Path) -> None:
    source = write_data(tmp_path / "data", profiles(30)) / "streamers.jsonl"
    files = [tmp_path / f"{i}.parquet" for i in (1, 2)]
    for i, file in enumerate(files, start=1):
        done = run(
            *("encode", "--bundle", bundle, "--in", source),
            *("--part", f"{i}/2", "--out", file, "--json"),
        )
        assert done.returncode == 0, done.stderr
    service = serve()
    done = run("import", *files, "--url", service.url, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["lines"], found["created"], found["refused"]) == (30, 30, 0)
    assert service.client.get("/v1/streamers/s00029").json()["profile"] == profile(29)
    again = json.loads(run("import", *files, "--url", service.url, "--json").stdout)
    assert (again["created"], again["unchanged"]) == (0, 30)

    source.write_text(json_line(profile(0)))
    failed = error_line(run("import", source, "--url", service.url))
    assert "was not written by `python -m service encode`" in failed
    short = tmp_path / "short.parquet"
    given = ("encode", "--bundle", bundle, "--dim", "32", "--in", source, "--out", short)
    assert run(*given).returncode == 0
    failed = error_line(run("import", short, "--url", service.url))
    assert "encode it again with that model's bundle" in failed
