"""Profiles that are large enough to be read and dumped in a thread."""

from collections.abc import Callable
from typing import TypeVar

from model_export.contract.streamer import StreamerProfile
from service.engine.work.lanes import Lane, Lanes

Result = TypeVar("Result")
_ITEMS = 100
"""Videos and lives of a profile that takes more than a few milliseconds."""
_CHARACTERS = 1000
"""Characters of its texts and tags; a Chinese one takes up to 7 µs."""


def is_large(profile: StreamerProfile) -> bool:
    """Whether it has many videos and lives, long texts, or any picture, sound or vector."""
    return (
        len(profile.videos) + len(profile.lives) > _ITEMS
        or profile.avatar is not None
        or any(v.cover is not None or v.audio is not None for v in profile.videos)
        or any(v.cover is not None or v.audio is not None or v.frames for v in profile.lives)
        or _characters(profile) > _CHARACTERS
    )


def _characters(profile: StreamerProfile) -> int:
    shown = [profile.bio, *(v.title for v in profile.videos), *(v.title for v in profile.lives)]
    tags = [profile.tags, *(v.tags for v in profile.videos)]
    return sum(map(len, filter(None, shown))) + sum(sum(map(len, each)) for each in tags)


async def beside_if_large(
    lanes: Lanes | None,
    profile: StreamerProfile,
    call: Callable[[], Result],
    lane: Lane = Lane.INTERACTIVE,
) -> Result:
    """What a call comes to, in a thread if the profile is large and there are threads.

    Raises:
        Overloaded: too much work waits already.
        Exception: whatever the call raises.
    """
    if lanes is None or not is_large(profile):
        return call()
    return await lanes.run(call, lane)
