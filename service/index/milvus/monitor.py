"""Recall on live traffic: a few plain questions are asked again with all inverted lists."""

import logging

import numpy as np

from service.index.faiss.ann.recall_monitor import RecallMonitor
from service.index.milvus.connection import Asked, Connection
from service.index.query import Query

_log = logging.getLogger(__name__)
_AGAIN = 200
"""So many comparisons after an alarm must reach the floor together: all that recall is of then."""


class MilvusMonitor:
    """Compares answers of one collection; begins anew with another one. Safe from several threads.

    Attributes:
        refused: why plain questions look into all lists, for people; None while they need not.
    """

    def __init__(self, connection: Connection, floor: float) -> None:
        """A collection that finds less than `floor` of the nearest is asked exactly."""
        self._connection = connection
        self._floor = floor
        self._monitor = RecallMonitor(floor)
        self._collection = ""
        self._since = 0  # comparisons after the alarm
        self.refused: str | None = None

    @property
    def recall(self) -> float | None:
        """Share of the nearest that were found; None while too few answers were compared."""
        return self._monitor.recall

    def offer(self, collection: str, query: Query) -> None:
        """Keep a plain query that was just answered, if one is wanted."""
        if collection != self._collection:
            self._collection, self.refused = collection, None
            self._monitor = RecallMonitor(self._floor)
        if self._monitor.wants_sample:
            self._monitor.offer(query)

    def check(self) -> None:
        """Ask the query that was kept both ways, and compare; blocks for two searches.

        Raises:
            IndexUnavailable: Milvus does not answer.
        """
        monitor, collection = self._monitor, self._collection
        query = monitor.take()
        if query is None:
            return
        vectors = np.ascontiguousarray(query.scoring.probes(), np.float32)
        plain = Asked(collection, query.k, "", False, False)
        (found,) = self._connection.search_now(plain, vectors)
        (best,) = self._connection.search_now(plain._replace(exact=True), vectors)
        monitor.note(vectors[0], np.array(found.scores), np.array(best.scores))
        self._since += bool(best.scores)
        recall = monitor.recall
        is_enough = recall is not None and recall >= self._floor
        if self.refused is not None and is_enough and self._since >= _AGAIN:
            self.refused = None
            _log.warning("Milvus collection %s finds enough again", collection)
        elif self.refused is None and monitor.alarm is not None:
            self._since = 0
            self.refused = f"all inverted lists are looked into: {monitor.alarm}"
            _log.error("Milvus collection %s: %s", collection, self.refused)
