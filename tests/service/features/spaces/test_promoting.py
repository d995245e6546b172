"""What a promotion waits for, and whom it tells of."""

import time
from dataclasses import replace

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.features.spaces.graduation import Graduations
from service.features.spaces.preparing import Preparation
from service.store.spaces import GenerationRecord
from tests.service.features.spaces.hand_overs import STREAMERS, HandOver, promote, send


def test_a_generation_is_held_until_all_had_their_time(
    client: TestClient, handed: HandOver, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_s: list[float] = []
    everywhere = Preparation.everywhere

    async def noted(self: Preparation, space: str, prepared: GenerationRecord) -> None:
        left_s.append(self._follower.records[space].preparing_until - time.time())
        await everywhere(self, space, prepared)

    monkeypatch.setattr(Preparation, "everywhere", noted)
    send(client, "g0", handed.npz()).raise_for_status()
    promote(client, "g0")
    timeout_s = client.app_state["services"].spaces._settings.promote_timeout_s  # type: ignore[index]
    assert left_s[0] > 2 * timeout_s


def test_nobody_who_was_erased_is_told_to_be_established(
    client: TestClient, handed: HandOver
) -> None:
    services = client.app_state["services"]  # type: ignore[index]
    counts = np.zeros(STREAMERS, np.float32)
    send(client, "g0", handed.but(interactions=counts).npz(), promote="true").raise_for_status()
    before = services.spaces.active.get("als")
    counts[:2] = 50
    send(client, "g1", handed.but(interactions=counts).npz(), promote="true").raise_for_status()
    after = services.spaces.active.get("als")
    graduations = Graduations(services.lanes, 10)
    erased = replace(after, erased_streamers=frozenset(handed.ids[:1]))
    assert client.portal is not None
    told = [client.portal.call(graduations.between, before, each) for each in (after, erased)]
    assert [len(events) for events in told] == [2, 1]
    assert handed.ids[1].encode() in told[1][0].data
