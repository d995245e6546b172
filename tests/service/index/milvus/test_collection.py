"""What Milvus is asked, without a server."""

from typing import Any

import numpy as np
import pytest

from service.errors import IndexUnavailable
from service.index.milvus.collection import Collection, Shape


class Client:
    """Keeps the options of each call."""

    def __init__(self, version: str = "v2.3.5") -> None:
        self.asked: dict[str, dict[str, Any]] = {}
        self.version = version

    def get_server_version(self, **_: Any) -> str:
        return self.version

    def has_collection(self, *_: Any, **__: Any) -> bool:
        return False

    def search(self, name: str, data: list[Any], **options: Any) -> list[list[Any]]:
        self.asked["search"] = options
        return [[] for _ in data]


@pytest.mark.parametrize("lists", [16, 65_536])
def test_exact_questions_look_into_all_lists_of_any_collection(lists: int) -> None:
    client: Any = Client()
    # Today's setting; the collection that is asked may have been built with another one.
    collection = Collection(client, "built before", Shape("m", 4, lists=lists, probes=8), 5)
    vectors = np.ones((1, 4), np.float32)
    collection.search(vectors, 10, exact=True)
    assert client.asked["search"]["search_params"]["params"]["nprobe"] == 65_536
    collection.search(vectors, 10)
    assert client.asked["search"]["search_params"]["params"]["nprobe"] == 8


def test_a_server_that_became_another_version_is_told() -> None:
    client: Any = Client()
    collection = Collection(client, "c", Shape("m", 4, lists=16, probes=8), 5)
    assert collection.probe(7) == "it was dropped"
    client.version = "v3.0.1"
    with pytest.raises(IndexUnavailable, match=r"version v3\.0\.1; this service needs"):
        collection.probe(7)
