"""Two services that all attacks share: one that asks for keys, and one that has none."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.attacks.issuer import GRANTS, ISSUER, published
from tests.service.process import Service

ADMIN_KEY = "the-admin-key-of-the-attacked"


@pytest.fixture(scope="package")
def keyless(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(bundle, tmp_path_factory.mktemp("keyless") / "data") as running:
        yield running.wait_until_ready()


@pytest.fixture(scope="package")
def import_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Below which imports may name files; besides it lies what they may not."""
    folder = tmp_path_factory.mktemp("imports") / "allowed"
    folder.mkdir()
    return folder


@pytest.fixture(scope="package")
def guarded(
    bundle: Path, import_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Asked with the admin key unless a test gives another; it logs all requests."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "jwks.json").write_text(published())
    with Service(
        bundle,
        folder / "data",
        "--log-level",
        "debug",
        STREAMER_API_KEY=ADMIN_KEY,
        STREAMER_LOG__FORMAT="json",
        STREAMER_LOG__REQUESTS="true",
        STREAMER_JOBS__IMPORT_DIR=str(import_dir),
        STREAMER_OIDC__ISSUER=ISSUER,
        STREAMER_OIDC__AUDIENCE="similar-streamer",
        STREAMER_OIDC__JWKS=str(folder / "jwks.json"),
        STREAMER_OIDC__GRANTS=json.dumps(GRANTS),
    ) as running:
        running.client.headers["Authorization"] = f"Bearer {ADMIN_KEY}"
        yield running.wait_until_ready()
