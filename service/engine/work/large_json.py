"""JSON of megabytes, read and written in a thread that lets others run meanwhile.

One call of `json.loads` or `json.dumps` holds the interpreter's lock to its end, in whatever
thread. A scanner written in Python, and a writer of parts, give it up between two values.
"""

import json
from json import decoder, scanner
from typing import Any, cast

LARGE_BYTES = 64 << 10
"""Less than this is read or written in about a millisecond."""
_MOST_FIELDS = 10_000
"""Of one object, which is made of all of its fields in one call."""
_ARRAY_CHARS = 1 << 16
_AT_ONCE: Any = json.JSONDecoder()
_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class TooManyFields(ValueError):
    """One object has more fields than are read."""


def loads(text: str) -> Any:
    """Parse a JSON value, as `json.loads` does.

    Raises:
        json.JSONDecodeError: not JSON.
        TooManyFields: an object has too many fields.
        ValueError: a whole number has too many digits.
        RecursionError: nested too deeply.
    """
    return _IN_STEPS.decode(text)


def dumps(value: Any) -> str:
    """JSON without spaces, as `json.dumps` writes it, for objects whose keys are strings."""
    if isinstance(value, dict):
        fields = cast(dict[str, Any], value)
        if any(isinstance(field, (dict, list)) for field in fields.values()):
            return "{" + ",".join(f"{_ENCODE(k)}:{dumps(v)}" for k, v in fields.items()) + "}"
    elif isinstance(value, list) and value and isinstance(value[0], (dict, list)):
        return "[" + ",".join(map(dumps, cast(list[Any], value))) + "]"
    return _ENCODE(value)


def _object_of(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(fields) > _MOST_FIELDS:
        raise TooManyFields(f"an object has {len(fields)} fields and may have {_MOST_FIELDS}")
    return dict(fields)


def _array_of(at: tuple[str, int], *rest: Any) -> tuple[list[Any], int]:
    """An array and where it ends; in one call if it has few numbers only, such as a vector."""
    text, start = at
    end = text.find("]", start, start + _ARRAY_CHARS)
    if end > 0 and not any(mark in text[start:end] for mark in '"[{'):
        return cast(tuple[list[Any], int], _AT_ONCE.scan_once(text, start - 1))
    return cast(tuple[list[Any], int], vars(decoder)["JSONArray"](at, *rest))


def _in_steps() -> json.JSONDecoder:
    made: Any = json.JSONDecoder(object_pairs_hook=_object_of)
    made.parse_array = _array_of
    made.scan_once = vars(scanner)["py_make_scanner"](made)
    return cast(json.JSONDecoder, made)


_IN_STEPS = _in_steps()
