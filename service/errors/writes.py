"""Errors of writes."""

from service.errors.base import RequestError, Unavailable


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


class StoreUnavailable(Unavailable):
    """The store does not answer. The write was not acknowledged; it may be repeated."""

    code, title = "store_unavailable", "The store does not answer"
    example = "the write was not acknowledged; repeat it"


class NotReplicated(StoreUnavailable):
    """The store's primary did it, and too few replicas acknowledged that in time; repeat it."""

    code, title = "not_replicated", "Too few replicas have the write"
    example = "0 of 1 replicas acknowledged within 1000 ms: the primary has done what was asked for"


class StoreFull(Unavailable):
    """The store cannot write any more: its disk or memory is full."""

    status, code, title = 507, "store_full", "The store is full"
    example = "the store takes no more: its disk is full"


class NotYetVisible(Unavailable):
    """The index did not apply the write of `after_sequence` in time; ask again.

    Where `store_sequence` is there, the store ends at that number, before the write: it was lost,
    or is of another store, and nobody should wait for it.
    """

    code, title = "not_yet_visible", "The write is not visible yet"
    example = "the index has applied sequence 128, not yet 130"

    def __init__(self, detail: str, *, store_sequence: int | None = None) -> None:
        super().__init__(detail)
        self.store_sequence = store_sequence
