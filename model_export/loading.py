"""Parts of the command lines: trainers by import string, errors in one line."""

import argparse
import importlib
from collections.abc import Callable
from typing import Any, cast

_MOVED = {"training.models.encoder:load_checkpoint": "training.inference.load:load_checkpoint"}
"""Loaders that release 0.1.0 had under another name, and where they are."""


def told(error: Exception, options: str) -> str:
    """An error in one line; of a path that the system refuses, with the options to check."""
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename} can't be used: {error.strerror}; check {options}"
    return " ".join(str(error).split())


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
        moved = f" (since 0.1.0 it is {_MOVED[text]})" if text in _MOVED else ""
        raise argparse.ArgumentTypeError(f"can't load {text!r}: {error}{moved}") from error
    if not callable(found):
        raise argparse.ArgumentTypeError(f"{text!r} is not a function")
    return cast(Callable[..., Any], found)
