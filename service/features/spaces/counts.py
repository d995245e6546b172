"""What `/metrics` tells of spaces: what is served, how old it is, what could not be loaded."""

import time
from collections.abc import Iterator

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.engine.spaces.active import ActiveSpaces
from service.features.spaces.following import SpaceFollower


class SpaceCounts(Collector):
    """Tells of the spaces of this replica."""

    def __init__(self, active: ActiveSpaces, follower: SpaceFollower) -> None:
        """Tell of what is served, and what should be."""
        self._active = active
        self._follower = follower

    def collect(self) -> Iterator[Metric]:
        """All metric families, read at this moment."""
        families = {
            name: GaugeMetricFamily(f"streamer_space_{name}", about, labels=["space"])
            for name, about in (
                ("streamers", "Streamers of the generation that is served."),
                ("with_neighbours", "Streamers of it that came with neighbours."),
                ("users", "Users of the generation that is served."),
                ("age_seconds", "Since the generation that is served was handed over."),
                ("generations", "Generations that are kept."),
                ("refused_generations", "Generations that are kept and failed their checks."),
                ("behind", "1 while this replica does not serve the generation that it should."),
            )
        }
        now, unread = time.time(), self._follower.unread
        is_stuck = self._follower.trouble is not None
        for space, record in list(self._follower.records.items()):
            served, active = self._active.get(space), record.active
            if served is not None:
                generation = served.generation
                families["streamers"].add_metric([space], len(generation.streamer_ids))
                families["users"].add_metric([space], len(generation.user_ids))
                families["age_seconds"].add_metric([space], now - generation.created_at)
            if active is not None:
                families["with_neighbours"].add_metric([space], active.neighbours or 0)
            held = None if active is None else self._follower.holds(active.chunks_id)
            is_other = active is not None and (
                held is None or served is None or held.generation is not served.generation
            )
            is_behind = is_other or is_stuck or space in unread
            families["behind"].add_metric([space], int(is_behind))
            families["generations"].add_metric([space], len(record.generations))
            refused = sum(not g.passed for g in record.generations)
            families["refused_generations"].add_metric([space], refused)
        for space in unread - self._follower.records.keys():
            families["behind"].add_metric([space], 1)
        yield from families.values()
