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
        store_problem: what is wrong with the store at the moment; None when nothing is.
    """

    serving: Serving
    store_name: str
    store_problem: Callable[[], str | None]

    def why_not_ready(self) -> str | None:
        """For people; None when reads and writes work, on an index that is not behind."""
        if not self.serving.follower.is_ready:
            return "the index is being built from the store"
        return self.store_problem() or self.serving.follower.behind_because
