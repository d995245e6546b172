"""Rings of accounts that are copies of one, and the groups that the service makes of them."""

from typing import Any

from tests.support.api import Api


def copy_of(ring: str, **more: Any) -> dict[str, Any]:
    """A profile that is near to others of its ring alone, whose name no other text has."""
    bio = f"kitchen {ring} {ring[::-1]}"
    return {"name": f"{ring} one", "bio": bio, "tags": ["cooking", ring], **more}


def write_ring(api: Api, ring: str, count: int, **more: Any) -> list[str]:
    """Store so many copies and wait until they are grouped; their ids, ascending."""
    ids = [f"{ring}-{i}" for i in range(count)]
    api.wait_until_grouped(api.write({"streamer_id": i, **copy_of(ring, **more)} for i in ids))
    return ids


def group_of(api: Api, streamer_id: str) -> dict[str, Any] | None:
    """The group of a streamer; None if it is in none."""
    return api.ok("GET", f"/v1/streamers/{streamer_id}/duplicates")["group"]


def group_id_of(api: Api, streamer_id: str) -> str:
    group = group_of(api, streamer_id)
    assert group is not None
    return group["group_id"]


def members_of(api: Api, streamer_id: str) -> list[str]:
    """All who are in a streamer's group, ascending; the streamer alone if it is in none."""
    group = group_of(api, streamer_id)
    if group is None:
        return [streamer_id]
    return api.all(f"/v1/duplicates/{group['group_id']}", "members")
