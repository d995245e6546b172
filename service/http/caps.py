"""Upper bounds of a request's numbers that come from the settings."""

from service.errors import InvalidRequest


def check_at_most(value: int, limit: int, name: str, *, parameter: bool = False) -> None:
    """Refuse a number above its limit.

    Args:
        value: the number in the request.
        limit: the largest that the settings allow.
        name: the body's field, or the query parameter.
        parameter: whether it is a parameter.

    Raises:
        InvalidRequest: `value` is above `limit`.
    """
    if value > limit:
        detail = f"may be at most {limit}; it is {value}"
        if parameter:
            raise InvalidRequest.of_parameter(name, detail)
        raise InvalidRequest.of(f"/{name}", detail)
