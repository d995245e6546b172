"""Errors of the service, and what the caller is told.

ServiceError                500   unexpected; the log has the cause
├── RequestError                  the caller can correct it
│   ├── InvalidRequest      422   a field is wrong; `errors` names each by JSON pointer
│   │   ├── UrlRefused      422   a URL that is never fetched: host, port, address, ...
│   │   └── MediaNotFetched 422   what a URL returned is no picture or sound, or too large
│   ├── PrecisionNotPromised 422  the model's calibration cannot promise the precision
│   ├── IdempotencyKeyReused 422  the `Idempotency-Key` belongs to another request
│   ├── MalformedBody       400   not JSON, not UTF-8
│   ├── MalformedRequest    400   not HTTP/1.1, no Host, or a header twice that may come once
│   ├── Unauthorized        401
│   ├── OriginNotAllowed    403   keyless, and asked by a page from elsewhere
│   ├── MissingScope        403   the API key may not be used for this
│   ├── NoSuchPath          404
│   ├── StreamerNotFound    404   names the ids that are not stored
│   ├── JobNotFound         404   no such job, or it is no longer kept
│   ├── GroupNotFound       404   there was never a group of duplicates of this id
│   ├── JudgementNotFound   404   the pair is not judged
│   ├── RatingNotFound      404   this key has not rated the streamer for this question
│   ├── CaseNotFound        404   there is no such case
│   ├── NotInCase           404   the streamer is not in the case
│   ├── ModelNotFound       404   no model of this version is registered
│   ├── ComparisonNotFound  404   the model was not compared with the active one
│   ├── ShadowNotFound      404   the model has had no shadow
│   ├── SpaceNotFound       404   nothing was handed over for the space
│   ├── GenerationNotFound  404   the space has no such generation
│   ├── KeyNotFound         404   there is no such API key, or not any more
│   ├── WebhookNotFound     404   there is no such webhook, or not any more
│   ├── WatchlistNotFound   404   there is no such watchlist, or not any more
│   ├── AlertNotFound       404   there was never an alert of this id
│   ├── LayoutNotFound      404   no layout was fitted, or another one is served
│   ├── ListNotFound        404   no list is saved under this name, or its run is not kept
│   ├── OutreachNotFound    404   there is no such record of outreach
│   ├── MethodNotAllowed    405
│   ├── BodyTooSlow         408
│   ├── HeaderTooSlow       408
│   ├── ResultsNotRead      408   a bulk client sends on and reads no results
│   ├── NoVector            409   the streamer is stored without a vector
│   ├── JobStateConflict    409   the job is in a state in which that can't be done
│   ├── ResultNotHere       409   the file with the job's result is on another replica, or lost
│   ├── JobRestored         409   the job was under way when a restored backup was made
│   ├── InputChanged        409   what a job reads changed while it ran
│   ├── ModelStateConflict  409   a model is in a state in which that can't be done
│   ├── ModelNotEverywhere  409   replicas miss the model, or are not ready for it
│   ├── ModelGateFailed     409   what people decided stands against a promotion
│   ├── LayoutNotFitted     409   of a job: what fits layouts is missing, or streamers
│   ├── GenerationExists    409   a generation of a space never changes
│   ├── GenerationRefused   409   the generation failed its checks
│   ├── GenerationInUse     409   the generation is served
│   ├── NothingBefore       409   no generation was served before
│   ├── HandOverUnderWay    409   another generation is being received or promoted
│   ├── LastAdminKey        409   no other API key has the scope admin
│   ├── KeyTextNotKept      409   the text of an API key was shown to an earlier request
│   ├── TooManyWebhooks     409   there are as many as there may be
│   ├── TooManyWatchlists   409   no more watchlists or seeds are kept
│   ├── NothingToUndo       409   a case has no change that can be taken back
│   ├── WriteContended      409   others wrote the streamer during each attempt of a PATCH
│   ├── IdempotencyKeyInUse 409   the first request with this `Idempotency-Key` is under way
│   ├── TooManyRecords      409   too many lists, records of outreach or ratings are kept
│   ├── CursorExpired       410   the answer that it continues is no longer kept
│   ├── VersionConflict     412   `If-Match` / `If-None-Match` does not hold
│   ├── ListConflict        412   likewise of a saved list
│   ├── CaseChanged         412   somebody changed the case since it was read
│   ├── BodyTooLarge        413
│   ├── UnsupportedMediaType 415  the body is declared as something else than it has to be
│   ├── RangeNotSatisfiable 416   the file of a job ends before the part that is asked for
│   ├── HostNotAllowed      421   keyless, and called by a name that is not this machine's
│   ├── IfMatchNeeded       428   a change of a case has to say which state it is of
│   └── HeaderTooLarge      431
├── Unavailable                   the caller may try again; carries `retry_after_s`
│   ├── RateLimited         429   the API key has used up its rate limit
│   ├── Overloaded          503   the queue is full or the deadline passed in it
│   ├── StoreUnavailable    503   the store does not answer; nothing was acknowledged
│   │   └── NotReplicated   503   the primary did it, and too few replicas acknowledged that
│   ├── AuditUnavailable    503   the audit log can't be written
│   ├── StoreFull           507   the store cannot write: disk or memory is full
│   ├── SpoolFull           507   there is no room for the files of jobs
│   ├── TooManyJobs         503   too many jobs are queued or running
│   ├── JobGivenUp          503   the processes that ran a job died, again and again
│   ├── ModelChanged        503   the store holds vectors of a newer model than this process serves
│   ├── MediaUnavailable    503   the host of a picture or sound does not answer properly
│   ├── Stopping            503   the process ends
│   ├── TooManyConnections  503
│   ├── NotReady            503   something is not in memory yet
│   ├── IndexUnavailable    503   Milvus, which has the index, does not answer
│   └── NotYetVisible       503   `after_sequence` was not reached in time
└── StartupError                  the service refuses to start, and says what to do
    ├── FolderInUse               another service owns the data folder
    ├── ModelMismatch             the data folder holds vectors of another model
    ├── StoreStartFailed          the embedded store did not come up
    ├── NewerStore                the store is of a format that this release does not know
    ├── DataLost                  the store lacks writes that it acknowledged
    └── UnsafeConfiguration       open to the network without a key, twin packages, ...

`service.http.problems` answers with problem+json (RFC 9457); `/errors` lists every code. `status`,
`code` and `title` are the API's, `example` a typical `detail`. StartupErrors are a line on stderr.
"""

from typing import Self

from service.errors.base import FieldError as FieldError
from service.errors.base import RequestError as RequestError
from service.errors.base import ServiceError as ServiceError
from service.errors.base import Unavailable as Unavailable
from service.errors.cases import CaseChanged as CaseChanged
from service.errors.cases import CaseNotFound as CaseNotFound
from service.errors.cases import IfMatchNeeded as IfMatchNeeded
from service.errors.cases import NothingToUndo as NothingToUndo
from service.errors.cases import NotInCase as NotInCase
from service.errors.duplicates import GroupNotFound as GroupNotFound
from service.errors.duplicates import JudgementNotFound as JudgementNotFound
from service.errors.jobs import InputChanged as InputChanged
from service.errors.jobs import JobGivenUp as JobGivenUp
from service.errors.jobs import JobNotFound as JobNotFound
from service.errors.jobs import JobRestored as JobRestored
from service.errors.jobs import JobStateConflict as JobStateConflict
from service.errors.jobs import RangeNotSatisfiable as RangeNotSatisfiable
from service.errors.jobs import ResultNotHere as ResultNotHere
from service.errors.jobs import SpoolFull as SpoolFull
from service.errors.jobs import TooManyJobs as TooManyJobs
from service.errors.keys import HostNotAllowed as HostNotAllowed
from service.errors.keys import IdempotencyKeyInUse as IdempotencyKeyInUse
from service.errors.keys import IdempotencyKeyReused as IdempotencyKeyReused
from service.errors.keys import KeyNotFound as KeyNotFound
from service.errors.keys import KeyTextNotKept as KeyTextNotKept
from service.errors.keys import LastAdminKey as LastAdminKey
from service.errors.keys import MissingScope as MissingScope
from service.errors.keys import OriginNotAllowed as OriginNotAllowed
from service.errors.keys import RateLimited as RateLimited
from service.errors.layouts import LayoutNotFitted as LayoutNotFitted
from service.errors.layouts import LayoutNotFound as LayoutNotFound
from service.errors.lists import ListConflict as ListConflict
from service.errors.lists import ListNotFound as ListNotFound
from service.errors.lists import OutreachNotFound as OutreachNotFound
from service.errors.lists import TooManyRecords as TooManyRecords
from service.errors.models import ComparisonNotFound as ComparisonNotFound
from service.errors.models import IndexUnavailable as IndexUnavailable
from service.errors.models import ModelGateFailed as ModelGateFailed
from service.errors.models import ModelNotEverywhere as ModelNotEverywhere
from service.errors.models import ModelNotFound as ModelNotFound
from service.errors.models import ModelStateConflict as ModelStateConflict
from service.errors.models import ShadowNotFound as ShadowNotFound
from service.errors.ratings import RatingNotFound as RatingNotFound
from service.errors.slow import BodyTooSlow as BodyTooSlow
from service.errors.slow import HeaderTooSlow as HeaderTooSlow
from service.errors.spaces import GenerationExists as GenerationExists
from service.errors.spaces import GenerationInUse as GenerationInUse
from service.errors.spaces import GenerationNotFound as GenerationNotFound
from service.errors.spaces import GenerationRefused as GenerationRefused
from service.errors.spaces import HandOverUnderWay as HandOverUnderWay
from service.errors.spaces import NothingBefore as NothingBefore
from service.errors.spaces import SpaceNotFound as SpaceNotFound
from service.errors.watchlists import AlertNotFound as AlertNotFound
from service.errors.watchlists import TooManyWatchlists as TooManyWatchlists
from service.errors.watchlists import WatchlistNotFound as WatchlistNotFound
from service.errors.webhooks import TooManyWebhooks as TooManyWebhooks
from service.errors.webhooks import WebhookNotFound as WebhookNotFound
from service.errors.writes import NotReplicated as NotReplicated
from service.errors.writes import NotYetVisible as NotYetVisible
from service.errors.writes import ResultsNotRead as ResultsNotRead
from service.errors.writes import StoreFull as StoreFull
from service.errors.writes import StoreUnavailable as StoreUnavailable
from service.errors.writes import WriteContended as WriteContended


class InvalidRequest(RequestError):
    """One or more fields, parameters or headers are wrong; `errors` names the first twenty."""

    status, code, title = 422, "invalid_request", "The request is not valid"
    example = "/nmae: is not a known field; remove it or check its spelling"

    @classmethod
    def of(cls, pointer: str, detail: str) -> Self:
        """A single wrong field, by its JSON pointer; empty = the body."""
        return cls(f"{pointer or 'body'}: {detail}", [FieldError(pointer, detail)])

    @classmethod
    def of_parameter(cls, name: str, detail: str) -> Self:
        """A single wrong parameter of the path or query, or a wrong header."""
        return cls(f"{name} {detail}", [FieldError("", detail, parameter=name)])

    @classmethod
    def of_cursor(cls) -> Self:
        """A cursor of a listing that was made up or changed."""
        return cls.of_parameter("cursor", "is not a cursor that this service gave")


class UrlRefused(InvalidRequest):
    """The service never fetches this URL of a picture or sound; send bytes, or allow the host."""

    code, title = "url_refused", "The URL is not fetched"
    example = "/avatar/url: this service fetches from no host; set STREAMER_MEDIA__URL_HOSTS"


class MediaNotFetched(InvalidRequest):
    """What the URL returned is no usable picture or sound; fetching it again changes nothing."""

    code, title = "media_not_fetched", "No usable picture or sound at the URL"
    example = "/avatar/url: is neither a picture nor a sound"


class PrecisionNotPromised(RequestError):
    """The model's scores are not calibrated, or cannot promise this `min_precision`."""

    status, code, title = 422, "precision_not_promised", "The precision cannot be promised"
    example = "the model's calibration promises at most 0.97; ask for less, or give min_score"


class MalformedBody(RequestError):
    """The body is not JSON in UTF-8, is nested too deeply, or has a number that is too long."""

    status, code, title = 400, "malformed_body", "The body cannot be read"
    example = "not JSON: Expecting value"


class MalformedRequest(RequestError):
    """The request is not HTTP/1.1, lacks `Host`, or repeats a header that may come once."""

    status, code, title = 400, "malformed_request", "The request cannot be read"
    example = "the header authorization came more than once; send it once"


class Unauthorized(RequestError):
    """The API key is missing, unknown, expired or revoked; send `Authorization: Bearer <key>`."""

    status, code, title = 401, "unauthorized", "An API key is needed"
    example = "send the API key as 'Authorization: Bearer <key>'"


class NoSuchPath(RequestError):
    """There is nothing at this path; `/openapi.json` lists all paths."""

    status, code, title = 404, "no_such_path", "No such path"
    example = "there is nothing at this path; /docs and /openapi.json list all paths"


class StreamerNotFound(RequestError):
    """One or more streamers are not stored; `errors` names the first twenty."""

    status, code, title = 404, "streamer_not_found", "Unknown streamer"
    example = "streamer 's-1' is not stored"


class MethodNotAllowed(RequestError):
    """The path has no such method; the `Allow` header lists those that it has."""

    status, code, title = 405, "method_not_allowed", "Method not allowed"
    example = "this path takes GET; it does not take POST"


class NoVector(RequestError):
    """The streamer is stored and shows nothing that the model can use, so it has no vector."""

    status, code, title = 409, "no_vector", "The streamer has no vector"
    example = "streamer 's-1' shows nothing that the model can use"


class CursorExpired(RequestError):
    """The answer that the cursor continues is no longer kept; ask the question again."""

    status, code, title = 410, "cursor_expired", "The answer is no longer kept"
    example = "the answer that this cursor continues is not kept any more; ask again"


class VersionConflict(RequestError):
    """The stored version is not the one that `If-Match` or `If-None-Match` expects."""

    status, code, title = 412, "version_conflict", "The streamer has another version"
    example = "streamer 's-1' is at version 18, not 17; read it again and repeat the change"


class BodyTooLarge(RequestError):
    """The body, or a line of it, is over the limit; send less at once."""

    status, code, title = 413, "body_too_large", "The body is too large"
    example = "the body may have 8388608 bytes"


class UnsupportedMediaType(RequestError):
    """The path takes another content type: JSON, or NDJSON for many lines."""

    status, code, title = 415, "unsupported_media_type", "The content type is not supported"
    example = "send the body with Content-Type: application/json; it came as 'text/plain'"


class HeaderTooLarge(RequestError):
    """The request line and header fields are over the limit; send shorter ones."""

    status, code, title = 431, "header_too_large", "The request header is too large"
    example = "the header may have 65536 bytes"


class Overloaded(Unavailable):
    """More work is waiting than can be done in time; try again after `Retry-After` seconds."""

    code, title = "overloaded", "The service is overloaded"
    example = "512 profiles are waiting already"


class AuditUnavailable(Unavailable):
    """The audit log can't be written, and what has to be in it is refused until it can."""

    code, title = "audit_unavailable", "The audit log cannot be written"
    example = "the audit log can't be written (No space left on device): free space on its disk"


class ModelChanged(Unavailable):
    """The store was re-encoded for another model; write to a process that serves that one."""

    code, title = "model_changed", "The store holds another model's vectors"
    example = "the store holds vectors of model '2', this process serves '1'"


class MediaUnavailable(Unavailable):
    """The host of a picture or sound does not answer, or breaks off; later it may."""

    code, title = "media_unavailable", "A picture or sound cannot be fetched at the moment"
    example = "/avatar/url: its host does not answer; try again"

    @classmethod
    def of(cls, pointer: str, detail: str) -> Self:
        """The field whose URL was fetched."""
        return cls(f"{pointer}: {detail}", retry_after_s=5, errors=[FieldError(pointer, detail)])


class NotReady(Unavailable):
    """What the answer needs (the index, a space, the map, a model) is not in memory yet."""

    code, title = "not_ready", "The service is not ready yet"
    example = "the index is being built from the store"


class Stopping(Unavailable):
    """The process ends, and what is not done yet ends with it; ask another process, or later."""

    code, title = "stopping", "The service is stopping"
    example = "the service is stopping; try again"


class TooManyConnections(Unavailable):
    """All connections that the service may have are in use; keep connections open, or wait."""

    code, title = "too_many_connections", "Too many connections are open"
    example = "all connections that the service may have are in use; try again"


class StartupError(ServiceError):
    """The service refuses to start; the message says what to do."""


class FolderInUse(StartupError):
    """Another service owns the data folder."""


class ModelMismatch(StartupError):
    """The data folder holds vectors of another model."""


class StoreStartFailed(StartupError):
    """The embedded store did not come up."""


class NewerStore(StartupError):
    """A newer release wrote the store, in a format that this one does not know."""


class DataLost(StartupError):
    """The store lacks writes that it acknowledged."""


class UnsafeConfiguration(StartupError):
    """A configuration that would be unsafe or would silently do something else."""


def in_one_line(error: Exception) -> str:
    """An error as a person at a terminal is told; of the system's, the path and the remedy."""
    if isinstance(error, OSError) and error.filename is not None:
        reason = error.strerror or type(error).__name__
        return f"{error.filename} can't be used ({reason}): check the path and its permissions"
    return " ".join(str(error).split())


def catalogue() -> dict[str, type[ServiceError]]:
    """Every error that a caller can be told, by its code."""
    found = {ServiceError.code: ServiceError}
    waiting: list[type[ServiceError]] = [RequestError, Unavailable]
    while waiting:
        kind = waiting.pop(0)
        if "code" in vars(kind):
            found[kind.code] = kind
        waiting += kind.__subclasses__()
    return found
