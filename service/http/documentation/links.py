"""Links of the OpenAPI document: from a list to the operations that take an id which it shows.

Ids that are drawn, or are hashes, have no example that would work: each is of one service. Whoever
reads the document, a program or the page at `/docs`, finds by its link where such an id comes from.
"""

from collections.abc import Iterator
from typing import Any

_NEEDS_IF_MATCH = "428"
_REVISION = "revision"


def add_links(document: dict[str, Any]) -> None:
    """Add the links, as the paths and schemas have them.

    `GET /v1/jobs` answers a list of objects with a `job_id`; so it has a link to each operation
    below `/v1/jobs/{job_id}`, unless that has an example for the id.
    """
    paths: dict[str, dict[str, Any]] = document["paths"]
    for path, operations in paths.items():
        beginning, _, rest = path.partition("/{")
        name = rest.partition("}")[0]
        source: dict[str, Any] = paths.get(beginning, {}).get("get", {})
        shown = _list_with(document, source, name) if source else None
        if shown is None:
            continue
        answer: dict[str, Any] = source["responses"]["200"]
        found, fields = shown
        for operation in operations.values():
            if not _lacks_example(operation, name):
                continue
            parameters = {name: f"$response.body#/{found}/0/{name}"}
            if _NEEDS_IF_MATCH in operation["responses"] and _REVISION in fields:
                parameters["if-match"] = f'"{{$response.body#/{found}/0/{_REVISION}}}"'
            link = {"operationId": operation["operationId"], "parameters": parameters}
            answer.setdefault("links", {})[operation["operationId"]] = link


def _lacks_example(operation: dict[str, Any], name: str) -> bool:
    return any(
        parameter["name"] == name and parameter["in"] == "path" and not parameter.get("examples")
        for parameter in operation.get("parameters", ())
    )


def _list_with(
    document: dict[str, Any], operation: dict[str, Any], name: str
) -> tuple[str, frozenset[str]] | None:
    """The field of an answer that lists objects which have a field, and all fields of those."""
    for field, schema in _fields(document, _answered(operation)):
        if schema.get("type") == "array":
            fields = frozenset(each for each, _ in _fields(document, schema.get("items", {})))
            if name in fields:
                return field, fields
    return None


def _answered(operation: dict[str, Any]) -> dict[str, Any]:
    content = operation["responses"].get("200", {}).get("content", {})
    return content.get("application/json", {}).get("schema", {})


def _fields(
    document: dict[str, Any], schema: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and schemas of the fields of objects; of nothing else."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    yield from schema.get("properties", {}).items()
