"""Reads the settings, and says of each wrong one what it should be."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_settings import EnvSettingsSource, SettingsError

from service.errors import StartupError, UnsafeConfiguration
from service.settings import Settings

_Group = TypeVar("_Group", bound=BaseModel)
_PREFIX = "STREAMER_"
_OPTIONS = ("bundle", "data_dir", "host", "port", "reencode", "accept_data_loss")
"""Settings that are arguments of `serve` as well."""
_OF_CLIENTS = frozenset({"STREAMER_URL"})
_OF_0_1_0 = {
    **{
        f"STREAMER_{group}__{name}": f" any more, STREAMER_WORK__{name} replaces it"
        for group in ("SEARCHING", "ENCODING", "TOWERS")
        for name in ("THREADS", "MAX_QUEUE", "DEADLINE_MS")
    },
    "STREAMER_ENCODING__MAX_WAIT_MS": " any more: unset it",
    "STREAMER_TOWERS__MAX_WAIT_MS": " any more: unset it",
}
"""What to say of settings that release 0.1.0 had."""
_LISTED = "docs/configuration.md lists all"
_DETAILS = {"missing": "is missing; give the folder that `model_export` wrote"}


def read_settings(given: Mapping[str, Any]) -> Settings:
    """Settings from arguments, which win, and the environment.

    Raises:
        StartupError: one is missing or wrong; names it.
    """
    try:
        return Settings(**given)
    except ValidationError as error:
        raise StartupError("; ".join(_line(found) for found in error.errors())) from None
    except SettingsError as error:  # a group of settings that is not JSON
        raise StartupError(f"{error}: {error.__cause__}") from None


def environment() -> dict[str, Any]:
    """The settings that the environment has, by their names as `serve` reads them, unchecked.

    Raises:
        StartupError: a group of settings is not JSON.
    """
    try:
        return EnvSettingsSource(Settings)()
    except SettingsError as error:
        raise StartupError(f"{error}: {error.__cause__}") from None


def read_group(group: type[_Group], name: str) -> _Group:
    """One group of settings from the environment, for commands that need no others.

    Raises:
        StartupError: one of them is wrong; names it.
    """
    given = environment().get(name, {})
    try:
        return group.model_validate(given)
    except ValidationError as error:
        found = ({**e, "loc": (name, *e["loc"])} for e in error.errors())
        raise StartupError("; ".join(map(_line, found))) from None


def refuse_open(settings: Settings) -> None:
    """Refuse an address that others can reach while nobody needs a key.

    Raises:
        UnsafeConfiguration: names the remedies.
    """
    if settings.is_open_to_the_network and settings.api_key is None:
        raise UnsafeConfiguration(
            f"host {settings.host} is reachable from other machines, and there is no first admin "
            "key, which keys in the store do not replace: set STREAMER_API_KEY, or listen on "
            "127.0.0.1"
        )


def without_effect(environment: Mapping[str, str]) -> list[str]:
    """Of each variable that looks like a setting and is none, what to say of it.

    They are no error: Kubernetes, for one, sets `STREAMER_SERVICE_HOST` for a Service `streamer`.
    Unknown names within a group are refused by `read_settings`.
    """
    known = set(_names())
    groups = {name.partition("__")[0] for name in known if "__" in name}
    return [
        f"{name} is no setting and has no effect{_meant(name)}; {_LISTED}"
        for name in sorted(environment)
        if name.upper().startswith(_PREFIX)
        and name.upper() not in known | groups | _OF_CLIENTS
        and name.upper().partition("__")[0] not in groups
    ]


def _line(error: Any) -> str:
    """A wrong setting, by its name, in one line."""
    name = "__".join(str(part) for part in error["loc"])
    variable = f"{_PREFIX}{name.upper()}"
    option = f"--{name.replace('_', '-')} or " if name in _OPTIONS else ""
    if error["type"] == "extra_forbidden":
        return f"{variable}: is no setting{_meant(variable)}; {_LISTED}"
    said = str(error["msg"]).removeprefix("Value error, ")
    return f"{option}{variable}: {_DETAILS.get(error['type'], said[:1].lower() + said[1:])}"


def _meant(variable: str) -> str:
    if known := _OF_0_1_0.get(variable.upper()):
        return known
    near = difflib.get_close_matches(variable.upper(), list(_names()), n=1, cutoff=0.8)
    return f", did you mean {near[0]}?" if near else ""


def _names() -> Iterator[str]:
    """The variables of all settings."""
    for name, field in Settings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from (f"{_PREFIX}{name}__{inner}".upper() for inner in kind.model_fields)
        else:
            yield f"{_PREFIX}{name}".upper()
