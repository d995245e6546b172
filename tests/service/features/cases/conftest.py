"""A service whose bundle has evidence: what its small vocabulary does not know is rare."""

import json
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from model_export.contract.bundle import MANIFEST, file_entry
from model_export.contract.evidence import EVIDENCE, packaged
from service.app import create_app
from service.settings import Settings
from tests.bundles import write_bundle


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("bundle") / "b"
    write_bundle(folder)
    content = packaged().model_dump_json().encode()
    (folder / EVIDENCE).write_bytes(content)
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    manifest["files"][EVIDENCE] = file_entry(content).model_dump()
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    settings = Settings(bundle=folder, data_dir=tmp_path_factory.mktemp("data"))
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        yield client
