"""Errors of the store."""

from service.errors.base import Unavailable


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
