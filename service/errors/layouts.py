"""Errors of the map of the corpus."""

from service.errors.base import RequestError


class LayoutNotFound(RequestError):
    """No layout was fitted yet, or the one that is asked for is replaced by another."""

    status, code, title = 404, "layout_not_found", "There is no such layout"
    example = "no layout was fitted yet: POST /v1/layouts:fit"


class LayoutNotFitted(RequestError):
    """A job can't fit a layout here; `detail` says what is missing."""

    status, code, title = 409, "layout_not_fitted", "The layout can't be fitted"
    example = (
        "layouts are fitted by umap-learn, which is not installed: "
        "pip install 'similar-streamer[map]' where the service runs"
    )
