"""Makes sure that stored vectors and the bundle belong together."""

from collections.abc import Callable

from service.features.models.reencode import reencode_all
from service.features.streamers.write_pipeline import WritePipeline
from service.settings import Settings
from service.store.base import StreamerStore
from service.store.opening import check_model


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
    if await check_model(store, model_version, reencode=settings.reencode):
        what = f"stored profiles are being encoded again, for model {model_version}"
        tell(what)
        await reencode_all(
            store, writes, model_version, tell=lambda done, all_: tell(f"{what}: {done} of {all_}")
        )
    if await store.model_version() != model_version:
        await store.set_model_version(model_version)
