"""A service whose bundle has evidence: what its small vocabulary does not know is rare."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from tests.bundles import write_bundle_with_evidence


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("bundle") / "b"
    write_bundle_with_evidence(folder)
    settings = Settings(bundle=folder, data_dir=tmp_path_factory.mktemp("data"))
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        yield client


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expansions are answered at once however slow the machine is; tests of jobs say otherwise."""
    monkeypatch.setattr("service.features.cases.running.AT_ONCE_S", 600)
