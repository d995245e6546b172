"""Settings of spaces: ID-embeddings that the recommender hands over."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from service.settings.groups import MIB, Group


class Spaces(Group):
    """ID-embeddings that the recommender hands over, by generation."""

    max_spaces: Annotated[int, Field(ge=1, le=256)] = 16
    """Most spaces."""
    keep: Annotated[int, Field(ge=2, le=100)] = 4
    """Generations of a space that are kept; beyond, the oldest that is neither served nor the one
    before goes when another comes."""
    max_streamers: Annotated[int, Field(ge=1, le=10_000_000)] = 1_000_000
    """Most streamers of a generation."""
    max_users: Annotated[int, Field(ge=0, le=50_000_000)] = 5_000_000
    """Most users of a generation."""
    max_dim: Annotated[int, Field(ge=1, le=4096)] = 1024
    """Largest width of vectors."""
    upload_limit_bytes: Annotated[int, Field(ge=1024)] = 8 << 30
    """Largest hand-over, as it is sent."""
    spool_dir: Path | None = None
    """Folder of hand-overs that are being received and checked, by default `spaces` below the data
    folder. Each service has its own."""
    chunks_dir: Path | None = None
    """Folder that all services and commands on the store share, and no other store, such as one of
    a network disk: vectors of new generations are there, and not in the store's memory. Backups
    contain them all the same."""
    spool_bytes: Annotated[int, Field(ge=MIB)] = 24 << 30
    """Most bytes of files there; beyond, 507. A hand-over takes its size twice, three times as
    Parquet."""
    min_known: Annotated[float, Field(ge=0, le=1)] = 0.6
    """Share of a generation's streamers that must be stored here; with fewer it is refused."""
    min_overlap: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Least overlap of neighbourhoods with the generation before, beyond chance: 0 = by chance, 1 =
    the same neighbours; below, the rows are taken for shuffled. Likewise the least correlation of
    audiences; of narrow vectors 3 / their width, at most 0.5, where that is more."""
    min_interactions: Annotated[float, Field(ge=0)] = 10
    """A streamer counts as established with so many interactions, where they are handed over."""
    promote_timeout_s: Annotated[float, Field(gt=0)] = 300
    """How long a promotion waits until every replica has the generation in memory; one that has not
    follows when it has."""
