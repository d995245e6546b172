"""JSON merge patch (RFC 7396)."""

from typing import Any, cast


def merge_patch(target: Any, patch: Any) -> Any:
    """Apply a patch: null removes, objects merge, anything else replaces."""
    if not isinstance(patch, dict):
        return patch
    changes = cast(dict[str, Any], patch)
    merged: dict[str, Any] = dict(cast(dict[str, Any], target)) if isinstance(target, dict) else {}
    for key, value in changes.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def patched_profile(profile: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Apply a patch to a stored profile.

    The SHA-256 that stands for an avatar whose bytes were not kept gives way to another form of it:
    callers wrote the bytes, and can't know that they have to remove it. Other media are in lists,
    which are replaced as a whole.
    """
    avatar: dict[str, Any] = profile.get("avatar") or {}
    change = changes.get("avatar")
    if avatar.keys() == {"sha256"} and isinstance(change, dict):
        given = cast(dict[str, Any], change)
        if any(value is not None for name, value in given.items() if name != "sha256"):
            profile = {name: value for name, value in profile.items() if name != "avatar"}
    return merge_patch(profile, changes)
