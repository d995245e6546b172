"""Random valid profiles, for hypothesis."""

import base64
from datetime import datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from model_export.contract.streamer import Live, Media, StreamerProfile, Video

TRICKY = (
    "aAéﬁŠ字かガｶﾞﾊﾟ한가각𝒜①ªº½ⅨßẞſσςΣİIıiǄǅΐᾳϓÅ"
    "\u0300\u0301\u0307\u0308\u0323\u0327\u0345\u05bf\u064b\u0e33\u093c\u0f71\u0f73\u20e3"
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u180b\u180e\u200b\u200c\u200d\u200e\u202e\u2060\u3164"
    "\ufe0f\ufeff\uffa0\U000e0020\U000e0100"
    " \t\n\u00a0\u0085\u2028\u3000\x00\x1b\x1f\x7f._-!،。・🎮👩🏽🇨🇳❤"
)
"""Letters, marks and signs that compose, decompose, fold, vanish or reorder."""

any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
text = st.one_of(st.text(TRICKY, max_size=12), any_text)
ids = st.from_regex(r"\A[.]{0,2}[A-Za-z0-9_:-][A-Za-z0-9._:-]{0,9}\Z")
spaces = st.from_regex(r"\A[A-Za-z0-9._:/-]{1,8}\Z")
numbers = st.floats(-1e15, 1e15)
moments = st.one_of(
    st.none(),
    st.datetimes(
        datetime(1, 1, 2),
        datetime(9999, 12, 30),
        timezones=st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m))),
    ),
)
seconds = st.one_of(st.none(), st.floats(0, allow_infinity=False))
labels = st.one_of(st.none(), text)
tags = st.lists(text.filter(bool), max_size=4)
media = st.one_of(
    st.none(),
    st.builds(
        Media,
        data=st.binary(min_size=1, max_size=20).map(lambda b: base64.b64encode(b).decode()),
        content_type=st.sampled_from(["image/png", "audio/mpeg", "video/x-m4v"]),
    ),
    st.builds(Media, vector=st.lists(numbers, min_size=1, max_size=5), space=spaces),
    st.builds(Media, url=st.sampled_from(["https://a.b", "https://例.org/字?q=1#f"])),
)
attributes = st.dictionaries(
    text.filter(bool),
    st.one_of(
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        text,
    ),
    max_size=4,
)
recording: dict[str, st.SearchStrategy[Any]] = {
    "title": labels,
    "category": labels,
    "duration_s": seconds,
    "cover": media,
    "audio": media,
}
videos = st.builds(Video, video_id=ids, tags=tags, published_at=moments, **recording)
frames = st.lists(media.filter(lambda m: m is not None), max_size=3)
lives = st.builds(Live, live_id=ids, started_at=moments, frames=frames, **recording)
profiles = st.builds(
    StreamerProfile,
    streamer_id=ids,
    name=labels,
    bio=labels,
    tags=tags,
    category=labels,
    language=labels,
    attributes=attributes,
    avatar=media,
    videos=st.lists(videos, max_size=3),
    lives=st.lists(lives, max_size=3),
)
