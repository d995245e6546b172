"""How the service is: what probes, metrics and verification read."""

from collections.abc import Callable
from dataclasses import dataclass

from service.engine.serving import Serving
from service.store.trouble import StoreHealth


@dataclass(frozen=True, eq=False)
class Operations:
    """The parts that report their state.

    Attributes:
        serving: the model that answers.
        store_name: what stands behind the store, for people.
        store_health: tells what is wrong with the store.
        grace_s: silence of the store that lasts no longer leaves the service ready.
        audit_trouble: tells why the audit log can't be written, if so.
        index_trouble: tells why an index that is elsewhere can't be asked, if so.
        index_warning: tells which of its clusters can't be asked though another one can.
        keys_trouble: tells which keys can't be read, if any.
    """

    serving: Serving
    store_name: str
    store_health: StoreHealth
    grace_s: float
    audit_trouble: Callable[[], str | None] = lambda: None
    index_trouble: Callable[[], str | None] = lambda: None
    index_warning: Callable[[], str | None] = lambda: None
    keys_trouble: Callable[[], str | None] = lambda: None

    def why_not_ready(self) -> str | None:
        """Why questions have no fresh answers, for people; None while they have.

        A store that blips for seconds, or refuses writes alone, changes nothing: answers come from
        memory, and no other replica could write either.
        """
        return self._starting() or self.index_trouble() or self._wrong_for(self.grace_s)

    def why_degraded(self) -> str | None:
        """What is wrong at the moment, however short it has been; None when nothing is."""
        store = self.store_health.trouble() or self._wrong_for(0.0)
        others = (self.index_trouble(), self.index_warning(), self.audit_trouble())
        found = (store, *others, self.keys_trouble())
        return self._starting() or "; ".join(filter(None, found)) or None

    def _starting(self) -> str | None:
        is_ready = self.serving.follower.is_ready
        return None if is_ready else "the index is being built from the store"

    def _wrong_for(self, longer_than_s: float) -> str | None:
        return self.store_health.silence(longer_than_s) or self.serving.follower.behind_for(
            longer_than_s
        )
