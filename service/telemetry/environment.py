"""What the standard environment variables of OpenTelemetry say about traces.

The SDK and the exporter read most of them themselves, and pass over what they do not understand;
here it is refused at the start.
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from service.errors import StartupError

SERVICE_NAME = "similar-streamer"
_SAMPLERS = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_COMPRESSIONS = ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION")
_SECONDS = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
_COUNTS = ("OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE")
_QUEUE, _BATCH = 2048, 512  # by default
_PAIRS = re.compile(r"[^=,\s]+\s*=[^,]*(?:,\s*[^=,\s]+\s*=[^,]*)*,?")


class Sampling(NamedTuple):
    """Which traces are recorded.

    Attributes:
        ratio: of those that begin here.
        follows_parent: whether those of callers are recorded just when the caller records them.
    """

    ratio: float
    follows_parent: bool


class TraceSettings(NamedTuple):
    """What traces need.

    Attributes:
        sampling: which are recorded.
        is_named: whether the environment has a name for the service.
    """

    sampling: Sampling
    is_named: bool


def trace_settings(environment: Mapping[str, str]) -> TraceSettings | None:
    """Settings of traces; None if there are to be none.

    They are on with `OTEL_TRACES_EXPORTER=otlp`, or with an endpoint for OTLP.

    Raises:
        StartupError: a variable can't be understood; names it.
    """
    # An empty variable counts as one that is not set (OpenTelemetry, environment variables).
    given = {name: text for name, value in environment.items() if (text := value.strip())}
    exporter = given.get("OTEL_TRACES_EXPORTER", "otlp" if _first(given, _ENDPOINTS) else "none")
    if given.get("OTEL_SDK_DISABLED", "").lower() == "true" or exporter == "none":
        return None
    if exporter != "otlp":
        raise _wrong("OTEL_TRACES_EXPORTER", exporter, "otlp or none")
    _check_choice(given, _PROTOCOLS, ("http/protobuf",))
    _check_choice(given, _COMPRESSIONS, ("none", "gzip", "deflate"))
    for name in _ENDPOINTS:
        if name in given and not _is_address(given[name]):
            raise _wrong(name, given[name], "an address such as http://localhost:4318")
    for name in _SECONDS:
        _number(given, name, float, "a number of seconds above 0")
    for name in _COUNTS:
        _number(given, name, int, "a whole number above 0")
    queue = int(given.get("OTEL_BSP_MAX_QUEUE_SIZE", _QUEUE))
    if queue < int(given.get("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", _BATCH)):
        raise _wrong("OTEL_BSP_MAX_QUEUE_SIZE", str(queue), "at least a batch (512 by default)")
    attributes = given.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if attributes and not _PAIRS.fullmatch(attributes):
        raise _wrong("OTEL_RESOURCE_ATTRIBUTES", attributes, "pairs such as a=1,b=2")
    names = [pair.partition("=")[0].strip() for pair in attributes.split(",")]
    return TraceSettings(_sampling(given), "OTEL_SERVICE_NAME" in given or "service.name" in names)


def _sampling(given: Mapping[str, str]) -> Sampling:
    sampler = given.get("OTEL_TRACES_SAMPLER", "parentbased_always_on").lower()
    if sampler not in _SAMPLERS:
        raise _wrong("OTEL_TRACES_SAMPLER", sampler, f"one of {', '.join(_SAMPLERS)}")
    name, ratio = "OTEL_TRACES_SAMPLER_ARG", 1.0
    if sampler.endswith("always_off"):
        ratio = 0.0
    elif sampler.endswith("traceidratio") and name in given:
        try:
            ratio = float(given[name])
        except ValueError:
            ratio = -1.0
        if not 0 <= ratio <= 1:
            raise _wrong(name, given[name], "a share from 0 to 1, such as 0.05")
    return Sampling(ratio, sampler.startswith("parentbased_"))


def _first(given: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((given[name] for name in names if name in given), None)


def _check_choice(
    given: Mapping[str, str], names: tuple[str, ...], choices: tuple[str, ...]
) -> None:
    for name in names:
        if name in given and given[name].lower() not in choices:
            raise _wrong(name, given[name], " or ".join(choices))


def _number(given: Mapping[str, str], name: str, kind: Callable[[str], float], wanted: str) -> None:
    if name in given:
        try:
            is_good = 0 < kind(given[name]) < float("inf")
        except ValueError:
            is_good = False
        if not is_good:
            raise _wrong(name, given[name], wanted)


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _wrong(name: str, value: str, wanted: str) -> StartupError:
    return StartupError(f"{name}={value[:100]!r}: it has to be {wanted}")
