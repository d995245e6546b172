"""A profile as pieces: the smallest parts that are encoded, hidden, hashed and explained."""

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Literal, TypeVar

import numpy as np

from model_export.contract.streamer import (
    MAX_ENCODED_ITEMS,
    Live,
    Media,
    StreamerContent,
    Video,
)
from model_export.contract.text import canonical, normalise, template

MODALITIES = (
    "name",
    "bio",
    "tags",
    "category",
    "language",
    "videos",
    "lives",
    "avatar",
    "covers",
    "frames",
    "audio",
)
"""What a streamer shows, in the order of the encoder's modality axis."""

_Item = TypeVar("_Item", Video, Live)

Kind = Literal["text", "tag", "category", "language", "vector", "media"]


@dataclass(frozen=True)
class Piece:
    """One part of a profile.

    Attributes:
        modality: one of `MODALITIES`.
        kind: how the payload is read. `media` (bytes or an address) waits for a tower.
        source: where it stands in the profile, as `videos[0].title`.
        text: the payload of text, tag, category and language pieces.
        vector: the payload of a vector piece, as given.
        space: the named space of the vector.
        payload_digest: stands for the bytes or address of a media piece, `data:`, `url:`, or
            `sha256:` of bytes that were not kept; of a vector that a tower
            made it is the content hash of the piece that was read.
        payload_cluster: of a vector that a tower made, the cluster hash of the piece that was read.
        time_s: when it was shown, seconds since 1970, where known.
    """

    modality: str
    kind: Kind
    source: str
    text: str = ""
    vector: Sequence[float] = field(default=(), hash=False)
    space: str = ""
    payload_digest: str = ""
    payload_cluster: str = ""
    time_s: float | None = None

    @cached_property
    def content_hash(self) -> str:
        """32 hex digits that are equal for equal content, wherever and whenever it was shown.

        Content is what can be read of it: the words of a text, the whole label of a tag (C++ is not
        C#), the numbers of a vector, the bytes or the address of a picture or sound. A vector that
        a tower made is equal where what it was made of is: its numbers differ in the last bits from
        one machine to the next.
        """
        digest = hashlib.sha256(self.kind.encode() + b"\0")
        if self.kind == "vector":
            made_of = self.payload_digest.encode()
            shown = made_of or np.asarray(self.vector, "<f4").tobytes()
            digest.update(self.space.encode() + b"\0" + shown)
        elif self.kind == "media":
            digest.update(self.payload_digest.encode())
        elif self.kind == "text":
            digest.update(canonical(self.text).encode())
        else:
            digest.update(normalise(self.text).encode())
        return digest.hexdigest()[:32]

    @cached_property
    def cluster_hash(self) -> str:
        """32 hex digits that are equal for pieces that say the same or nearly.

        Texts are counted together that differ in numbers, punctuation and emoji alone, and so are
        the vectors that a tower made of them; of other pieces only those of equal content.
        """
        if self.kind == "text":
            shown = b"template\0" + template(self.text).encode()
        elif self.kind == "vector" and self.payload_cluster:
            shown = f"vector of\0{self.space}\0{self.payload_cluster}".encode()
        else:
            return self.content_hash
        return hashlib.sha256(shown).hexdigest()[:32]


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _media(
    modality: str, source: str, media: Media | None, time_s: float | None
) -> Iterator[Piece]:
    if media is None:
        return
    if media.vector is not None and media.space is not None:
        yield Piece(
            modality, "vector", source, vector=tuple(media.vector), space=media.space, time_s=time_s
        )
        return
    if media.data is not None:
        digest = "data:" + hashlib.sha256(base64.b64decode(media.data)).hexdigest()
    elif media.sha256 is not None:
        digest = f"sha256:{media.sha256}"  # nothing is left to read
    else:
        digest = "url:" + hashlib.sha256(str(media.url).encode()).hexdigest()
    yield Piece(modality, "media", source, payload_digest=digest, time_s=time_s)


def _text(
    modality: str, kind: Kind, source: str, text: str | None, time_s: float | None = None
) -> Iterator[Piece]:
    if text and not text.isspace():
        yield Piece(modality, kind, source, text=text, time_s=time_s)


def _newest(items: list[_Item]) -> list[tuple[int, _Item]]:
    """The newest `MAX_ENCODED_ITEMS` with their places; undated ones count as oldest."""

    def moment(entry: tuple[int, _Item]) -> float:
        item = entry[1]
        time_s = _seconds(item.published_at if isinstance(item, Video) else item.started_at)
        return float("-inf") if time_s is None else time_s

    return sorted(enumerate(items), key=moment, reverse=True)[:MAX_ENCODED_ITEMS]


def pieces_of(profile: StreamerContent) -> list[Piece]:
    """All pieces of a profile, the newest videos and lives first; empty parts give none."""
    found: list[Piece] = [
        *_text("name", "text", "name", profile.name),
        *_text("bio", "text", "bio", profile.bio),
        *_text("category", "category", "category", profile.category),
        *_text("language", "language", "language", profile.language),
        *_media("avatar", "avatar", profile.avatar, None),
    ]
    for i, tag in enumerate(profile.tags):
        found += _text("tags", "tag", f"tags[{i}]", tag)
    for i, video in _newest(profile.videos):
        where, time_s = f"videos[{i}]", _seconds(video.published_at)
        found += _text("videos", "text", f"{where}.title", video.title, time_s)
        found += _text("videos", "category", f"{where}.category", video.category, time_s)
        for j, tag in enumerate(video.tags):
            found += _text("videos", "tag", f"{where}.tags[{j}]", tag, time_s)
        found += _media("covers", f"{where}.cover", video.cover, time_s)
        found += _media("audio", f"{where}.audio", video.audio, time_s)
    for i, live in _newest(profile.lives):
        where, time_s = f"lives[{i}]", _seconds(live.started_at)
        found += _text("lives", "text", f"{where}.title", live.title, time_s)
        found += _text("lives", "category", f"{where}.category", live.category, time_s)
        found += _media("covers", f"{where}.cover", live.cover, time_s)
        for j, frame in enumerate(live.frames):
            found += _media("frames", f"{where}.frames[{j}]", frame, time_s)
        found += _media("audio", f"{where}.audio", live.audio, time_s)
    return found
