"""Jobs in backups: finished ones are restored as they were, those under way as failed."""

import json
from collections.abc import Mapping
from typing import Any, cast

from service.errors import JobRestored
from service.store.redis.client import Argument, RedisClient

RESTORED_KEEP_S = 24 * 3600
"""How long a job that was under way is kept after a restore."""
_CHUNK = 200
_LEASES = 1 << 20
"""Added to a token: no later lease has the number of one from before the restore."""
Copy = dict[str, Any]
"""Of a job: `fields` as texts, and `left_ms` until it is forgotten (-1 = it was under way)."""


class JobCopies:
    """Reads and restores jobs, without their files, which lie in spools."""

    def __init__(self, client: RedisClient, *, prefix: str = "ss:") -> None:
        """Of the store of `client`; see `service.store.redis.jobs` for its keys."""
        self._client = client
        self._ids, self._job = f"{prefix}jobs", f"{prefix}job:"
        self._finished = f"{prefix}jobs:finished"

    async def all(self) -> dict[str, Copy]:
        """Every job, by its id."""
        found: dict[str, Copy] = {}
        after = "-"
        while ids := await self._ids_after(after):
            keys = [self._job + job_id for job_id in ids]
            rows = await self._client.ask_all([("HGETALL", key) for key in keys])
            left = await self._client.ask_all([("PTTL", key) for key in keys])
            for job_id, row, left_ms in zip(ids, rows, left, strict=True):
                if row:
                    fields = {_text(name): _text(value) for name, value in row.items()}
                    found[job_id] = {"fields": fields, "left_ms": int(left_ms)}
            after = f"({ids[-1]}"
        return found

    async def _ids_after(self, after: str) -> list[str]:
        ids: list[bytes] = await self._client.ask(
            "ZRANGEBYLEX", self._ids, after, "+", "LIMIT", 0, _CHUNK
        )
        return [job_id.decode() for job_id in ids]

    async def restore(self, copies: Mapping[str, Copy]) -> None:
        """Write jobs to a store without any."""
        for job_id, copy in copies.items():
            fields, left_ms = dict(cast(dict[str, str], copy["fields"])), int(copy["left_ms"])
            if fields["state"] in ("queued", "running"):
                left_ms = RESTORED_KEEP_S * 1000
                fields |= {
                    "error": json.dumps(_problem(fields["state"])),
                    "state": "failed",
                    "cancelling": "0",
                    "token": str(int(fields.get("token", "0")) + _LEASES),
                    "revision": str(int(fields.get("revision", "0")) + 1),
                }
            pairs: list[Argument] = [
                part.encode("utf-8", "surrogateescape") for pair in fields.items() for part in pair
            ]
            key = self._job + job_id
            await self._client.ask_together(
                [
                    ["DEL", key],
                    ["HSET", key, *pairs],
                    ["PEXPIRE", key, max(left_ms, 1)],
                    ["ZADD", self._ids, 0, job_id],
                    ["ZADD", self._finished, fields.get("updated_at", "0"), job_id],
                ]
            )


def copies_of(found: dict[str, Copy]) -> dict[str, Copy]:
    """Check copies of jobs.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: they are none.
    """
    for job_id, copy in found.items():
        if not {"state", "kind"} <= copy["fields"].keys():
            raise ValueError(f"job {job_id} has no state or kind")
        int(copy["left_ms"])
    return found


def _problem(state: str) -> dict[str, Any]:
    return {
        "type": f"/errors#{JobRestored.code}",
        "title": JobRestored.title,
        "status": JobRestored.status,
        "code": JobRestored.code,
        "detail": f"the store was restored from a backup that was made while the job was {state}; "
        "retry it to go on where it stood then",
    }


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
