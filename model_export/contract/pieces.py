"""Pieces: the smallest parts of a profile that are encoded, masked, hashed and explained."""

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
from model_export.contract.text import canonical, normalise, readable, template

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
"""Modalities of a profile, in the order of the encoder's modality axis."""

_Item = TypeVar("_Item", Video, Live)

Kind = Literal["text", "tag", "category", "language", "vector", "media"]


@dataclass(frozen=True)
class Piece:
    """One part of a profile.

    Attributes:
        modality: one of `MODALITIES`.
        kind: type of the payload. `media` (bytes or a URL) is read by towers only.
        source: path in the profile, such as `videos[0].title`.
        text: payload of text, tag, category and language pieces.
        vector: payload of a vector piece, as given.
        space: named space of the vector.
        payload_digest: digest of a media piece: `data:`, `url:`, or `sha256:` of bytes that were
            not kept; for a tower's vector, the content hash of the piece that was encoded.
        payload_cluster: for a tower's vector, the cluster hash of the piece that was encoded.
        time_s: publication time, seconds since 1970; None if unknown.
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
    def readable(self) -> str:
        """Text as pretrained encoders read it; it is asked for several times."""
        return readable(self.text)

    @cached_property
    def content_hash(self) -> str:
        """Hash of the content, 32 hex digits, independent of place and time.

        The content is the words of a text, the whole label of a tag (C++ is not C#), the numbers of
        a vector, or the bytes or URL of a picture or sound. A tower's vector is identified by the
        piece that was encoded, since its numbers differ in the last bits between machines.
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
        """Hash of the near-duplicate cluster, 32 hex digits.

        Texts that differ only in numbers, punctuation and emoji are in one cluster, and so are the
        tower vectors made of them. Other pieces are in one cluster only if their content is equal.
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
    """The newest `MAX_ENCODED_ITEMS` items with their places; undated items count as oldest."""

    def moment(entry: tuple[int, _Item]) -> float:
        item = entry[1]
        time_s = _seconds(item.published_at if isinstance(item, Video) else item.started_at)
        return float("-inf") if time_s is None else time_s

    return sorted(enumerate(items), key=moment, reverse=True)[:MAX_ENCODED_ITEMS]


def pieces_of(profile: StreamerContent) -> list[Piece]:
    """Pieces of a profile, newest videos and lives first; empty parts give no piece."""
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
