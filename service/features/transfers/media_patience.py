"""Encoding of many profiles that waits for pictures and sounds which can't be had at the moment."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

from model_export.contract.streamer import StreamerProfile
from service.errors import MediaUnavailable, Overloaded, ServiceError, Unavailable
from service.features.jobs.runner import persist

Done = TypeVar("Done")
IN_VAIN = 3
"""Times that a host is waited for in vain before it is not waited for any more.

An answer in between gives no new hope: that profiles are had does not tell that it was asked.
"""


class MediaPatience:
    """Retries profiles with a passing trouble, and knows the hosts for which that is no use.

    A host that is down for a minute costs no line, and one that is down for good delays the rest of
    a file by a few minutes, not by some for each of its lines.
    """

    def __init__(self) -> None:
        """Wait for every host."""
        self._in_vain = Counter[str]()

    async def encoded(
        self,
        profiles: Sequence[StreamerProfile],
        encode: Callable[[Sequence[int]], Awaitable[Mapping[int, Done | ServiceError]]],
    ) -> dict[int, Done | ServiceError]:
        """What profiles come to, by place; for one that can't be encoded, what is wrong.

        Args:
            profiles: all of them.
            encode: encodes the profiles at some places; only those with a passing trouble come
                again.

        Raises:
            Unavailable: nothing can be encoded, and that did not pass.
        """
        done: dict[int, Done | ServiceError] = {}
        waiting = list(range(len(profiles)))

        async def attempt() -> None:
            nonlocal waiting
            found = await encode(waiting)
            done.update(found)
            troubles = {
                i: e
                for i, e in found.items()
                if isinstance(e, Unavailable) and not self._is_given_up(profiles[i], e)
            }
            waiting = list(troubles)
            if troubles:
                # Fetches of a host that hangs make others wait: their overload must not hide it.
                raise min(troubles.values(), key=lambda error: isinstance(error, Overloaded))

        while True:
            try:
                await persist(attempt)
            except MediaUnavailable:
                given_up = {i: e for i in waiting if isinstance(e := done[i], MediaUnavailable)}
                self._in_vain.update({_host_of(profiles[i], e) for i, e in given_up.items()})
                waiting = [i for i in waiting if i not in given_up]
                if not waiting:
                    return done
            else:
                return done

    def _is_given_up(self, profile: StreamerProfile, error: ServiceError) -> bool:
        if not isinstance(error, MediaUnavailable):
            return False
        return self._in_vain[_host_of(profile, error)] >= IN_VAIN


def _host_of(profile: StreamerProfile, error: MediaUnavailable) -> str:
    """The host of the URL that an error names by its JSON pointer."""
    found: Any = profile
    for part in error.errors[0].pointer.split("/")[1:]:
        found = found[int(part)] if part.isdigit() else getattr(found, part)
    return urlsplit(str(found)).hostname or ""
