"""Upper bounds of a request's numbers that come from the settings."""

from service.errors import FieldError, InvalidRequest


def check_at_most(value: int, limit: int, name: str, *, parameter: bool = False) -> None:
    """Refuse a value above its limit.

    Args:
        value: as it was asked for.
        limit: of the settings.
        name: of the body's field, or of the query parameter.
        parameter: whether it is a parameter.

    Raises:
        InvalidRequest: it is above.
    """
    if value > limit:
        detail = f"may be at most {limit}; it is {value}"
        error = FieldError("", detail, name) if parameter else FieldError(f"/{name}", detail)
        raise InvalidRequest(f"{name} {detail}", [error])
