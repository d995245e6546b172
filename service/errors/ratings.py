"""Errors of ratings."""

from service.errors.base import RequestError


class RatingNotFound(RequestError):
    """Nobody with this key has rated the streamer for this question."""

    status, code, title = 404, "rating_not_found", "There is no such rating"
    example = "the key 'keyless' has not rated 'w0412' for question 'd2a1c7b4f05e9386'"
