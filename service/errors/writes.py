"""Errors of writes."""

from service.errors.base import RequestError


class ResultsNotRead(RequestError):
    """The client sends on and reads no results; read while sending, and send the rest again."""

    status, code, title = 408, "results_not_read", "The results are not read"
    example = (
        "the results of the lines before this one wait, and none was read for 5 s; send this line "
        "and the rest in another request, and read while you send"
    )


class WriteContended(RequestError):
    """Others wrote the streamer during each attempt of a PATCH; send it again."""

    status, code, title = 409, "write_contended", "Contended write"
    example = "streamer 's-1' was changed by others during each of 5 attempts; try again"
