"""A service with streamers, and what a recommender hands over for them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from tests.service.features.spaces.hand_overs import (
    HandOver,
    forget_spaces,
    hand_over_of,
    send,
    served,
    space_of,
    store_streamers,
)


@pytest.fixture(scope="package")
def stocked(
    bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[TestClient, HandOver]]:
    settings = Settings(bundle=bundle, data_dir=tmp_path_factory.mktemp("data"))
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        yield client, hand_over_of(client, store_streamers(client))


@pytest.fixture
def client(stocked: tuple[TestClient, HandOver]) -> Iterator[TestClient]:
    """A service with streamers and without spaces."""
    forget_spaces(stocked[0])  # also of a hand-over that ended after its test
    yield stocked[0]
    forget_spaces(stocked[0])


@pytest.fixture
def handed(stocked: tuple[TestClient, HandOver]) -> HandOver:
    return stocked[1]


@pytest.fixture
def serving(stocked: tuple[TestClient, HandOver]) -> Iterator[TestClient]:
    """A service that serves g0, and still does afterwards."""
    client, handed = stocked
    if space_of(client) is None:
        send(client, "g0", handed.npz(), promote="true").raise_for_status()
    before = space_of(client)
    yield client
    client.delete("/v1/spaces/als/generations/g1")
    after = space_of(client)
    for shown in (before, after):
        shown["active"].pop("age_s")
    assert after == before
    assert served(client, "s000")["vector"] == handed.vectors[0].tolist()
