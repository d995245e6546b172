"""Typed client of the REST API, with asyncio and without; needs httpx and pydantic alone."""

from service.client.asynchronous import AsyncClient
from service.client.errors import (
    AnswerCut,
    ApiProblem,
    ClientError,
    Conflict,
    DeadlineExceeded,
    Invalid,
    JobCancelled,
    JobEnded,
    JobFailed,
    NotAllowed,
    NotFound,
    OutcomeUnknown,
    Unavailable,
    UnexpectedAnswer,
    Unreachable,
)
from service.client.patience import Patience
from service.client.synchronous import Client

__all__ = [
    "AnswerCut",
    "ApiProblem",
    "AsyncClient",
    "Client",
    "ClientError",
    "Conflict",
    "DeadlineExceeded",
    "Invalid",
    "JobCancelled",
    "JobEnded",
    "JobFailed",
    "NotAllowed",
    "NotFound",
    "OutcomeUnknown",
    "Patience",
    "Unavailable",
    "UnexpectedAnswer",
    "Unreachable",
]
