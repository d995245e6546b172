"""The release that the service tells."""

import sys
from importlib.metadata import version

import pytest

from service.release import release


def test_a_checkout_that_is_not_installed_has_no_release(monkeypatch: pytest.MonkeyPatch) -> None:
    assert release() == version("similar-streamer")
    monkeypatch.setattr(sys, "path", [])
    assert release() == "unknown"
