"""Errors of duplicates, and of the feed of events."""

from service.errors.base import RequestError


class GroupNotFound(RequestError):
    """There was never a group of duplicates of this id; ids of groups that are no more resolve."""

    status, code, title = 404, "group_not_found", "Unknown group of duplicates"
    example = "there was never a group 'dup-0f3c9a1b5e7d2c4a6b8f9e01'"


class JudgementNotFound(RequestError):
    """Nobody has judged this pair."""

    status, code, title = 404, "judgement_not_found", "The pair is not judged"
    example = "the pair 'w0001', 'w0002' has no judgement"
