"""Which release of the service this is."""

from importlib.metadata import PackageNotFoundError, version


def release() -> str:
    """This release; `unknown` in a checkout that is not installed."""
    try:
        return version("similar-streamer")
    except PackageNotFoundError:
        return "unknown"
