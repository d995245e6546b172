"""What the API's examples need beside streamers: a case, a watchlist, a list, a job and the like.

They are made by the examples themselves, which the service's own OpenAPI document has; so whatever
`/docs` shows is answered when "Execute" is pressed.
"""

import json
import re
from collections.abc import Collection
from typing import Any, Protocol

ONCE = ("create_case", "create_watchlist", "save_list", "run_list", "record_outreach")
"""What stays until somebody deletes it, by the operation that makes it."""
OF_THE_DAY = ("export_streamers",)
"""Jobs are kept for a day."""


class Service(Protocol):
    """Answers requests."""

    def ask(self, method: str, path: str, body: object | None = None) -> Any:
        """The JSON answer to a request."""
        ...


def leave_examples(service: Service, known: Collection[str]) -> bool:
    """Make what is not there yet; False for other streamers than those of the examples.

    Args:
        service: that has the streamers.
        known: their ids.
    """
    document = service.ask("GET", "/openapi.json")
    if not set(re.findall(r'"(w\d{4})"', json.dumps(document))) <= set(known):
        return False
    missing = () if service.ask("GET", "/v1/cases?limit=1")["cases"] else ONCE
    if not service.ask("GET", "/v1/jobs?limit=1")["jobs"]:
        missing += OF_THE_DAY
    for name in missing:
        service.ask(*request_of(document, name))
    return True


def request_of(document: dict[str, Any], name: str) -> tuple[str, str, Any]:
    """Method, path and body of an operation, as the document has them for example."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if operation["operationId"] == name:
                parts = {
                    parameter["name"]: next(iter(parameter["examples"].values()))["value"]
                    for parameter in operation.get("parameters", ())
                    if parameter["in"] == "path"
                }
                schema = operation["requestBody"]["content"]["application/json"]["schema"]
                reference = schema.get("$ref") or schema["anyOf"][0]["$ref"]
                body = document["components"]["schemas"][reference.rpartition("/")[2]]
                return method.upper(), path.format(**parts), body["examples"][0]
    raise LookupError(name)
