"""Writes of a client through a network that delays, cuts and resets; nothing is lost or doubled."""

import random
from dataclasses import dataclass, field
from typing import Any

from service.client import Client, NotFound, OutcomeUnknown, Patience
from tests.reliability.fault_proxy import HTTP_WRITES, FaultProxy
from tests.service.process import Service

PATIENCE = Patience(
    deadline_s=60, attempt_s=2, attempts=20, first_pause_s=0.01, longest_pause_s=0.2
)
"""Answers that come later than `attempt_s` are given up."""
LATE_S = 2.5
TAG = "cooking"


@dataclass
class Told:
    """What a client was told, and what it therefore expects.

    Attributes:
        there: name by id, of streamers that are stored.
        writes: that were acknowledged.
        faults: how often the network failed.
    """

    there: dict[str, str] = field(default_factory=dict[str, str])
    writes: int = 0
    faults: int = 0


def is_keyed(service: Service) -> bool:
    """Whether the service documents `Idempotency-Key`: without it a lost answer costs a version."""
    document: dict[str, Any] = service.client.get("/openapi.json").json()
    route = document["paths"]["/v1/streamers/{streamer_id}"]
    parameters = route["patch"].get("parameters", ())
    return any(p["name"].lower() == "idempotency-key" for p in parameters)


def write_through_faults(
    service: Service, writes: int, share: float, late: int, seed: int = 0
) -> tuple[Told, FaultProxy]:
    """So many writes, one after the other, of which a share meets one or two faults.

    Args:
        service: behind the proxy.
        writes: puts, patches and deletes.
        share: of the writes that meet a fault.
        late: answers that come after the client has given them up.
        seed: of all choices.
    """
    choices, told, keyed = random.Random(seed), Told(), is_keyed(service)
    port = int(service.url.rpartition(":")[2])
    with FaultProxy(port, HTTP_WRITES) as proxy:
        faults = (proxy.cut_after_commit, proxy.cut_in_mid_reply, proxy.reset_before_commit)
        lates = set(choices.sample(range(writes), late))
        with Client(f"http://127.0.0.1:{proxy.port}", patience=PATIENCE) as client:
            for i in range(writes):
                if i in lates:
                    proxy.answer_late(LATE_S)
                    told.faults += 1
                elif choices.random() < share:
                    times = choices.choice((1, 1, 1, 2))
                    choices.choice(faults)(times)
                    told.faults += times
                proxy.delay_s = choices.choice((0, 0, 0, 0.002))
                _write(client, told, choices, f"state {i}", keyed)
            proxy.delay_s = 0
    return told, proxy


def _write(client: Client, told: Told, choices: random.Random, state: str, keyed: bool) -> None:
    """One write, and what it was acknowledged as."""
    known = sorted(told.there)
    kind = choices.choice(("new", "put", "patch", "delete")) if len(known) > 3 else "new"
    streamer_id = choices.choice(known) if known and kind != "new" else f"s-{told.writes}"
    if kind == "patch" and not keyed:
        kind = "put"  # a service that knows no keys: this client would not repeat a patch
    if kind == "delete":
        try:
            client.delete(streamer_id)
        except NotFound:
            assert not keyed  # without keys, of a delete whose answer was lost
        del told.there[streamer_id]
    elif kind == "patch":
        client.patch(streamer_id, {"name": state})
        told.there[streamer_id] = state
    else:
        profile = {"name": state, "tags": [TAG]}
        try:
            client.put(streamer_id, profile, only_new=kind == "new" and keyed)
        except OutcomeUnknown:
            assert not keyed
        told.there[streamer_id] = state
    told.writes += 1


def check(service: Service, told: Told) -> tuple[int, int]:
    """How many acknowledged writes are lost, and how many were done twice."""
    stored = {i: s["profile"]["name"] for i, s in service.streamers().items()}
    lost = sum(stored.get(i) != name for i, name in told.there.items())
    lost += len(stored.keys() - told.there.keys())
    sequence = service.put("last", tags=[TAG])
    assert service.similar(sequence, max(1000, len(stored) + 1), tags=[TAG]) == {*stored, "last"}
    return lost, sequence - 1 - told.writes
