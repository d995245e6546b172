"""Errors of the life cycle of models."""

from service.errors.base import RequestError, Unavailable


class ModelNotFound(RequestError):
    """No model of this version is registered."""

    status, code, title = 404, "model_not_found", "Unknown model"
    example = "there is no model 'transfer-plus-2'; known: transfer-plus-1"


class ModelStateConflict(RequestError):
    """The model, or another one, is in a state in which that can't be done; `detail` names it."""

    status, code, title = 409, "model_state_conflict", "The model's state does not allow it"
    example = "model 'transfer-plus-2' is registered: backfill it first"


class ModelNotEverywhere(RequestError):
    """Replicas miss the bundle, or are not ready for the model; `detail` names them and why."""

    status, code, title = 409, "model_not_everywhere", "Not every replica has the model"
    example = "model 'transfer-plus-2' is missing on host-1-0f3c9a1b: it has no such folder"


class ComparisonNotFound(RequestError):
    """The model was not compared with the active one, or its report is not kept."""

    status, code, title = 404, "comparison_not_found", "The model was not compared"
    example = "model 'transfer-plus-2' was not compared; POST …:compare does it once it is ready"


class ShadowNotFound(RequestError):
    """The model has had no shadow, or its report is not kept."""

    status, code, title = 404, "shadow_not_found", "The model has had no shadow"
    example = "model 'transfer-plus-2' has had no shadow; POST …:shadow begins one once it is ready"


class ModelGateFailed(RequestError):
    """What people decided stands against the model, or was not replayed; `detail` says what."""

    status, code, title = 409, "model_gate_failed", "What people decided stands against the model"
    example = (
        "model 'transfer-plus-2' answers otherwise than people decided: judgements: the active "
        "model agrees with 198 of 200 judgements, the next one with 131: 68 are lost, 1 gained"
    )


class IndexUnavailable(Unavailable):
    """Milvus, which has the index, does not answer; nothing is answered without it."""

    code, title = "index_unavailable", "The index does not answer"
    example = "Milvus does not answer: connection refused"
