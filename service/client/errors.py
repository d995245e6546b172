"""Errors of the client.

ClientError
├── Unreachable             no connection, or it broke, or no answer came in time
│   └── DeadlineExceeded    the time of the call was over
├── UnexpectedAnswer        the answer is not this API's: another server, or a proxy's own page
├── AnswerCut               a stream of lines ended before its last line
├── JobEnded                a job that was waited for has not succeeded
│   ├── JobFailed           it failed; `job.error` says why
│   └── JobCancelled        it was cancelled
├── OutcomeUnknown          a write may have been carried out, and again could be twice
└── ApiProblem              the service refused, by a problem document
    ├── NotAllowed     401, 403
    ├── NotFound       404
    ├── Conflict       409, 412
    ├── Unavailable    429, 503, 504, 507   a later try may work
    └── Invalid        any other 4xx

Each knows whether a later try may work (`is_passing`), and whether the request may have been
carried out nevertheless (`is_in_doubt`).
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from http import HTTPStatus

import httpx
from pydantic import ValidationError

from model_export.contract.errors import first_problem
from service.features.jobs.schemas import JobOut
from service.http.schemas import FieldProblem, Problem

_PASSING = frozenset({429, 502, 503, 504, 507})
_PASSING_CODES = frozenset({"idempotency_key_in_use", "write_contended"})
_NOT_DONE = frozenset(
    {
        "media_unavailable",
        "model_changed",
        "not_ready",
        "overloaded",
        "too_many_connections",
    }
)
"""Codes of refusals that come before anything is written."""
_SHOWN_CHARS = 200


class ClientError(Exception):
    """A call failed.

    Attributes:
        detail: what went wrong, in a line.
        is_passing: whether a later try may work.
        is_in_doubt: whether the service may have carried out the request, in any of its tries.
        retry_after_s: how long to wait before a later try, if the service said so.
    """

    is_passing = False
    is_in_doubt = False
    retry_after_s: float | None = None

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Unreachable(ClientError):
    """No connection, or it broke, or no answer came in time."""

    is_passing = True

    def __init__(self, detail: str, *, is_in_doubt: bool = True) -> None:
        super().__init__(detail)
        self.is_in_doubt = is_in_doubt


class DeadlineExceeded(Unreachable):
    """The time of the call was over."""

    is_passing = False


class UnexpectedAnswer(ClientError):
    """The answer is not this API's."""

    is_in_doubt = True

    def __init__(
        self, url: str, status: int, body: bytes, wrong: ValidationError | None = None
    ) -> None:
        text = " ".join(body[: 4 * _SHOWN_CHARS].decode(errors="replace").split())[:_SHOWN_CHARS]
        why = "is this the address of the service?"
        if wrong is not None and body.lstrip().startswith(b"{") and wrong.errors()[0]["loc"]:
            why = (
                f"{first_problem(wrong)}: the service may be of another release than this client, "
                "or something else has its address"
            )
        super().__init__(f"{url} answers {status}: {text}; {why}")
        self.status = status
        self.is_passing = status in _PASSING


class AnswerCut(ClientError):
    """A stream of lines ended before its last line; ask again for all of it."""


class JobEnded(ClientError):
    """A job that was waited for has not succeeded.

    Attributes:
        job: as it ended.
    """

    def __init__(self, job: JobOut) -> None:
        why = "" if job.error is None else f": {job.error.detail}"
        ended = "was cancelled" if job.state == "cancelled" else f"has {job.state}"
        super().__init__(f"the job {job.job_id} {ended}{why}")
        self.job = job


class JobFailed(JobEnded):
    """It failed; `job.error` is the problem document. `retry` goes on where it stood."""


class JobCancelled(JobEnded):
    """It was cancelled."""


class OutcomeUnknown(ClientError):
    """A write may have been carried out, and sending it again could do it twice.

    Read what it was to change, and write again where that is not as it was to become.
    """

    is_in_doubt = True


class ApiProblem(ClientError):
    """The service refused.

    Attributes:
        problem: the document that it sent.
    """

    def __init__(self, problem: Problem, retry_after_s: float | None = None) -> None:
        super().__init__(problem.detail)
        self.problem = problem
        self.retry_after_s = retry_after_s
        may_pass = problem.status in _PASSING or problem.code in _PASSING_CODES
        self.is_passing = may_pass and problem.store_sequence is None  # nothing brings it back
        is_refused = problem.status < 500 and problem.status != HTTPStatus.REQUEST_TIMEOUT
        self.is_in_doubt = not is_refused and problem.code not in _NOT_DONE

    def __str__(self) -> str:
        return f"{self.code} ({self.status}): {self.detail}"

    @property
    def code(self) -> str:
        """The stable name of the problem, such as `streamer_not_found`."""
        return self.problem.code

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.problem.status

    @property
    def request_id(self) -> str | None:
        """The request's id, which is in the service's log as well."""
        return self.problem.request_id

    @property
    def errors(self) -> list[FieldProblem]:
        """The wrong fields, the first twenty."""
        return self.problem.errors or []


class NotAllowed(ApiProblem):
    """401, 403: no key, a wrong one, or one that may not do this."""


class NotFound(ApiProblem):
    """404: names the ids that are not stored."""


class Conflict(ApiProblem):
    """409, 412: what is stored does not allow it, or is not at the expected version."""


class Unavailable(ApiProblem):
    """429, 502 to 504, 507: a later try may work."""


class Invalid(ApiProblem):
    """Any other 4xx: the request has to be changed."""


_BY_STATUS = {401: NotAllowed, 403: NotAllowed, 404: NotFound, 409: Conflict, 412: Conflict}


def problem_error(problem: Problem, retry_after_s: float | None = None) -> ApiProblem:
    """The error of a problem document."""
    kind = _BY_STATUS.get(problem.status)
    if kind is None:
        kind = Unavailable if problem.status in _PASSING else ApiProblem
        kind = Invalid if 400 <= problem.status < 500 and kind is ApiProblem else kind
    return kind(problem, retry_after_s)


def refusal_of(url: str, status: int, headers: Mapping[str, str], body: bytes) -> ClientError:
    """The error of an answer that is no success.

    Args:
        url: of the service.
        status: of HTTP.
        headers: by lower-case name.
        body: a problem document, unless something between the client and the service answered.
    """
    try:
        retry_after_s = float(headers.get("retry-after", ""))
    except ValueError:  # none, or a date, which only proxies send
        retry_after_s = None
    try:
        problem = Problem.model_validate_json(body)
    except ValidationError:
        error = UnexpectedAnswer(url, status, body)
        error.retry_after_s = retry_after_s
        return error
    if problem.request_id is None:
        problem.request_id = headers.get("x-request-id")
    return problem_error(problem, retry_after_s)


@contextmanager
def connection_errors(url: str) -> Generator[None, None, None]:
    """Turn errors of httpx into those of the client.

    Raises:
        ClientError: in place of any of httpx; mostly `Unreachable`.
    """
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        reason = str(error) or type(error).__name__
        raise Unreachable(f"{url} can't be reached ({reason})", is_in_doubt=False) from error
    except httpx.TimeoutException as error:
        raise Unreachable(f"{url} did not answer in time ({type(error).__name__})") from error
    except (httpx.UnsupportedProtocol, httpx.InvalidURL, UnicodeError) as error:  # of a host
        raise ClientError(f"{url} can't be asked like this: {error}") from error
    except httpx.LocalProtocolError:  # whose text quotes headers, and so may quote the key
        raise ClientError(f"{url} can't be asked like this: a header can't be sent") from None
    except (httpx.HTTPError, httpx.StreamError) as error:
        reason = str(error) or type(error).__name__
        raise Unreachable(f"{url} did not answer ({reason})") from error
