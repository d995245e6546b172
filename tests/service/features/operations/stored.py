"""Services with streamers in them, and their stores from inside."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis

from tests.service.process import Service

SAVED: dict[str, Any] = {
    "STREAMER_INDEX__SNAPSHOT_S": "0.01",
    "STREAMER_INDEX__SNAPSHOT_CHANGES": "1",
    "STREAMER_INDEX__SNAPSHOT_FROM_ROWS": "1",
}


def fill(service: Service, count: int = 60) -> int:
    """Cooks, of whom a few show nothing; the last sequence number."""
    profiles: list[dict[str, Any]] = [
        {"streamer_id": f"s{i}", "tags": ["cooking"], "bio": f"kitchen {i}"} for i in range(count)
    ]
    service.bulk([*profiles, {"streamer_id": "thin"}, {"streamer_id": "empty"}])
    service.client.delete("/v1/streamers/empty").raise_for_status()
    return service.put("last", tags=["cooking"])


def readyz(service: Service) -> dict[str, Any]:
    return service.client.get("/readyz").json()


@contextmanager
def inside(data_dir: Path) -> Iterator[Redis]:
    """The records of a running service's store."""
    with Redis(unix_socket_path=str(data_dir / "store" / "run" / "store.sock")) as client:
        yield client
