"""Media generator with pictures and sounds, rendered only when they are written.

Profiles hold recipes (a look or voice with a seed) until then, so worlds of any size fit in memory
and rendering is independent of the order.
"""

import base64
import random
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

from training.disguises.pictures import decoded, disguise, jpeg
from training.world.media import pictures, sounds
from training.world.media.looks import Look, interest_look, personal_look, topic_looks
from training.world.media.voices import Voice, interest_voice, personal_voice, topic_voices
from training.world.topics import Interest

MISSING, MEANINGLESS = 0.3, 0.2
"""Shares of streamers with missing or placeholder avatars, frames and sounds."""

_UNTYPICAL = 0.1
"""Share of pictures and sounds in the style of a random topic."""
_SOUND_SHARE, _FRAMES_SHARE = 0.3, 0.4
"""Shares of items with a sound, and of lives with frames, if not missing."""

JPEG, FLAC, MP3 = "image/jpeg", "audio/flac", "audio/mpeg"

Kind = Literal["cover", "avatar", "frame"]


@dataclass(frozen=True)
class Picture:
    """Recipe of a picture.

    Attributes:
        look: look of the person.
        kind: cover, avatar or frame.
        seed: of the content.
        moment: number of a frame in its live session.
        copied: seed of the disguise of a copy; None for an original.
    """

    look: Look
    kind: Kind
    seed: int
    moment: int = 0
    copied: int | None = None

    def file(self) -> tuple[bytes, str]:
        """Render the file; returns bytes and content type."""
        quality = 70 + self.seed % 20
        if self.kind == "cover":
            image = pictures.draw_cover(self.look, self.seed)
        elif self.kind == "avatar":
            image = pictures.draw_avatar(self.look, self.seed)
        else:
            image = pictures.draw_frame(self.look, self.seed, self.moment)
        if self.copied is not None:  # copies are made of the published file
            published = decoded(jpeg(image, quality))
            image, quality = disguise(published, self.copied)
        return jpeg(image, quality), JPEG


@dataclass(frozen=True)
class Sound:
    """Recipe of a sound; `seed` and `copied` like in `Picture`."""

    voice: Voice
    seed: int
    copied: int | None = None

    def file(self) -> tuple[bytes, str]:
        """Render the file; returns bytes and content type."""
        samples = sounds.synthesise(self.voice, self.seed)
        if self.copied is None:
            return sounds.flac(samples), FLAC
        return sounds.mp3(*sounds.disguise(samples, self.copied)), MP3


@dataclass(frozen=True)
class Placeholder:
    """Placeholder picture or sound, shared by many streamers."""

    kind: Kind | Literal["sound"]
    number: int

    def file(self) -> tuple[bytes, str]:
        """Render the file; returns bytes and content type."""
        return _placeholder_file(self.kind, self.number)


@lru_cache(maxsize=64)
def _placeholder_file(kind: Kind | Literal["sound"], number: int) -> tuple[bytes, str]:
    if kind == "sound":
        return sounds.flac(sounds.placeholder(number)), FLAC
    return jpeg(pictures.draw_placeholder(number, kind), 75), JPEG


Recipe = Picture | Sound | Placeholder


@dataclass(frozen=True)
class Style:
    """Look, voice and placeholder of a person."""

    look: Look
    voice: Voice
    placeholder: int


class Studio:
    """Implements `training.world.media.cover_vectors.Media` with pictures and sounds."""

    def __init__(self, rng: random.Random, interests: list[Interest]) -> None:
        """Draw a look and a voice per interest.

        Args:
            rng: source of all randomness, used here only, so a world has the same streamers and
                texts with and without media.
            interests: interests of the world, contiguous by topic.
        """
        self._rng = rng
        topics = list(dict.fromkeys(interest.topic for interest in interests))
        looks = dict(zip(topics, topic_looks(rng, topics), strict=True))
        voices = dict(zip(topics, topic_voices(rng, topics), strict=True))
        self._looks = [interest_look(rng, looks[i.topic]) for i in interests]
        self._voices = [interest_voice(rng, voices[i.topic]) for i in interests]

    def style(self, interest: int) -> Style:
        """Style of a new person."""
        return Style(
            personal_look(self._rng, self._looks[interest]),
            personal_voice(self._rng, self._voices[interest]),
            self._rng.randrange(min(pictures.PLACEHOLDERS, sounds.PLACEHOLDERS)),
        )

    def cover(self, style: Style) -> Picture:
        """Cover in this style."""
        return self._picture(style, "cover")

    def placeholder(self, style: Style) -> Placeholder:
        """Placeholder cover of this person."""
        return Placeholder("cover", style.placeholder)

    def again(self, shown: Recipe) -> Recipe:
        """Disguised copy; placeholders are unchanged."""
        return shown if isinstance(shown, Placeholder) else replace(shown, copied=self._seed())

    def complete(self, style: Style, profile: dict[str, Any]) -> None:
        """Add avatar, frames and sounds; each may be missing or a placeholder."""
        profile |= self._avatar(style)
        self._add_frames(style, profile.get("lives", []))
        self._add_sounds(style, [*profile.get("videos", []), *profile.get("lives", [])])

    def stranger(self, interest: int) -> dict[str, Any]:
        """Avatar of another person with this interest, or none."""
        return self._avatar(self.style(interest))

    def _avatar(self, style: Style) -> dict[str, Any]:
        state = self._state()
        if state == "missing":
            return {}
        if state == "meaningless":
            return {"avatar": Placeholder("avatar", style.placeholder)}
        return {"avatar": self._picture(style, "avatar")}

    def _add_frames(self, style: Style, lives: list[dict[str, Any]]) -> None:
        state = self._state()
        for i, live in enumerate(lives):
            if state == "missing" or (i and self._rng.random() > _FRAMES_SHARE):
                continue
            count = self._rng.randint(1, 2)
            if state == "meaningless":
                live["frames"] = [Placeholder("frame", style.placeholder)] * count
            else:
                frame = self._picture(style, "frame")
                live["frames"] = [replace(frame, moment=moment) for moment in range(count)]

    def _add_sounds(self, style: Style, items: list[dict[str, Any]]) -> None:
        state = self._state()
        for i, item in enumerate(items):
            if state == "missing" or (i and self._rng.random() > _SOUND_SHARE):
                continue
            if state == "meaningless":
                item["audio"] = Placeholder("sound", style.placeholder)
            else:
                item["audio"] = Sound(self._any(style).voice, self._seed())

    def _picture(self, style: Style, kind: Kind) -> Picture:
        return Picture(self._any(style).look, kind, self._seed())

    def _any(self, style: Style) -> Style:
        """This style, or rarely that of a random interest."""
        if self._rng.random() > _UNTYPICAL:
            return style
        return self.style(self._rng.randrange(len(self._looks)))

    def _state(self) -> str:
        roll = self._rng.random() - MISSING
        return "missing" if roll < 0 else "meaningless" if roll < MEANINGLESS else "real"

    def _seed(self) -> int:
        return self._rng.getrandbits(48)


def made(profile: dict[str, Any]) -> dict[str, Any]:
    """Profile with rendered media in place of recipes."""

    def part(value: Any) -> Any:
        if isinstance(value, Recipe):
            content, content_type = value.file()
            return {"data": base64.b64encode(content).decode("ascii"), "content_type": content_type}
        if isinstance(value, dict):
            return {key: part(each) for key, each in value.items()}
        return [part(each) for each in value] if isinstance(value, list) else value

    return part(profile)
