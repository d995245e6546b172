"""A service on a GPU answers as one on the CPU does. Not yet run on a GPU."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api
from tests.support.searching import FILTERS, assert_alike, profiles, recall
from tests.support.service import Service, wait_until

pytestmark = pytest.mark.gpu

APPROXIMATE: dict[str, Any] = {
    "STREAMER_INDEX__KIND": "IVF8,SQfp16",
    "STREAMER_INDEX__FROM_ROWS": "100",
}
SEEDS = [f"s{i:04}" for i in range(0, 1000, 50)]


@pytest.fixture(scope="module")
def services(
    bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, Service]]:
    """One on the GPU and one on the CPU, with the same streamers."""
    folder = tmp_path_factory.mktemp("gpu")
    with (
        Service(bundle, folder / "gpu", STREAMER_DEVICE="gpu", **APPROXIMATE) as ours,
        Service(bundle, folder / "cpu") as other,
    ):
        for service in (ours, other):
            service.wait_until_ready().api.write(profiles(1000))
        yield ours, other


def test_the_device_in_use_is_the_gpu(services: tuple[Service, Service]) -> None:
    ready = services[0].api.ok("GET", "/readyz")
    assert ready["device"] == "gpu"


def test_vectors_are_those_of_the_cpu(services: tuple[Service, Service]) -> None:
    def embedding(api: Api, name: str) -> list[float]:
        return api.ok("GET", f"/v1/streamers/{name}/embedding")["embedding"]

    for name in SEEDS:
        ours, other = (embedding(service.api, name) for service in services)
        assert ours == pytest.approx(other, abs=1e-3)


@pytest.mark.parametrize("condition", FILTERS)
def test_filtered_questions_are_answered_alike(
    services: tuple[Service, Service], condition: dict[str, object]
) -> None:
    if condition:
        ours, other = (service.api for service in services)
        assert_alike(ours, other, SEEDS, k=20, filter=condition)


def test_an_approximate_index_on_the_gpu_finds_the_nearest(
    services: tuple[Service, Service],
) -> None:
    ours, other = (service.api for service in services)
    wait_until(
        lambda: ours.ok("GET", "/readyz")["index"]["kind"] != "exact", "an approximate index serves"
    )
    assert recall(ours, other, SEEDS) >= 0.95
