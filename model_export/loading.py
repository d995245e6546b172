"""Import strings: the exporter refers to trainers by name only."""

import argparse
import importlib
from collections.abc import Callable
from typing import Any, cast


def resolved(text: str) -> Callable[..., Any]:
    """Resolve `package.module:function`.

    Raises:
        argparse.ArgumentTypeError: the string is malformed, or there is no such function.
    """
    module_name, _, function_name = text.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), function_name)):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form package.module:function")
    try:
        found = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError) as error:
        raise argparse.ArgumentTypeError(f"can't load {text!r}: {error}") from error
    if not callable(found):
        raise argparse.ArgumentTypeError(f"{text!r} is not a function")
    return cast(Callable[..., Any], found)
