"""Live questions for similar streamers: by which model they are answered, and who hears of them."""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable

from starlette.types import Scope

from service.errors import Overloaded, ServiceError
from service.features.similar.asking import SimilarQuery
from service.features.similar.service import Similar, SimilarAnswer

_log = logging.getLogger(__name__)


class LiveQuestions(ABC):
    """Chooses the model that answers a caller, and hears of each question that was answered."""

    @abstractmethod
    async def canary_for(self, scope: Scope, own: Similar) -> Similar | None:
        """What answers a caller in place of `own`; None where `own` does.

        It has all writes that `own` has.
        """

    @abstractmethod
    def could_not_answer(self) -> None:
        """The canary could not answer a question that the active model has answered."""

    @abstractmethod
    def note(self, answered_by: Similar, hits: int, took_s: float) -> bool:
        """Hear of a question; whether `sample` should have it."""

    @abstractmethod
    def sample(self, query: SimilarQuery, body_bytes: int | None) -> None:
        """Take a question to be asked of two models later.

        Args:
            query: the question.
            body_bytes: of the request's body; None where they are not known.
        """


async def answered(
    live: LiveQuestions,
    scope: Scope,
    own: Similar,
    query: SimilarQuery,
    ask: Callable[[Similar], Awaitable[SimilarAnswer]],
) -> tuple[Similar, SimilarAnswer]:
    """An answer by one model alone, and the model.

    What the canary can't answer, the active model does: a caller never gets an error for being
    among its share.

    Raises:
        ServiceError: as `ask` does of the active model.
    """
    begin, model, failed = time.perf_counter(), own, False
    # A vector means nothing to another model than the one that made it.
    canary = None if query.has_vectors else await live.canary_for(scope, own)
    answer: SimilarAnswer | None = None
    if canary is not None:
        try:
            answer, model = await ask(canary), canary
        except Overloaded:
            raise  # the threads are those of both
        except ServiceError:
            failed = True
        except Exception:  # noqa: BLE001 - nobody is to suffer for being in its share
            _log.exception("the canary can't answer")
            failed = True
    if answer is None:
        answer = await ask(own)
        if failed:
            live.could_not_answer()
    if live.note(model, len(answer.hits), time.perf_counter() - begin):
        live.sample(query, body_bytes_of(scope))
    return model, answer


def body_bytes_of(scope: Scope) -> int | None:
    """Bytes of a request's body; None where it does not tell."""
    if scope["method"] == "GET":
        return 0
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return None
