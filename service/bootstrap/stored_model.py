"""Makes sure that stored vectors and the bundle belong together."""

from collections.abc import Callable

from service.errors import ModelMismatch
from service.features.models.reencode import is_incomplete, reencode_all
from service.features.streamers.write_pipeline import WritePipeline
from service.settings import Settings
from service.store.base import StreamerStore
from service.store.redis.backup import RESTORING


async def settle_model(
    store: StreamerStore,
    model_version: str,
    writes: WritePipeline,
    settings: Settings,
    tell: Callable[[str], None],
) -> None:
    """Make sure that stored vectors and the bundle belong together.

    Raises:
        ModelMismatch: they do not, and re-encoding was not asked for.
    """
    stored = await store.model_version()
    if stored == model_version:
        return
    if stored == RESTORING:
        raise ModelMismatch(
            "a restore of the store was interrupted: run `python -m service restore` again"
        )
    if stored is not None and await store.count() > 0:
        if not settings.reencode:
            if is_incomplete(stored):
                raise ModelMismatch(
                    f"the store was not re-encoded to the end ({stored}): start with --reencode to "
                    f"encode the rest for {model_version}"
                )
            raise ModelMismatch(
                f"the store holds vectors of model {stored}, the bundle is "
                f"{model_version}: start with that model's bundle, or with --reencode to "
                "encode all stored profiles again"
            )
        what = f"stored profiles are being encoded again, for model {model_version}"
        tell(what)
        await reencode_all(
            store, writes, model_version, tell=lambda done, all_: tell(f"{what}: {done} of {all_}")
        )
    await store.set_model_version(model_version)
