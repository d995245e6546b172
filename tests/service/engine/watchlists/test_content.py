"""What the digest of a profile's content tells apart."""

import base64
import hashlib
from typing import Any

import pytest

from model_export.contract.streamer import StreamerProfile
from service.engine.watchlists.content import content_of

_VIDEOS = [
    {"video_id": "v1", "title": "one", "published_at": "2026-01-01T00:00:00Z"},
    {"video_id": "v2", "title": "two", "tags": ["b"]},
]
_BYTES = b"a picture"
_SHOWN: dict[str, Any] = {
    "name": "n",
    "bio": "b",
    "tags": ["x", "y"],
    "category": "c",
    "language": "zh",
    "videos": _VIDEOS,
    "avatar": {"data": base64.b64encode(_BYTES).decode(), "content_type": "image/png"},
}


def _of(**changes: Any) -> str:
    shown = {"streamer_id": "s", **_SHOWN, **changes}
    return content_of(StreamerProfile.model_validate(shown))


@pytest.mark.parametrize(
    "changes",
    [
        {"streamer_id": "t"},
        {"attributes": {"fans": 2}},
        {"tags": ["y", "x", "x"]},
        {"videos": [_VIDEOS[1], {**_VIDEOS[0], "published_at": None, "video_id": "v9"}]},
        {"avatar": {"sha256": hashlib.sha256(_BYTES).hexdigest()}},
    ],
)
def test_what_no_evidence_reads_changes_nothing(changes: dict[str, Any]) -> None:
    assert _of(**changes) == _of()


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "m"},
        {"bio": "b wx: other99"},
        {"tags": ["x"]},
        {"category": "d"},
        {"language": None},
        {"videos": _VIDEOS[:1]},
        {"avatar": None},
        {"avatar": {"sha256": "0" * 64}},
        {"avatar": {"vector": [1.0, 0.0], "space": "clip"}},
    ],
)
def test_what_the_evidence_reads_does(changes: dict[str, Any]) -> None:
    assert _of(**changes) != _of()
