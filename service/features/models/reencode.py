"""Re-encode all stored profiles for another model."""

import asyncio
import logging
from collections.abc import Sequence

from pydantic import ValidationError

from model_export.contract.errors import first_problem
from model_export.contract.streamer import StreamerProfile
from service.engine.encoding.profile_reader import ToRead
from service.errors import ModelMismatch, ServiceError, Unavailable
from service.features.streamers.outcomes import Acknowledged
from service.features.streamers.write_pipeline import WritePipeline
from service.store.base import INCOMPLETE, Record, StreamerStore
from service.store.progress import Tell, tell_nobody

_log = logging.getLogger(__name__)
_CHUNK = 200
_PAUSES_S = (1.0, 2.0, 5.0, 10.0, 20.0)
"""Before a part that can't be encoded or stored at the moment is tried again."""


async def reencode_all(
    store: StreamerStore,
    writes: WritePipeline,
    model_version: str,
    pauses_s: Sequence[float] = _PAUSES_S,
    tell: Tell = tell_nobody,
) -> int:
    """Encode every stored profile again; the number of those that were.

    Vectors of two models must never be searched together, so the store's model version says that
    it is under way until the last one is written: whoever starts in between is refused or begins
    again, and a profile that has the new model's vectors already is skipped. The event loop serves
    others meanwhile.

    Args:
        store: holds the profiles.
        writes: encodes and stores them.
        model_version: of the model that `writes` encodes with.
        pauses_s: seconds before a part that is unavailable is tried again, one for each attempt.
        tell: told of the progress.

    Raises:
        Unavailable: a part still can't be encoded or stored after the last attempt.
        ModelMismatch: the model can't read a stored profile.
    """
    await store.set_model_version(INCOMPLETE + model_version)
    after, done, looked, total = "", 0, 0, await store.count()
    while ids := await store.list_ids(after, _CHUNK):
        after = ids[-1]
        made_by = await store.model_versions(ids)
        left = [i for i, m in zip(ids, made_by, strict=True) if m not in (None, model_version)]
        for part in await store.chunks(left):
            for pause_s in [*pauses_s, None]:
                count, trouble = await _reencode(store, writes, part, model_version)
                done += count
                if trouble is None:
                    break
                if pause_s is None:
                    raise trouble
                _log.warning("trying again in %g s: %s", pause_s, trouble.detail)
                await asyncio.sleep(pause_s)
        looked += len(ids)
        tell(looked, max(looked, total))
        _log.info("encoded %d streamers again, %d of %d are done", done, looked, total)
    return done


async def _reencode(
    store: StreamerStore, writes: WritePipeline, ids: Sequence[str], model_version: str
) -> tuple[int, Unavailable | None]:
    """How many of some were encoded again, and why others can't be at the moment, if so."""
    done, trouble = 0, None
    try:
        records = [r for r in await store.get(ids) if r and r.model_version != model_version]
        items: list[ToRead] = []
        for record in records:
            items.append(_to_read(record, model_version))
            await asyncio.sleep(0)  # probes are answered meanwhile
        results = await writes.rewrite(items, records)
    except Unavailable as error:
        return 0, error
    for record, result in zip(records, results, strict=True):
        if isinstance(result, Unavailable):
            trouble = result
        elif isinstance(result, ServiceError):
            raise _mismatch(record, model_version, result.detail) from result
        done += isinstance(result, Acknowledged)
    return done, trouble


def _to_read(record: Record, model_version: str) -> ToRead:
    try:
        profile = StreamerProfile.model_validate_json(record.profile)
    except ValidationError as error:
        raise _mismatch(record, model_version, first_problem(error)) from error
    return ToRead(profile, tower_vectors=record.tower_vectors, stored=record.profile)


def _mismatch(record: Record, model_version: str, why: str) -> ModelMismatch:
    return ModelMismatch(
        f"stored streamer {record.streamer_id!r} can't be read by model {model_version}: {why}; "
        "start with --reencode and the bundle of the model before to go back, then change or "
        "delete that streamer"
    )
