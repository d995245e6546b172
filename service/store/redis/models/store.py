"""Which model serves, on Valkey or Redis.

ss:meta             hash: model_version (of the active model), target_model, target_state,
                    models_revision
ss:models:replicas  hash: by replica, when it told what it holds, and that
ss:models:once:<k>  the request that changed it once, for a day
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from service.store.jobs import JobStep, LeaseLost
from service.store.models.base import (
    SEEN_S,
    ModelPointer,
    NotTheTarget,
    SecondVectors,
    TargetState,
)
from service.store.once import REMEMBERED_S, Once
from service.store.redis.client import Argument, RedisClient
from service.store.redis.models.second import made_by_model
from service.store.redis.packing.packing import Packing
from service.store.redis.presence import RedisPresence

_ADD = Path(__file__).with_name("add.lua").read_text(encoding="utf-8")
_FIELDS = ("models_revision", "model_version", "target_model", "target_state")
_MOVE = """
-- KEYS  meta, what the request did before (any key for one without a name)
-- ARGV  revision, active, target, state ("" = none), request ("" = it has no name), seconds to
--       remember it
local now = redis.call('HGET', KEYS[1], 'models_revision') or '0'
if now ~= ARGV[1] or ARGV[5] ~= '' and redis.call('EXISTS', KEYS[2]) == 1 then
  return 0
end
for i, name in ipairs({'model_version', 'target_model', 'target_state'}) do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', KEYS[1], name)
  else
    redis.call('HSET', KEYS[1], name, ARGV[i + 1])
  end
end
if ARGV[5] ~= '' then
  redis.call('SET', KEYS[2], ARGV[5], 'EX', ARGV[6])
end
return redis.call('HINCRBY', KEYS[1], 'models_revision', 1)
"""


class RedisModels:
    """A `ModelStore` on a Valkey or Redis server."""

    def __init__(self, client: RedisClient, prefix: str = "ss:") -> None:
        """Keep it by `client`, under a prefix."""
        self._client = client
        self._meta = f"{prefix}meta"
        self._record, self._job = f"{prefix}record:", f"{prefix}job:"
        self._once = f"{prefix}models:once:"
        self._packing = Packing(client, prefix)
        self._move, self._add = client.script(_MOVE), client.script(_ADD)
        self._presence = RedisPresence(client, f"{prefix}models:replicas")

    async def pointer(self) -> ModelPointer:
        """Which model serves at the moment."""
        found: list[bytes | None] = await self._client.ask("HMGET", self._meta, *_FIELDS)
        revision, active, target, state = (None if f is None else f.decode() for f in found)
        return ModelPointer(int(revision or 0), active, target, cast(TargetState | None, state))

    async def was_done(self, once: Once) -> bool:
        """Whether an earlier request with this name changed it; see `ModelStore.was_done`."""
        found: bytes | None = await self._client.ask("GET", self._once + once.key, confirmed=True)
        if found is not None:
            once.check(found.decode())
        return found is not None

    async def move(
        self, before: ModelPointer, after: ModelPointer, once: Once | None = None
    ) -> ModelPointer | None:
        """Change the pointer, if it is `before` still; see `ModelStore.move`."""
        name, request = ("", "") if once is None else (once.key, once.request)
        wanted = [after.active or "", after.target or "", after.state or "", request, REMEMBERED_S]
        if not await self._move([self._meta, self._once + name], [before.revision, *wanted]):
            return None
        return ModelPointer(before.revision + 1, after.active, after.target, after.state)

    async def add(self, vectors: Sequence[SecondVectors], step: JobStep) -> int:
        """Store vectors of the target and a job's progress; see `ModelStore.add`."""
        model = vectors[0].record.model_version if vectors else (await self.pointer()).target or ""
        keys = [self._meta, self._job + step.lease.job_id]
        arguments: list[Argument] = [model, step.lease.token, step.checkpoint]
        arguments += [step.after, step.done]
        records = await self._packing.packed([each.record for each in vectors])
        for each, record in zip(vectors, records, strict=True):
            keys.append(self._record + record.streamer_id)
            arguments += [each.version, *made_by_model(record)]
        stored = int(await self._add(keys, arguments))
        if stored == -1:
            raise LeaseLost("the job that this is a step of is run by others, or further")
        if stored == -2:
            raise NotTheTarget(f"{model} is no target any more")
        return stored

    async def note_replica(self, replica: str, held: Mapping[str, Any]) -> None:
        """Tell what a replica holds."""
        await self._presence.note(replica, held)

    async def forget_replica(self, replica: str) -> None:
        """Forget a replica, which stops."""
        await self._presence.forget(replica)

    async def replicas(self, seen_within_s: float = SEEN_S) -> dict[str, Mapping[str, Any]]:
        """What replicas hold, of those that told it lately."""
        return await self._presence.seen(seen_within_s)
