"""Settings of the life cycle of models."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from service.settings.groups import Group


class Models(Group):
    """Changing the model of a running service."""

    folder: Path | None = None
    """Folder below which bundles lie that may be registered, the same on all replicas; by default
    none may."""
    switch_timeout_s: Annotated[float, Field(gt=0, le=600)] = 60
    """How long a backfill waits until every replica has loaded the next model."""
