"""What Milvus is asked, without a server."""

from typing import Any

import numpy as np
import pytest

from service.index.milvus.collection import Collection, Shape


class Client:
    """Keeps the options of each call."""

    def __init__(self) -> None:
        self.asked: dict[str, dict[str, Any]] = {}

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
