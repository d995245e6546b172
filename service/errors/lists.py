"""Errors of lists and of records of outreach."""

from service.errors.base import RequestError


class ListNotFound(RequestError):
    """No list is saved under this name, or the run of it is not kept (any more)."""

    status, code, title = 404, "list_not_found", "Unknown list"
    example = "no list 'spring-campaign' is saved; GET /v1/lists has the names"


class ListConflict(RequestError):
    """The saved list has another revision than `If-Match`, `If-None-Match` or a job expects."""

    status, code, title = 412, "list_conflict", "The list has another revision"
    example = "list 'spring-campaign' is at revision 18; read it again and repeat the change"


class OutreachNotFound(RequestError):
    """There is no such record of outreach, or not any more."""

    status, code, title = 404, "outreach_not_found", "Unknown record of outreach"
    example = "there is no record of outreach '019a1b2c3d4e5f60718293a4b5c6'"


class TooManyRecords(RequestError):
    """So many lists, records of outreach or ratings are kept that no more are taken."""

    status, code, title = 409, "too_many_records", "Too many records are kept"
    example = "1000 lists are saved already: delete one first"
