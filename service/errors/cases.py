"""Errors of cases."""

from service.errors.base import RequestError


class CaseNotFound(RequestError):
    """There is no such case, or it was deleted."""

    status, code, title = 404, "case_not_found", "Unknown case"
    example = "there is no case 'case-0f3c9a1b5e7d2c4a'; GET /v1/cases lists those there are"


class NotInCase(RequestError):
    """The streamer is no member of the case, no seed of it, and was not decided on before."""

    status, code, title = 404, "not_in_case", "The streamer is not in the case"
    example = "streamer 'w0412' is not in the case; expand it until it is, or begin one with it"


class NothingToUndo(RequestError):
    """All that can be taken back was, or the run that it would show again is no longer kept."""

    status, code, title = 409, "nothing_to_undo", "There is nothing to undo"
    example = "the case has no change that can be taken back"


class CaseChanged(RequestError):
    """Somebody changed the case since the ETag that `If-Match` names; read it and decide again."""

    status, code, title = 412, "case_changed", "The case was changed meanwhile"
    example = 'the case is at "18"; read it again, and send its ETag in If-Match'


class IfMatchNeeded(RequestError):
    """A case is changed by several people, so each change says which state it is of."""

    status, code, title = 428, "if_match_needed", "If-Match is needed"
    example = "send the ETag of GET /v1/cases/{case_id} in If-Match, so that no change is lost"
