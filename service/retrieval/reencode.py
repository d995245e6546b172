"""All stored profiles into the vectors of another model."""

import json
import logging

from model_export.contract.streamer import StreamerProfile
from service.retrieval.profiles import Profiles
from service.store.base import Refused, StreamerStore, Upsert

_log = logging.getLogger(__name__)
_CHUNK = 200


async def reencode_all(store: StreamerStore, profiles: Profiles) -> int:
    """Encode every stored profile again; the number of those that were.

    Vectors of two models must never be searched together, so the store's model version says that
    it is under way until the last one is written: whoever starts in between is refused or begins
    again, and a profile that has the new model's vectors already is skipped.
    """
    await store.set_model_version(f"incomplete:{profiles.model_version}")
    after, done = "", 0
    while ids := await store.list_ids(after, _CHUNK):
        after = ids[-1]
        records = [
            record
            for record in await store.get(ids)
            if record is not None and record.model_version != profiles.model_version
        ]
        items = [StreamerProfile.model_validate(json.loads(r.profile)) for r in records]
        encoded = await profiles.encode_many([(p, profiles.features(p)) for p in items])
        operations = [
            Upsert(profiles.record(e), r.version) for e, r in zip(encoded, records, strict=True)
        ]
        outcomes = await store.write(operations) if operations else []
        done += sum(not isinstance(outcome, Refused) for outcome in outcomes)
        _log.info("encoded %d streamers again", done)
    return done
