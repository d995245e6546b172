"""Overriding a configuration on the command line, and serialising it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from training.config.base import RecipeConfig
from training.config.baseline import BaselineConfig
from training.errors import UsageError

Config = TypeVar("Config", bound=RecipeConfig | BaselineConfig)
Recipe = TypeVar("Recipe", bound=RecipeConfig)


def override(config: Config, assignments: Sequence[str]) -> Config:
    """Apply `name=value` assignments to a configuration, parsed by the field's type.

    Raises:
        UsageError: an assignment has no `=`, an unknown name or an invalid value; the message lists
            what is valid.
    """
    types = get_type_hints(type(config))
    changes: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise UsageError(f"--set {assignment}: write it as name=value")
        if name not in types:
            raise UsageError(f"--set {name}: unknown; the valid names are {', '.join(types)}")
        changes[name] = _parse(name, types[name], text)
    return dataclasses.replace(config, **changes)


def _parse(name: str, wanted: Any, text: str) -> bool | int | float | str:
    if get_origin(wanted) is Literal:
        if text not in get_args(wanted):
            raise UsageError(f"--set {name}={text}: needs one of {', '.join(get_args(wanted))}")
        return text
    if wanted is bool:
        if text.lower() not in ("true", "false"):
            raise UsageError(f"--set {name}={text}: needs true or false")
        return text.lower() == "true"
    try:
        return wanted(text)
    except ValueError:
        raise UsageError(f"--set {name}={text}: needs {wanted.__name__}") from None


def as_dict(config: RecipeConfig | BaselineConfig) -> Mapping[str, Any]:
    """Resolved values, JSON-serialisable."""
    return dataclasses.asdict(config)


def with_choices(config: Recipe, choices: Mapping[str, float]) -> Recipe:
    """Configuration with the settings that a stage chose; other choices are left out."""
    names = {field.name for field in dataclasses.fields(config)}
    settled = {n: type(getattr(config, n))(v) for n, v in choices.items() if n in names}
    return dataclasses.replace(config, **settled)


def shared_config(values: Mapping[str, Any]) -> RecipeConfig:
    """Common settings of a saved configuration."""
    names = {field.name for field in dataclasses.fields(RecipeConfig)}
    return RecipeConfig(**{name: value for name, value in values.items() if name in names})
