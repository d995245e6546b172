"""A bundle, and a service that runs as a process of its own, for each module of tests.

A module that needs other settings overrides the fixture `settings`; one that needs services of its
own takes `serve`.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from tests.support.api import Api
from tests.support.bundles import write_bundle
from tests.support.service import Service

Serve = Callable[..., Service]
ADMIN_KEY = "the-admin-key-of-the-tests"

# OpenMP threads that spin stand still when the cores are busy; numpy reads its own when imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# No test asks a hub for anything; Hugging Face's library reads this when it is imported.
os.environ["HF_HUB_OFFLINE"] = "1"
# Processes of the service would otherwise compile all that they import, each time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# `nohup make test &` ignores Ctrl-C, and a child would inherit that; tests press it themselves.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same cases on every run and every machine, and no failure for being slow.
hypothesis_settings.register_profile(
    "reproducible",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
)
hypothesis_settings.load_profile("reproducible")


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small bundle whose answers are known: its words are `tests.support.bundles.TOPICS`."""
    folder = tmp_path_factory.mktemp("bundle") / "bundle"
    write_bundle(folder)
    return folder


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Environment variables of the module's service, beside its admin key."""
    return {}


@pytest.fixture(scope="module")
def service(
    bundle: Path, settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """The module's service, with an admin key, an embedded store and no streamers at first."""
    data_dir = tmp_path_factory.mktemp("service") / "data"
    variables: dict[str, Any] = {"STREAMER_API_KEY": ADMIN_KEY, **settings}
    with Service(bundle, data_dir, **variables) as running:
        yield running.wait_until_ready()


@pytest.fixture(scope="module")
def api(service: Service) -> Api:
    """The module's service, asked as an admin."""
    return service.api


@pytest.fixture
def serve(bundle: Path, tmp_path: Path) -> Iterator[Serve]:
    """Starts services and waits until they are ready; all of them end with the test."""
    with ExitStack() as running:

        def start(
            *options: object,
            bundle: Path = bundle,
            data_dir: Path = tmp_path / "data",
            port: int = 0,
            **variables: str,
        ) -> Service:
            started = Service(bundle, data_dir, *options, port=port, **variables)
            return running.enter_context(started).wait_until_ready()

        yield start
