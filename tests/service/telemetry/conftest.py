"""Services that send traces are forks like those of other tests."""

from collections.abc import Iterator

import pytest

from tests.service import process


@pytest.fixture(scope="package", autouse=True)
def forks() -> Iterator[None]:
    """Fork in spite of these variables: what reads them is imported after the fork."""
    parent_for = process.parent_for

    def known(name: str) -> bool:
        return name.startswith("OTEL_") or name == "NO_PROXY"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            process,
            "parent_for",
            lambda variables: parent_for({n: v for n, v in variables.items() if not known(n)}),
        )
        yield
