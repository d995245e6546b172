"""Imports that are refused as a whole leave nothing of the file in the spool."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.__main__ import main
from service.settings import MIB, Jobs
from tests.bundles import write_bundle
from tests.service.data_sets import json_line
from tests.service.features.transfers.test_encoded import service, shown
from tests.service.features.transfers.waiting import ended, submitted


def encoded(model: Path, folder: Path) -> Path:
    source, file = folder / "in.jsonl", folder / "e.parquet"
    source.write_text("".join(json_line(shown(i)) for i in range(3)), encoding="utf-8")
    assert main(["encode", *map(str, ["--bundle", model, "--in", source, "--out", file])]) == 0
    return file


@pytest.mark.slow
def test_what_another_model_encoded_is_refused_before_it_takes_room(
    bundle: Path, tmp_path: Path
) -> None:
    other, spool = tmp_path / "other", tmp_path / "data" / "jobs"
    write_bundle(other, seed=5)
    file = encoded(other, tmp_path)
    jobs = Jobs(import_dir=tmp_path, spool_bytes=MIB)
    with service(bundle, tmp_path / "data", jobs=jobs) as client:
        (spool / "another.upload").write_bytes(bytes(MIB))  # nothing more has room
        body = {"path": file.name, "encoded": True}
        job = ended(client, submitted(client.post("/v1/jobs/imports", json=body)))
        assert job["error"]["code"] == "invalid_request", job
        assert "encode it again with that model's bundle" in job["error"]["detail"]


@pytest.mark.slow
@pytest.mark.parametrize("is_encoded", [True, False])
def test_the_other_kind_of_file_leaves_no_lines(
    bundle: Path, tmp_path: Path, is_encoded: bool
) -> None:
    file = encoded(bundle, tmp_path)
    if not is_encoded:
        pq.write_table(pa.Table.from_pylist([shown(0)]), file)
    with service(bundle, tmp_path / "data", jobs=Jobs(import_dir=tmp_path)) as client:
        body = {"path": file.name, "encoded": not is_encoded}
        job = ended(client, submitted(client.post("/v1/jobs/imports", json=body)))
        assert job["error"]["errors"][0]["pointer"] == "/encoded"
    assert [each.name for each in (tmp_path / "data" / "jobs").iterdir()] == ["place"]
