"""How the service is: what probes, metrics and verification read."""

from collections.abc import Callable
from dataclasses import dataclass

from service.engine.serving import Serving


@dataclass(frozen=True, eq=False)
class Operations:
    """The parts that report their state.

    Attributes:
        serving: the model that answers.
        store_name: what stands behind the store, for people.
        store_trouble: what has been wrong with the store for longer than some seconds; None when
            nothing has.
        grace_s: trouble with the store that lasts no longer leaves the service ready.
    """

    serving: Serving
    store_name: str
    store_trouble: Callable[[float], str | None]
    grace_s: float

    def why_not_ready(self) -> str | None:
        """Why reads, writes or fresh answers don't work, for people; None while they do.

        A store that blips for seconds changes nothing: answers come from memory.
        """
        return self._wrong_for(self.grace_s)

    def why_degraded(self) -> str | None:
        """What is wrong at the moment, however short it has been; None when nothing is."""
        return self._wrong_for(0.0)

    def _wrong_for(self, longer_than_s: float) -> str | None:
        follower = self.serving.follower
        if not follower.is_ready:
            return "the index is being built from the store"
        return self.store_trouble(longer_than_s) or follower.behind_for(longer_than_s)
