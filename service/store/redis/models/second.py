"""Fields of a record's hash that a second model made: `next_<field>`, beside those of the first.

Which of the two is served is not told by the place but by `model_version` and `next_model_version`:
a change of the model that serves, and a change back, move nothing. The second ones are those of the
record only where `next_version` is its version: a release that does not know them writes the first
ones alone.
"""

from collections.abc import Sequence
from typing import Any

from service.store.base import Record
from service.store.redis.client import Argument, RedisClient

SECOND = "next_"
MADE_BY_MODEL: tuple[str, ...] = (
    "embedding",
    "content",
    "facets",
    "status",
    "modalities",
    "id_embedding",
    "tower_vectors",
)
_MODEL, _VERSION = "model_version", "version"
_SECOND: tuple[str, ...] = (*MADE_BY_MODEL, _MODEL, _VERSION)


def made_by_model(record: Record) -> list[Argument]:
    """What a model made of a profile, in the order of `MADE_BY_MODEL`."""
    return [getattr(record, name) for name in MADE_BY_MODEL]


def wide(names: Sequence[str]) -> list[str]:
    """Names of fields, and after them all that a second model made; for `narrowed`."""
    return [*names, *(SECOND + name for name in _SECOND)]


def narrowed(row: Sequence[Any], names: Sequence[str], model: str) -> list[Any]:
    """The fields `names` as a model made them, of a row of `wide`.

    Those of the first model, where neither is `model`; `names` has `version` and `model_version`.
    """
    first = list(row[: len(names)])
    second: dict[str, Any] = dict(zip(_SECOND, row[len(names) :], strict=True))
    wanted, is_current = model.encode(), second[_VERSION] == first[names.index(_VERSION)]
    if is_current and second[_MODEL] == wanted and first[names.index(_MODEL)] != wanted:
        for at, name in enumerate(names):
            first[at] = second.get(name, first[at])
    return first


class ModelRows:
    """Reads hashes of records; of the fields that a model made, those of one model.

    Attributes:
        model: whose fields are read; None = the first ones, whoever made them.
    """

    def __init__(self, client: RedisClient, model: str | None = None) -> None:
        """Nothing is read yet."""
        self.model = model
        self._client = client
        self._is_wide = False

    async def read(self, keys: Sequence[str], names: Sequence[str]) -> list[list[Any]]:
        """Fields `names` of each hash.

        Most hashes have one model's alone. So the first ones are read, and both where these are
        another model's. Where most of those that were read last were, as after a promotion, both
        are read at once.
        """
        if self.model is None or not {_MODEL, *MADE_BY_MODEL} & set(names):
            return await self._client.ask_all([("HMGET", key, *names) for key in keys])
        asked = [*names, *(name for name in (_MODEL, _VERSION) if name not in names)]
        both, is_wide = wide(asked), self._is_wide
        fields = both if is_wide else asked
        rows = await self._client.ask_all([("HMGET", key, *fields) for key in keys])
        at, mine = asked.index(_MODEL), self.model.encode()
        others = [i for i, row in enumerate(rows) if row[at] not in (None, mine)]
        self._is_wide = 2 * len(others) > len(rows)
        again = [rows[i] for i in others]
        if not is_wide:
            again = await self._client.ask_all([("HMGET", keys[i], *both) for i in others])
        for i, row in zip(others, again, strict=True):
            rows[i] = narrowed(row, asked, self.model)
        return [row[: len(names)] for row in rows]


async def set_model(client: RedisClient, meta: str, version: str) -> None:
    """Record the model whose vectors are stored; there is no target then."""
    await client.ask_together(
        [
            ("HSET", meta, "model_version", version),
            ("HDEL", meta, "target_model", "target_state"),
            ("HINCRBY", meta, "models_revision", 1),
        ]
    )


async def kept_models(client: RedisClient, meta: str) -> tuple[str | None, str | None]:
    """The model that serves, and the other one whose vectors are written too; or None."""
    found: list[bytes | None] = await client.ask("HMGET", meta, "model_version", "target_model")
    active, target = (None if name is None else name.decode() for name in found)
    return active, target
