"""The errors that all others are kinds of."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class FieldError:
    """One wrong field: a JSON pointer (RFC 6901) into the body, or the name of a parameter."""

    pointer: str
    detail: str
    parameter: str | None = None


class ServiceError(Exception):
    """The service failed in a way that it does not expect; its log has the cause."""

    status = 500
    code = "internal"
    title = "Internal error"
    example = "an unexpected error; see the log"

    def __init__(self, detail: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)


class RequestError(ServiceError):
    """The caller can correct it."""


class Unavailable(ServiceError):
    """A repeated request may work, after `Retry-After` seconds."""

    status = 503

    def __init__(
        self, detail: str, retry_after_s: int = 1, errors: Sequence[FieldError] = ()
    ) -> None:
        super().__init__(detail, errors)
        self.retry_after_s = retry_after_s
