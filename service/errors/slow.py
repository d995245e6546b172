"""Errors of clients that send or read too slowly."""

from service.errors.base import RequestError


class BodyTooSlow(RequestError):
    """The body did not arrive in time; send it faster, or less at once."""

    status, code, title = 408, "body_too_slow", "The body arrives too slowly"
    example = "the body did not come within 60 s; send it faster"


class HeaderTooSlow(RequestError):
    """The request header did not arrive in time; send it faster."""

    status, code, title = 408, "header_too_slow", "The request header arrives too slowly"
    example = "the header did not come within 10 s; send it faster"
