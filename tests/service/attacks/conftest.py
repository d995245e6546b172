"""Services that attacks share: without keys, with keys, and one that does not wait for long."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.attacks.issuer import GRANTS, ISSUER, published
from tests.service.data_sets import json_line
from tests.service.features.transfers.waiting import ended, upload
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
    """Asked with the admin key unless a test gives another; it logs all requests, runs no job."""
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
        STREAMER_JOBS__AT_ONCE="0",
        STREAMER_JOBS__IMPORT_DIR=str(import_dir),
        STREAMER_OIDC__ISSUER=ISSUER,
        STREAMER_OIDC__AUDIENCE="similar-streamer",
        STREAMER_OIDC__JWKS=str(folder / "jwks.json"),
        STREAMER_OIDC__GRANTS=json.dumps(GRANTS),
    ) as running:
        running.client.headers["Authorization"] = f"Bearer {ADMIN_KEY}"
        yield running.wait_until_ready()


@pytest.fixture(scope="package")
def hasty(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """It waits two seconds for anything, and has much to tell."""
    settings = json.dumps({"header_timeout_s": 2.0, "idle_timeout_s": 2.0})
    limits = json.dumps({"body_timeout_s": 2.0})
    folder = tmp_path_factory.mktemp("hasty")
    with Service(bundle, folder / "data", STREAMER_SERVER=settings, STREAMER_LIMITS=limits) as one:
        one.wait_until_ready()
        many = ({"streamer_id": f"r{i}", "tags": ["music"], "bio": "x" * 4000} for i in range(2000))
        path = upload(one.client, "".join(map(json_line, many)))
        assert ended(one.client, path)["state"] == "succeeded"
        yield one
