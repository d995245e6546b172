"""Imports of encoded profiles that go on after another model was promoted."""

import asyncio
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from service.__main__ import main
from service.features.transfers.imports import ImportJobs
from tests.bundles import write_bundle
from tests.service.data_sets import json_line
from tests.service.features.transfers.test_encoded import ENCODED, TYPE, service, shown
from tests.service.features.transfers.waiting import ended, submitted


@pytest.mark.slow
def test_an_import_goes_on_under_the_model_of_its_vectors_alone(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vectors of one model were stored as another's."""
    other, source, file = tmp_path / "other", tmp_path / "in.jsonl", tmp_path / "e.parquet"
    write_bundle(other, seed=5)
    source.write_text("".join(json_line(shown(i)) for i in range(100)), encoding="utf-8")
    assert main(["encode", *map(str, ["--bundle", bundle, "--in", source, "--out", file])]) == 0
    write, reached = ImportJobs._write, Event()

    async def held(jobs: ImportJobs, *arguments: Any) -> Any:
        await write(jobs, *arguments)
        reached.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patched:
        patched.setattr(ImportJobs, "_write", held)
        with service(bundle, tmp_path / "data") as client:
            content = file.read_bytes()
            answer = client.post("/v1/jobs/imports", content=content, headers=TYPE, params=ENCODED)
            path = submitted(answer)
            assert reached.wait(60)
    with service(other, tmp_path / "data", reencode=True) as client:
        job = ended(client, path)
        assert job["state"] == "failed", job
        assert job["error"]["code"] == "invalid_request"
        assert "encode it again with that model's bundle" in job["error"]["detail"]
        assert job["progress"]["done"] == 64
        assert len(client.get("/v1/streamers").json()["streamers"]) == 64
    with service(bundle, tmp_path / "data", reencode=True) as client:
        client.post(f"{path}:retry").raise_for_status()
        job = ended(client, path)
        assert (job["state"], job["result"]["created"]) == ("succeeded", 100)
