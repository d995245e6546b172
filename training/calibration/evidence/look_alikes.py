"""Simulated honest accounts that look alike: re-posters of titles, bios of one template."""

import random
import re
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from model_export.contract.streamer import StreamerProfile
from training.disguises.wording import script_of

COUNTED_AS = 0.05
"""What such a pair counts, beside one of neighbours: of all candidates they are some tenths of a
percent, about half as many as the copies. Every profile gives one all the same: a few dozen would
decide the threshold by chance."""
_CHANGED = (0.3, 0.7)
"""Smallest and largest share of a template's words that are the account's own."""
_MOST_TITLES = 2
_FEWEST_TITLES, _OWN_TITLES = 4, 2
"""Of who is re-posted, and of who fills in a template: who shows no more is like a copy indeed."""
_WORDS = re.compile(r"[\u3040-\u9fff\uac00-\ud7a3]{1,4}|[^\W_]+")


def simulated_look_alikes(
    profiles: Sequence[StreamerProfile], seed: int
) -> list[tuple[StreamerProfile, StreamerProfile]]:
    """Profiles, each with a stranger who shows its titles with credit, or a bio of its template.

    Strangers share next to nothing by chance, and copies share all. Without those between the two,
    one shared title would count as proof. The stranger writes in the same language: a template
    that is half in another one would look like a translation.
    """
    rng = random.Random(f"look-alikes/{seed}")
    of_language: dict[str, list[StreamerProfile]] = {}
    languages = [script_of(_words_of(profile)) for profile in profiles]
    for profile, language in zip(profiles, languages, strict=True):
        of_language.setdefault(language, []).append(profile)
    found: list[tuple[StreamerProfile, StreamerProfile]] = []
    for profile, language in zip(profiles, languages, strict=True):
        content, other = profile.dump(), rng.choice(of_language[language]).dump()
        if other["streamer_id"] == content["streamer_id"]:
            continue
        titles = _titled(content)
        if len(titles) >= _FEWEST_TITLES and (not content.get("bio") or rng.random() < 0.5):
            _repost(other, titles, rng)
        elif content.get("bio") and len(_titled(other)) >= _OWN_TITLES:
            other["bio"] = _filled_in(content["bio"], other.get("bio", ""), rng)
        else:
            continue
        try:
            found.append((profile, StreamerProfile.model_validate(other)))
        except ValidationError:
            continue  # has as many videos as a profile may have
    return found


def _words_of(profile: StreamerProfile) -> str:
    titles = (item.title for item in (*(profile.videos or ()), *(profile.lives or ())))
    return " ".join(text for text in (profile.bio, *titles) if text)


def _titled(content: dict[str, Any]) -> list[dict[str, Any]]:
    return [video for video in content.get("videos", []) if video.get("title")]


def _repost(other: dict[str, Any], titled: Sequence[dict[str, Any]], rng: random.Random) -> None:
    """Show one or two videos of someone else, the first with its cover."""
    taken = rng.sample(titled, min(len(titled), rng.randint(1, _MOST_TITLES)))
    shown = [{"title": video["title"]} for video in taken]
    if "cover" in taken[0]:
        shown[0]["cover"] = taken[0]["cover"]
    for place, video in enumerate(shown):
        video["video_id"] = f"reposted-{place}"
    other["videos"] = [*other.get("videos", []), *shown]


def _filled_in(template: str, own: str, rng: random.Random) -> str:
    """A bio in which some words are of the account's own."""
    words = _WORDS.findall(own) or ["own"]
    share = rng.uniform(*_CHANGED)
    return _WORDS.sub(lambda m: rng.choice(words) if rng.random() < share else m[0], template)[
        :5000
    ]
