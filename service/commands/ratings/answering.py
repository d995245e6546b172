"""Answers of a running service to questions that streamers were rated for."""

from collections.abc import Mapping
from typing import Any, get_args

from service.client import Client
from service.index.query import Strategy

STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)


class System:
    """One way to answer: a service and a strategy.

    Attributes:
        name: for people.
    """

    def __init__(self, client: Client, strategy: str) -> None:
        """Ask by `client`."""
        self._client = client
        self._strategy = strategy
        self.name = f"{client.url} {strategy}"

    def hits(self, question: Mapping[str, Any], k: int) -> list[str]:
        """Ids of the best `k`, best first.

        Raises:
            ClientError: it was not answered, for example since a seed is not stored any more.
        """
        asked: dict[str, Any] = {
            "positive": [{"streamer_id": name} for name in question["positive"]],
            "negative": [{"streamer_id": name} for name in question["negative"]],
            "filter": question["filter"],
            "strategy": self._strategy,
            "k": k,
        }
        return [hit.streamer_id for hit in self._client.search(asked).hits]
