"""Recall on live traffic, without a server."""

from typing import Any

import numpy as np

from service.index.milvus.collection import Found
from service.index.milvus.connection import Asked
from service.index.milvus.monitor import MilvusMonitor
from service.index.query import Query, ScoringSpec

QUERY = Query(ScoringSpec.nearest(np.full(4, 0.5, np.float32)), 10)


class Searched:
    """Stands for `Connection`: plain searches find a share of the nearest."""

    share = 1.0

    def search_now(self, asked: Asked, vectors: np.ndarray) -> list[Found]:
        count = asked.limit if asked.exact else round(self.share * asked.limit)
        scores = [1 - i / 100 for i in range(count)]
        return [Found([*range(count)], [str(i) for i in range(count)], scores) for _ in vectors]


def test_a_dip_is_over_once_enough_is_found_again() -> None:
    connection: Any = Searched()
    monitor = MilvusMonitor(connection, 0.95)

    def compare(times: int) -> str | None:
        for _ in range(times):
            monitor.offer("c", QUERY)
            monitor.check()
        return monitor.refused

    assert compare(60) is None
    connection.share = 0.5
    assert "below the floor" in (compare(10) or "")
    connection.share = 1.0
    assert compare(150) is not None  # some of before are among the latest
    assert compare(60) is None
    connection.share = 0.5
    assert compare(30) is not None
