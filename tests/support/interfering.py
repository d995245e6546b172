"""Something that happens at an exact moment of what is tested."""

import contextlib
import sys
from collections.abc import Callable, Generator
from types import FrameType


@contextlib.contextmanager
def at_call(of: Callable[..., object], do: Callable[[], object]) -> Generator[None, None, None]:
    """Do something, which may raise, whenever this thread is about to call a function."""
    code = getattr(of, "__code__", None)

    def look(frame: FrameType, event: str, called: object) -> None:
        if (event == "c_call" and called is of) or (event == "call" and frame.f_code is code):
            do()

    sys.setprofile(look)
    try:
        yield
    finally:
        sys.setprofile(None)
