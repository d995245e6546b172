"""The embedded store starts beside everything else only where it has something to read."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from service.commands.serve import _begun
from service.settings import Settings
from service.store.embedded.supervisor import EmbeddedStore


def test_a_store_whose_log_was_lost_is_not_begun(tmp_path: Path) -> None:
    """It would have made an empty one before anybody checks what was acknowledged."""
    settings = Settings(bundle=tmp_path, data_dir=tmp_path)

    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            assert _begun(settings, stack) is None
            settings.store_folder.mkdir()
            assert _begun(settings, stack) is None
            async with EmbeddedStore(settings.store_folder):
                pass
            assert _begun(settings, stack) is not None

    asyncio.run(scenario())
