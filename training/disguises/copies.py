"""Copies of profiles: what another account shows that took them and disguises it."""

import copy
import random
from collections.abc import Callable, Sequence
from typing import Any

from training.disguises.chinese import is_chinese
from training.disguises.contacts import HANDLE, contact_line, handle, hide
from training.disguises.kinds import KINDS, MEDIA_KINDS, Kind, disguise
from training.disguises.pictures import stolen
from training.disguises.wording import Phrasebook, general_phrasebook

Profile = dict[str, Any]

MISSING = 0.15
"""Share of copies that lack a field of the original, for each field."""
_OF_CHINESE: tuple[Kind, ...] = ("traditional", "homophones")
_OF_LETTERS: tuple[Kind, ...] = ("leetspeak", "mathematical", "full_width")
_WITHOUT_TEXT: tuple[Kind, ...] = (*MEDIA_KINDS, "shared_handle")
"""Kinds by which a copy shares something else than its words."""

_NOT_IN: dict[str, tuple[Kind, ...]] = {
    "tag": ("partial_paste", "shuffled_sentences", "paraphrased"),
    "title": ("partial_paste",),
}
"""Kinds that need more than a field says; of titles, a partial paste takes every second."""


def fits(profile: Profile, kind: Kind) -> bool:
    """Whether a copy in this disguise would be disguised, and recognisable.

    Bio and titles, or tags where there are neither, need 12 letters or more, most of them such as
    the disguise changes; `stolen_cover` needs two covers, `same_vectors` two with a vector,
    `shared_handle` a handle in the bio.
    """
    if kind in MEDIA_KINDS:
        covers = [i["cover"] for i in _items(profile) if i.get("cover")]
        return sum(kind == "stolen_cover" or _has_vector(cover) for cover in covers) >= 2
    if kind == "shared_handle":
        return HANDLE.search(profile.get("bio") or "") is not None
    letters = [c for text in _texts(profile) for c in text if c.isalnum()]
    if kind in _OF_CHINESE:
        changed = sum(map(is_chinese, letters))
    elif kind in _OF_LETTERS:
        changed = sum(c.isascii() and c.isalpha() for c in letters)
    else:
        changed = len(letters)
    return changed >= 12 and changed > 0.6 * len(letters)


def with_handle(profile: Profile, rng: random.Random) -> Profile:
    """Profile whose bio names a handle elsewhere, as written by its owner."""
    line = contact_line(handle(rng), rng)
    return {**profile, "bio": f"{profile.get('bio', '')} {line}".strip()}


def copy_of(
    profile: Profile,
    kinds: Sequence[Kind],
    rng: random.Random,
    own: Profile | None = None,
    book: Phrasebook | None = None,
    again: Callable[[Any, random.Random], Any] = stolen,
) -> Profile:
    """Profile of another account that copies this one: new ids, another name, fields missing.

    Words are copied in all disguises of `kinds`. Pictures are copied by `stolen_cover` and
    `same_vectors` alone. A copy by those or `shared_handle` only takes no words.

    Args:
        profile: JSON form of a StreamerProfile.
        kinds: disguises, one or several, each of which `fits` the profile.
        rng: source of all randomness.
        own: profile of a stranger, whose words and pictures the copy shows where it copies none.
        book: words for `translated` and `paraphrased`.
        again: a picture as a thief shows it, for `stolen_cover`.

    Raises:
        ValueError: no such kind, or no kind at all.
    """
    if not kinds or unknown(kinds):
        raise ValueError(f"kinds: needs one or more of {', '.join(KINDS)}, not {kinds!r:.80}")
    ordered = [kind for kind in KINDS if kind in kinds]
    texts = [kind for kind in ordered if kind not in _WITHOUT_TEXT]
    book = book or general_phrasebook()
    own = own or {}

    def disguised(text: str, field: str) -> str:
        for kind in texts:
            if kind not in _NOT_IN.get(field, ()):
                text = disguise(text, kind, rng, book)
        return text

    name = own.get("name") or f"{rng.choice('bdfgkmnprst')}{rng.choice('aeiou')}{handle(rng)}"
    made = _words(profile, disguised, rng) if texts else _taken(own, rng)
    if "translated" in texts:
        made.pop("language", None)
    made = {"streamer_id": f"c{rng.getrandbits(60):015x}", "name": name, **made}
    if "partial_paste" in texts:
        for part in ("videos", "lives"):
            if part in made:
                made[part] = made[part][: max(1, len(made[part]) // 2)]
    if any(kind in MEDIA_KINDS for kind in ordered):
        _steal(made, profile, rng, again if "stolen_cover" in ordered else None)
    if "shared_handle" in ordered:
        _name_handle(made, profile, rng)
    return _numbered(made)


def unknown(kinds: Sequence[str]) -> list[str]:
    """Those that are no kinds."""
    return [kind for kind in kinds if kind not in KINDS]


def _words(profile: Profile, disguised: Callable[[str, str], str], rng: random.Random) -> Profile:
    """Disguised words of a profile, some fields missing, without its media."""
    made: Profile = {}
    titled = [i for i in _items(profile) if i.get("title")]
    if profile.get("bio") and (rng.random() > MISSING or not titled):
        made["bio"] = disguised(profile["bio"], "bio")[:5000]
    for field in ("category", "language"):
        if field in profile and rng.random() > MISSING:
            made[field] = profile[field]
    only_tags = not titled and not profile.get("bio")
    if profile.get("tags") and (only_tags or rng.random() > 2 * MISSING):
        kept = rng.sample(profile["tags"], max(1, round(0.8 * len(profile["tags"]))))
        plain = 0.0 if only_tags else 0.5
        made["tags"] = [
            tag if rng.random() < plain else disguised(tag, "tag")[:200] for tag in kept
        ]
    for part in ("videos", "lives"):
        items = [item for item in profile.get(part, []) if item.get("title")]
        if items and (rng.random() > MISSING or "bio" not in made):
            made[part] = [{"title": disguised(item["title"], "title")[:500]} for item in items]
    return made


def _texts(profile: Profile) -> list[str]:
    """Bio and titles; tags where there are neither."""
    titles = [item["title"] for item in _items(profile) if item.get("title")]
    texts = [text for text in (profile.get("bio"), *titles) if text]
    return texts or profile.get("tags", [])


def _taken(own: Profile, rng: random.Random) -> Profile:
    """What the copy's owner shows of their own."""
    kept = {k: copy.deepcopy(v) for k, v in own.items() if k not in ("streamer_id", "name")}
    for field in ("tags", "category", "language"):
        if rng.random() < MISSING:
            kept.pop(field, None)
    return kept


def _steal(
    made: Profile,
    profile: Profile,
    rng: random.Random,
    again: Callable[[Any, random.Random], Any] | None,
) -> None:
    """Put most covers of a profile on a copy's items, or on new ones; equal without `again`."""
    covers = [item["cover"] for item in _items(profile) if item.get("cover")]
    if again is None:
        covers = [cover for cover in covers if _has_vector(cover)]
    covers = rng.sample(covers, max(min(2, len(covers)), round(0.8 * len(covers))))
    places = [*made.get("videos", []), *made.get("lives", [])]
    while len(places) < len(covers):
        made.setdefault("videos", []).append({})
        places.append(made["videos"][-1])
    for place, cover in zip(places, covers, strict=False):
        place["cover"] = copy.deepcopy(cover) if again is None else again(cover, rng)


def _name_handle(made: Profile, profile: Profile, rng: random.Random) -> None:
    found = HANDLE.search(profile.get("bio") or "")
    if found is None:
        raise ValueError(
            "shared_handle: the profile's bio names no handle; plant one `with_handle`"
        )
    bio = made.get("bio", "")
    if found[0] in bio:
        made["bio"] = bio.replace(found[0], hide(found[0], rng))
    else:
        made["bio"] = f"{bio} {contact_line(found[0], rng, hidden=True)}".strip()


def _has_vector(cover: Any) -> bool:
    return isinstance(cover, dict) and "vector" in cover


def _items(profile: Profile) -> list[dict[str, Any]]:
    return [*profile.get("videos", []), *profile.get("lives", [])]


def _numbered(made: Profile) -> Profile:
    """New ids for all videos and lives."""
    for part, key, letter in (("videos", "video_id", "v"), ("lives", "live_id", "l")):
        for i, item in enumerate(made.get(part, [])):
            item[key] = f"{made['streamer_id']}-{letter}{i}"
    return made
