"""What can go wrong, and what the caller is told.

ServiceError
├── RequestError                  the caller can mend it
│   ├── InvalidRequest      422   a field is wrong; `errors` names each by JSON pointer
│   │   ├── UrlRefused      422   a URL that is never asked: host, port, address, ...
│   │   └── MediaNotFetched 422   what a URL gave is no picture or sound, or too much
│   ├── PrecisionNotPromised 422  the model's calibration can't promise the wanted precision
│   ├── MalformedBody       400   not JSON, not UTF-8
│   ├── BodyTooLarge        413
│   ├── UnsupportedMediaType 415  the body is declared as something else than it has to be
│   ├── MalformedRequest    400   a header that may come once comes twice
│   ├── Unauthorized        401
│   ├── HostNotAllowed      421   keyless, and called by a name that is not this machine's
│   ├── OriginNotAllowed    403   keyless, and asked by a page from elsewhere
│   ├── NoSuchPath          404
│   ├── StreamerNotFound    404   names every id that is not there
│   ├── CursorExpired       410   the answer that it continues is not kept any more
│   ├── VersionConflict     412   `If-Match` / `If-None-Match` no longer hold
│   └── WriteContended      409   others wrote the streamer during each attempt of a PATCH
├── Unavailable                   the caller may try again; carries `retry_after_s`
│   ├── Overloaded          503   the queue is full or the deadline passed in it
│   ├── StoreUnavailable    503   the store does not answer; nothing was acknowledged
│   ├── StoreFull           507   the store can't write: disk or memory is full
│   ├── ModelChanged        503   the store holds vectors of a newer model than this process serves
│   ├── MediaUnavailable    503   the host of a picture or sound does not answer properly
│   ├── Stopping            503   the process ends
│   ├── NotReady            503   starting, or rebuilding the index
│   └── NotYetVisible       503   `after_sequence` was not reached in time
└── StartupError                  the service refuses to start, and says what to do
    ├── FolderInUse               another service owns the data folder
    ├── ModelMismatch             the data folder holds vectors of another model
    ├── StoreStartFailed          the embedded store did not come up
    ├── DataLost                  the store lacks writes that it acknowledged
    └── UnsafeConfiguration       open to the network without a key, twin packages, ...

`service.app` maps RequestError and Unavailable to problem+json (RFC 9457); StartupErrors end the
process with one line on stderr.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class FieldError:
    """One wrong field: a JSON pointer (RFC 6901) into the body, or the name of a parameter."""

    pointer: str
    detail: str
    parameter: str | None = None


class ServiceError(Exception):
    """Base of all errors of the service."""

    status = 500
    code = "internal"
    title = "Internal error"

    def __init__(self, detail: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)


class RequestError(ServiceError):
    """The caller can mend it."""


class InvalidRequest(RequestError):
    """One or more fields are wrong."""

    status, code, title = 422, "invalid_request", "The request is not valid"

    @classmethod
    def of(cls, pointer: str, detail: str) -> Self:
        """A single wrong field."""
        return cls(f"{pointer}: {detail}", [FieldError(pointer, detail)])


class UrlRefused(InvalidRequest):
    """The URL of a picture or sound is one that the service never asks."""

    code, title = "url_refused", "That URL is not fetched"


class MediaNotFetched(InvalidRequest):
    """What the URL gave can't be used, and asking again would give the same."""

    code, title = "media_not_fetched", "No usable picture or sound there"


class PrecisionNotPromised(RequestError):
    """The model's scores are not calibrated, or can't promise the wanted precision."""

    status, code, title = 422, "precision_not_promised", "That precision can't be promised"


class MalformedBody(RequestError):
    """The body is not JSON or not UTF-8."""

    status, code, title = 400, "malformed_body", "The body can't be read"


class BodyTooLarge(RequestError):
    """The body is over the limit."""

    status, code, title = 413, "body_too_large", "The body is too large"


class Unauthorized(RequestError):
    """No API key, or a wrong one."""

    status, code, title = 401, "unauthorized", "An API key is needed"


class UnsupportedMediaType(RequestError):
    """The body's content type is not the one that the path takes."""

    status, code, title = 415, "unsupported_media_type", "That content type is not taken"


class MalformedRequest(RequestError):
    """The request's header is ambiguous."""

    status, code, title = 400, "malformed_request", "The request can't be read"


class HostNotAllowed(RequestError):
    """Without an API key, the service was called by a name that is not this machine's."""

    status, code, title = 421, "host_not_allowed", "Not called by a name of this machine"


class OriginNotAllowed(RequestError):
    """Without an API key, a page from elsewhere asks."""

    status, code, title = 403, "origin_not_allowed", "Not asked by a page of this service"


class NoSuchPath(RequestError):
    """No route has this path."""

    status, code, title = 404, "no_such_path", "Not Found"


class StreamerNotFound(RequestError):
    """One or more streamers are not stored; all of them are named."""

    status, code, title = 404, "streamer_not_found", "Unknown streamer"


class CursorExpired(RequestError):
    """The answer that a cursor continues is not kept any more."""

    status, code, title = 410, "cursor_expired", "That answer is not kept any more"


class VersionConflict(RequestError):
    """The stored version is not the one that the caller expects."""

    status, code, title = 412, "version_conflict", "The streamer was changed meanwhile"


class WriteContended(RequestError):
    """Others wrote the streamer during each attempt of an unconditional PATCH."""

    status, code, title = 409, "write_contended", "Others write this streamer all the time"


class Unavailable(ServiceError):
    """The same request may work later."""

    status, code, title = 503, "unavailable", "Not available at the moment"

    def __init__(
        self, detail: str, retry_after_s: int = 1, errors: Sequence[FieldError] = ()
    ) -> None:
        super().__init__(detail, errors)
        self.retry_after_s = retry_after_s


class Overloaded(Unavailable):
    """More work is waiting than can be done in time."""

    code = "overloaded"


class StoreUnavailable(Unavailable):
    """The store does not answer. A write that met this was not acknowledged; it may be repeated."""

    code = "store_unavailable"


class StoreFull(Unavailable):
    """The store can't write any more: disk or memory is full."""

    status, code, title = 507, "store_full", "The store is full"


class ModelChanged(Unavailable):
    """The store was re-encoded for another model; write to a process that serves that one."""

    code, title = "model_changed", "The store holds another model's vectors"


class MediaUnavailable(Unavailable):
    """The host of a picture or sound does not answer, or breaks off; later it may."""

    code, title = "media_unavailable", "A picture or sound can't be had at the moment"

    @classmethod
    def of(cls, pointer: str, detail: str) -> Self:
        """The field whose URL was asked."""
        return cls(f"{pointer}: {detail}", retry_after_s=5, errors=[FieldError(pointer, detail)])


class NotReady(Unavailable):
    """The service is starting or rebuilding its index."""

    code = "not_ready"


class Stopping(Unavailable):
    """The process ends, and with it what is not done yet."""

    code = "stopping"


class NotYetVisible(Unavailable):
    """The index did not reach the wanted sequence in time."""

    code = "not_yet_visible"


class StartupError(ServiceError):
    """The service refuses to start; the message says what to do."""


class FolderInUse(StartupError):
    """Another service owns the data folder."""


class ModelMismatch(StartupError):
    """The data folder holds vectors of another model."""


class StoreStartFailed(StartupError):
    """The embedded store did not come up."""


class DataLost(StartupError):
    """The store lacks writes that it acknowledged."""


class UnsafeConfiguration(StartupError):
    """A configuration that would be unsafe or would silently do something else."""
