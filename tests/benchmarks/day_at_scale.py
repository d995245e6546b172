"""Computes capacity, and a day at 100 million streamers, from what operations cost when measured.

    python -m tests.benchmarks.day_at_scale [--streamers 100000000] [--set write_ms=2.2]

Nothing is run: arrivals of each minute meet the cores that there are, interactive work first, and
what is left goes to a re-encoding that begins at night. Every cost is a measured one, with where it
stands, or says what it was computed from; `--set` replaces one, `--json` prints all of it.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

GB = 1e9
PEAK = 1.7
"""Of the day's mean, at the busiest minute."""


@dataclass(frozen=True)
class Cost:
    """What one operation, or one streamer, takes.

    Attributes:
        value: in the unit.
        unit: of it.
        kind: `measured`, `computed` from measured ones, or `assumed`.
        source: where it is measured, or what it is computed from.
    """

    value: float
    unit: str
    kind: str
    source: str


COSTS: dict[str, Cost] = {
    "search_ms": Cost(
        1.77,
        "core-ms a question and million rows",
        "computed",
        "milvus 2.3.5: 1,128 questions/s on 2 cores at 1 M rows, 16 asked together",
    ),
    "question_ms": Cost(
        9.0,
        "core-ms a question in the service, at most",
        "computed",
        "scale.md: 223 questions/s on 2 cores at 100,000 rows, load generator and Milvus included",
    ),
    "write_ms": Cost(
        2.2, "core-ms a write", "measured", "2 cores: encode 1.5, index .4, HTTP .2, store .1"
    ),
    "tower_ms": Cost(
        0.0,
        "core-ms a write for texts, pictures, sounds",
        "assumed",
        "80 with 20 new titles",
    ),
    "follow_ms": Cost(
        0.044,
        "core-ms a write in each service",
        "computed",
        "performance.md: a million rows from the store in 44 s",
    ),
    "store_writes": Cost(
        4640, "writes/s of one primary", "measured", "2 KB, 64 in flight, appendfsync always"
    ),
    "project_rows": Cost(5100, "rows/s into Milvus", "measured", "scale.md"),
    "encode_rows": Cost(
        3540,
        "rows/s of a core, re-encoding",
        "computed",
        "7,079 rows/s of 2 plain processes, without towers",
    ),
    "store_bytes": Cost(
        1920,
        "bytes a streamer in the store, compacted",
        "measured",
        "scale.md, One machine: no towers, no vectors of covers",
    ),
    "service_bytes": Cost(200, "bytes a streamer in each service", "measured", "scale.md"),
    "milvus_bytes": Cost(
        1024,
        "bytes a streamer in Milvus",
        "computed",
        "128 numbers of 4 bytes, as rows and as lists",
    ),
    "scan_rows": Cost(
        22_700, "rows/s that a start reads", "computed", "performance.md: a million in 44 s"
    ),
    "aof_rows": Cost(
        91_000,
        "rows/s that a starting store reads",
        "computed",
        "performance.md: a million in 11 s",
    ),
    "log_entries": Cost(20_000, "entries of the log", "set", "STREAMER_STORE__LOG_ENTRIES"),
    "core_hour": Cost(0.04, "price of a core for an hour", "assumed", "set your own"),
}


@dataclass(frozen=True)
class Plan:
    """What there is, and what comes.

    Attributes:
        streamers: stored.
        questions: a second, on average over the day.
        writes: a second, likewise.
        services: processes that serve.
        cores: of the machine of each service, and of each query node.
        nodes: query nodes of Milvus.
        memory_gb: of each machine.
        reencode_at: hour at which everybody begins to be encoded again; None: not that day.
        lose_at: hour at which a query node is lost for the rest of the day; None: none is.
    """

    streamers: float = 100e6
    questions: float = 200.0
    writes: float = 50.0
    services: int = 4
    cores: int = 16
    nodes: int = 4
    memory_gb: float = 64.0
    reencode_at: int | None = 2
    lose_at: int | None = 20


@dataclass(frozen=True)
class Hour:
    """One hour of the day, at its busiest minute.

    Attributes:
        hour: of the day.
        questions: a second.
        writes: a second.
        search: utilisation of the query nodes.
        service: utilisation of the services by questions and writes.
        store: utilisation of the store's one thread.
        waiting: questions that wait for a core of the query nodes; endless where it is above 1.
        backlog: questions not answered in time at the end of the hour, if none were refused.
        left: streamers still to be encoded again.
    """

    hour: int
    questions: float
    writes: float
    search: float
    service: float
    store: float
    waiting: float
    backlog: float
    left: float


def daily(hour: float) -> float:
    """Traffic at an hour relative to the day's mean: least at 9, most at 21, as people watch."""
    return 1.0 + (PEAK - 1.0) * math.cos((hour - 21.0) / 24.0 * 2.0 * math.pi)


def waiting(load: float, cores: int) -> float:
    """Mean number that wait for one of so many cores, by Erlang's C formula.

    Args:
        load: offered, in cores.
        cores: that there are.
    """
    if load >= cores:
        return math.inf
    if load <= 0:
        return 0.0
    # The probability that none is lost (Erlang B), by its recurrence; then C from B.
    blocked = 1.0
    for servers in range(1, cores + 1):
        blocked = load * blocked / (servers + load * blocked)
    waits = blocked / (1.0 - load / cores * (1.0 - blocked))
    return waits * load / (cores - load)


def day(plan: Plan, costs: Mapping[str, Cost]) -> Iterator[Hour]:
    """The hours of a day, minute by minute."""
    cost = {name: each.value for name, each in costs.items()}
    search_s = cost["search_ms"] / 1000 * plan.streamers / 1e6
    write_s = (cost["write_ms"] + cost["tower_ms"]) / 1000
    of_services = plan.services * plan.cores
    backlog, left = 0.0, 0.0
    for hour in range(24):
        if hour == plan.reencode_at:
            left = plan.streamers
        nodes = plan.nodes - int(plan.lose_at is not None and hour >= plan.lose_at)
        busiest = Hour(hour, 0, 0, 0, 0, 0, 0, 0, 0)
        for minute in range(60):
            share = daily(hour + minute / 60)
            questions, writes = plan.questions * share, plan.writes * share
            search = questions * search_s
            service = (
                questions * cost["question_ms"] / 1000
                + writes * write_s
                + writes * cost["follow_ms"] / 1000 * plan.services
            )
            backlog = max(0.0, backlog + (search - nodes * plan.cores) / search_s * 60)
            free = max(0.0, of_services - service)
            pace = min(free * cost["encode_rows"], cost["project_rows"] - writes)
            left = max(0.0, left - max(0.0, pace) * 60)
            if questions >= busiest.questions:
                busiest = Hour(
                    hour,
                    questions,
                    writes,
                    search / (nodes * plan.cores),
                    service / of_services,
                    writes / cost["store_writes"],
                    waiting(search, nodes * plan.cores),
                    0.0,
                    0.0,
                )
        yield replace(busiest, backlog=backlog, left=left)


def capacity(streamers: float, plan: Plan, costs: Mapping[str, Cost]) -> dict[str, float]:
    """What so many streamers need, at the plan's traffic and machines.

    Query nodes have the memory for all rows, one of them lost, and are busy to 60 % at the peak.
    """
    cost = {name: each.value for name, each in costs.items()}
    search_ms = cost["search_ms"] * streamers / 1e6
    cores = plan.questions * PEAK * search_ms / 1000 / 0.6
    index_gb = cost["milvus_bytes"] * streamers / GB
    nodes = max(math.ceil(cores / plan.cores), math.ceil(index_gb / (plan.memory_gb * 0.8))) + 1
    start_s = streamers / cost["scan_rows"]
    return {
        "streamers": streamers,
        "store_gb": cost["store_bytes"] * streamers / GB,
        "service_gb": cost["service_bytes"] * streamers / GB,
        "milvus_gb": index_gb,
        "query_nodes": nodes,
        "question_core_ms": search_ms + cost["question_ms"],
        "price_of_a_million_questions": (search_ms + cost["question_ms"])
        / 1000
        * 1e6
        / 3600
        * cost["core_hour"],
        "start_of_a_service_h": start_s / 3600,
        "start_of_the_store_h": streamers / cost["aof_rows"] / 3600,
        "into_milvus_h": streamers / cost["project_rows"] / 3600,
        "encoding_core_h": streamers / cost["encode_rows"] / 3600,
        "most_writes_during_a_start": cost["log_entries"] / start_s,
        "log_entries_for_a_start": plan.writes * PEAK * start_s,
    }


def _table(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(c.rjust(w) for c, w in zip(r, widths, strict=True)) for r in rows)


def _set(costs: Mapping[str, Cost], changes: list[str]) -> dict[str, Cost]:
    found = dict(costs)
    for change in changes:
        name, _, value = change.partition("=")
        if name not in found:
            raise SystemExit(f"--set {change}: the costs are {', '.join(found)}")
        found[name] = replace(found[name], value=float(value), kind="given", source="--set")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in asdict(Plan()).items():
        kind = float if isinstance(value, float) else int
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=value)
    parser.add_argument("--set", action="append", default=[], metavar="COST=VALUE")
    parser.add_argument("--json", action="store_true")
    given: dict[str, Any] = vars(parser.parse_args())
    as_json, costs = given.pop("json"), _set(COSTS, given.pop("set"))
    plan = Plan(**given)
    hours = list(day(plan, costs))
    sizes = [capacity(streamers, plan, costs) for streamers in (10e6, 100e6, 1e9)]
    if as_json:
        known = {name: asdict(cost) for name, cost in costs.items()}
        found = {"costs": known, "capacity": sizes, "day": [asdict(hour) for hour in hours]}
        sys.stdout.write(json.dumps(found) + "\n")
        return
    lines = [f"{n}: {c.value:g} {c.unit} ({c.kind}: {c.source})" for n, c in costs.items()]
    header = [["", *(f"{size['streamers']:,.0f}" for size in sizes)]]
    needs = [
        [name, *(f"{s[name]:,.2f}" for s in sizes)] for name in sizes[0] if name != "streamers"
    ]
    names = ["hour", "questions/s", "writes/s", "search", "service", "store", "waiting", "backlog"]
    shown = [
        [
            f"{h.hour:02d}",
            f"{h.questions:.0f}",
            f"{h.writes:.0f}",
            f"{h.search:.2f}",
            f"{h.service:.2f}",
            f"{h.store:.3f}",
            f"{h.waiting:.1f}",
            f"{h.backlog:,.0f}",
            f"{h.left / 1e6:.1f} M",
        ]
        for h in hours
    ]
    parts = ["\n".join(lines), _table(header + needs)]
    most = capacity(plan.streamers, plan, costs)["most_writes_during_a_start"]
    peak = plan.writes * PEAK
    if most < peak:
        parts.append(
            f"With {plan.streamers:,.0f} streamers and {peak:.0f} writes/s a service that starts "
            f"does not catch up: the log covers {most:.1f} writes/s meanwhile. Set "
            "STREAMER_STORE__LOG_ENTRIES."
        )
    parts += [f"{plan}", _table([[*names, "to encode"], *shown])]
    sys.stdout.write("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
