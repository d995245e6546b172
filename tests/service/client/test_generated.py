"""The client without asyncio is the one with it, written by the generator."""

import inspect
import re

import pytest

from service.client import AsyncClient, Client
from service.client.generate import FOLDER, WRITTEN, without_asyncio


@pytest.mark.parametrize("name", WRITTEN)
def test_the_committed_files_are_up_to_date(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == without_asyncio(WRITTEN[name])


def test_both_clients_have_the_same_methods() -> None:
    def methods(kind: type) -> dict[str, str]:
        found = inspect.getmembers(kind, inspect.isfunction)
        return {
            name: re.sub(r"Async|\ba(?=sync)|, None(?=\])", "", str(inspect.signature(method)))
            for name, method in found
            if not name.startswith("_") and not name.endswith("close")
        }

    ours, theirs = methods(Client), methods(AsyncClient)
    assert ours.keys() == theirs.keys()
    assert len(ours) > 10
    for name, signature in ours.items():
        assert signature.replace(", None, None", "").replace(", None", "") == theirs[name].replace(
            ", None", ""
        )
    assert not any(inspect.iscoroutinefunction(m) for _, m in inspect.getmembers(Client))
