"""`/v1/model`: the card of the model that answers, as numbers to look at."""

from typing import Any

from model_export.contract.bundle import Manifest
from service.features.operations.health import CurrentOperations
from service.features.operations.model_schemas import ModelOut
from service.http.auth.route_scopes import requires
from service.http.dependencies import CheckedRouter
from service.http.documents import responses
from service.http.openapi import RUNNING_IT

router = CheckedRouter(prefix="/v1", tags=[RUNNING_IT])
_AS_IT_IS = {
    *("model_version", "recipe", "created_by", "data_digest", "dim", "content_dim", "id_space"),
    *("duplicate_threshold", "parity", "metrics"),
}


@router.get(
    "/model",
    operation_id="get_model",
    summary="Get the card of the model that answers",
    dependencies=[requires("search")],
    responses=responses(),
)
async def get_model(operations: CurrentOperations) -> ModelOut:
    """What it was trained and measured on, and which precision each score promises."""
    return ModelOut.model_validate(_card(operations.serving.manifest))


def _card(manifest: Manifest) -> dict[str, Any]:
    known = manifest.calibration
    return {
        **manifest.model_dump(include=_AS_IT_IS),
        "towers": [
            {"name": spec.name, "kind": spec.kind, "width": spec.width} for spec in manifest.towers
        ],
        "calibration": known and known.model_dump(include={"embedding", "content"}),
    }
