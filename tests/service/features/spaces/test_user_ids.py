"""Users are erased whatever characters their ids have."""

from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from tests.service.features.spaces.hand_overs import HandOver, send


@pytest.mark.slow
@pytest.mark.parametrize(
    "user_id", ["tv/7", "/7", "a//b/", "7:erase", "q?x#y", "..x", "tv/generations/7"]
)
def test_a_user_of_any_id_is_erased(client: TestClient, handed: HandOver, user_id: str) -> None:
    given = handed.but(user_ids=[user_id, *handed.user_ids[1:]])
    send(client, "g0", given.npz(), promote="true").raise_for_status()
    erased = client.delete(f"/v1/spaces/als/users/{quote(user_id, safe='')}")
    assert erased.json() == {"space": "als", "user_id": user_id, "generations": 1}
