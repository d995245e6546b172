"""Small streamers with facets, and what a filter says of them, one by one."""

import json
from typing import Any

import numpy as np

from service.index.filters import FIELDS, Condition, Filter


def unit(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Unit vectors (..., D)."""
    vectors = rng.standard_normal(shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def row(embedding: np.ndarray | None, content_dim: int, facets: dict[str, Any]) -> tuple:
    """Embedding, content and facets as the index takes them in."""
    if embedding is None:
        return b"", b"", json.dumps(facets).encode()
    content = np.resize(embedding, content_dim).astype("<f2")
    return embedding.astype("<f4").tobytes(), content.tobytes(), json.dumps(facets).encode()


def lets_through(wanted: Filter, facets: dict[str, Any]) -> bool:
    """The meaning of a filter, the slow way."""
    return all(_holds(c, facets) for c in wanted.must) and not any(
        _holds(c, facets) for c in wanted.must_not
    )


def _typed(value: object) -> tuple[bool, object]:
    return isinstance(value, bool), value


def _holds(condition: Condition, facets: dict[str, Any]) -> bool:
    name = condition.field.removeprefix("attributes.")
    value = (facets if condition.field in FIELDS else facets.get("attributes", {})).get(name)
    if value is None:
        return False
    values = {_typed(v) for v in (value if isinstance(value, list) else [value])}
    if condition.any is not None and values.isdisjoint(map(_typed, condition.any)):
        return False
    if condition.all is not None and not values.issuperset(map(_typed, condition.all)):
        return False
    bounds = (condition.gt, condition.gte, condition.lt, condition.lte)
    if all(bound is None for bound in bounds):
        return True
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    gt, gte, lt, lte = bounds
    return (
        (gt is None or value > gt)
        and (gte is None or value >= gte)
        and (lt is None or value < lt)
        and (lte is None or value <= lte)
    )


FILTERS = [
    Filter([Condition("tags", any=["t3"])]),
    Filter([Condition("language", any=["zh"]), Condition("views", gte=100, lt=300)]),
    Filter([Condition("attributes.live", any=[True])], [Condition("city", any=["c5", "c17"])]),
    Filter([Condition("rare", any=[1 << 70, 5])]),
    Filter([Condition("ratio", lte=0.25)]),
]


def facets(i: int) -> dict:
    """Of the streamer of a number, with values of every kind; `FILTERS` ask for some."""
    attributes = {"views": i % 500, "live": i % 3 == 0, "city": f"c{i}", "ratio": i / 900}
    if i % 50 == 0:
        attributes["rare"] = 1 << 70 if i % 100 else i
    if i % 31 == 0:
        attributes["long"] = "x" * 900
    return {
        "name": f"näme {i}\n",
        "language": ["zh", "en"][i % 2],
        "tags": [f"t{i % 7}", f"t{i % 5}"],
        "attributes": attributes,
    }
