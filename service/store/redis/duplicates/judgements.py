"""Judgements on Valkey or Redis. A pair is "<lower id> <higher id>": no id has a blank.

ss:judgements        hash: JSON of a `JudgementRecord` by pair
ss:judgements:of     sorted set, each with score 0: each pair in both orders, so that those of a
                     streamer stand together
ss:judgements:news   sorted set: pairs that were judged, or not any more, by the order of that
ss:judgements:order  the last order
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict

from pydantic import TypeAdapter

from service.store.duplicates import JudgementNews, JudgementRecord
from service.store.redis.client import Argument, RedisClient

_CHANGE = """
-- KEYS  judgements, of, news, order, the records of both streamers
-- ARGV  pair, pair reversed, judgement without its order (empty: take it back)
local before = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if ARGV[3] == '' then
  if before == '' then
    return {1, ''}
  end
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('ZREM', KEYS[2], ARGV[1], ARGV[2])
else
  local is_gone = {redis.call('EXISTS', KEYS[5]) == 0, redis.call('EXISTS', KEYS[6]) == 0}
  if is_gone[1] or is_gone[2] then
    return {0, (is_gone[1] and 'a' or '') .. (is_gone[2] and 'b' or '')}
  end
end
local order = redis.call('INCR', KEYS[4])
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', order) .. ' ' .. ARGV[3])
  redis.call('ZADD', KEYS[2], 0, ARGV[1], 0, ARGV[2])
end
redis.call('ZADD', KEYS[3], order, ARGV[1])
return {1, before}
"""
_RECORD = TypeAdapter(JudgementRecord)
_CHUNK = 1000
_ASKED_AT_ONCE = 64
"""Streamers whose judgements are looked for at once, with others in between."""


class RedisJudgements:
    """A `JudgementStore` on a Valkey or Redis server."""

    def __init__(self, client: RedisClient, prefix: str = "ss:") -> None:
        """Keep judgements by `client`, under a prefix."""
        self._client = client
        self._all, self._of = f"{prefix}judgements", f"{prefix}judgements:of"
        self.news_key, self._order = f"{prefix}judgements:news", f"{prefix}judgements:order"
        self._record = f"{prefix}record:"
        self._change = client.script(_CHANGE)

    async def put(self, judgement: JudgementRecord) -> tuple[JudgementRecord | None, list[str]]:
        """Write the judgement of a pair; see `JudgementStore.put`."""
        a, b = judgement.a, judgement.b
        done, told = await self._changed(a, b, _text(judgement))
        if not done:
            return None, [name for name, mark in ((a, b"a"), (b, b"b")) if mark in told]
        return (_judgement(told) if told else None), []

    async def remove(self, a: str, b: str) -> JudgementRecord | None:
        """Take the judgement of a pair back; see `JudgementStore.remove`."""
        _, told = await self._changed(a, b, "")
        return _judgement(told) if told else None

    async def get(self, a: str, b: str) -> JudgementRecord | None:
        """The judgement of a pair."""
        found: bytes | None = await self._client.ask("HGET", self._all, f"{a} {b}")
        return None if found is None else _judgement(found)

    async def page(
        self, after: str, limit: int, streamer_id: str | None = None
    ) -> tuple[list[JudgementRecord], str | None]:
        """Judgements in order of their pairs; see `JudgementStore.page`."""
        start, end = (f"[{streamer_id} ", f"({streamer_id}!") if streamer_id else ("-", "+")
        found: list[JudgementRecord] = []
        while True:
            pairs: list[bytes] = await self._client.ask(
                *("ZRANGEBYLEX", self._of, f"({after}" if after else start, end),
                *("LIMIT", 0, _CHUNK),
            )
            for pair in pairs:
                if len(found) == limit:
                    return found, after
                after = pair.decode()
                one, other = after.split(" ")
                if streamer_id or one < other:
                    found += await self._read([" ".join(sorted((one, other)))])
            if len(pairs) < _CHUNK:
                return found, None

    async def among(self, streamer_ids: Collection[str]) -> list[JudgementRecord]:
        """Judgements of pairs with both ends among some streamers."""
        wanted, names = frozenset(streamer_ids), sorted(streamer_ids)
        inside: list[str] = []
        for start in range(0, len(names), _ASKED_AT_ONCE):
            part = names[start : start + _ASKED_AT_ONCE]
            asked = [("ZRANGEBYLEX", self._of, f"[{name} ", f"({name}!") for name in part]
            pairs = (pair.decode() for row in await self._client.ask_all(asked) for pair in row)
            ends = (tuple(pair.split(" ")) for pair in pairs)
            inside += [f"{one} {other}" for one, other in ends if one < other and other in wanted]
        found: list[JudgementRecord] = []
        for start in range(0, len(inside), _CHUNK):
            found += await self._read(inside[start : start + _CHUNK])
        return found

    async def news(self) -> JudgementNews:
        """What is not evaluated yet; see `JudgementStore.news`."""
        changed: list[bytes] = await self._client.ask(
            "ZRANGE", self.news_key, 0, _CHUNK - 1, "WITHSCORES"
        )
        pairs = [pair.decode() for pair in changed[::2]]
        if not pairs:
            return JudgementNews()
        rows: list[bytes | None] = await self._client.ask("HMGET", self._all, *pairs)
        judged = [_judgement(row) for row in rows if row is not None]
        unjudged = [
            (pair.split(" ")[0], pair.split(" ")[1])
            for pair, row in zip(pairs, rows, strict=True)
            if row is None
        ]
        return JudgementNews(judged, unjudged, int(float(changed[-1])))

    async def all(self) -> dict[str, bytes]:
        """Every judgement as it is stored, by pair."""
        found: dict[bytes, bytes] = await self._client.ask("HGETALL", self._all)
        return {pair.decode(): text for pair, text in found.items()}

    async def restore(self, judgements: Mapping[str, bytes]) -> None:
        """Replace all judgements by those of a backup."""
        commands: list[list[Argument]] = [["DEL", self._all, self._of, self.news_key, self._order]]
        last = 0
        for pair, text in judgements.items():
            one, other = pair.split(" ")
            commands.append(["HSET", self._all, pair, text])
            commands.append(["ZADD", self._of, 0, pair, 0, f"{other} {one}"])
            last = max(last, _judgement(text).order)
        commands.append(["SET", self._order, last])
        await self._client.ask_together(commands)

    async def _changed(self, a: str, b: str, text: str) -> tuple[int, bytes]:
        keys = [self._all, self._of, self.news_key, self._order]
        done, told = await self._change(
            [*keys, self._record + a, self._record + b], [f"{a} {b}", f"{b} {a}", text]
        )
        return int(done), told

    async def _read(self, pairs: Sequence[str]) -> list[JudgementRecord]:
        rows: list[bytes | None] = await self._client.ask("HMGET", self._all, *pairs)
        return [_judgement(row) for row in rows if row is not None]


def _text(judgement: JudgementRecord) -> str:
    fields = asdict(judgement)
    del fields["order"]
    return json.dumps(fields, ensure_ascii=False)


def _judgement(stored: bytes) -> JudgementRecord:
    order, text = stored.split(b" ", 1)
    return _RECORD.validate_python({**json.loads(text), "order": int(order)})
