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
