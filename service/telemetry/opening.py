"""Opens traces where the environment asks for them; else nothing of OpenTelemetry is imported."""

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from importlib import import_module

from service.errors import StartupError
from service.release import release
from service.telemetry.environment import trace_settings
from service.telemetry.spans import Tracer

_log = logging.getLogger(__name__)
_NEEDED = ("opentelemetry", "google", "requests")


def open_tracer(environment: Mapping[str, str], stack: ExitStack) -> Tracer | None:
    """A tracer that `stack` closes; None if there are to be no traces.

    Raises:
        StartupError: a variable can't be understood, or the extra `otel` is not installed.
    """
    settings = trace_settings(environment)
    if settings is None:
        return None
    try:
        recording = import_module("service.telemetry.recording").recording
        tracer: Tracer = stack.enter_context(recording(settings, release()))
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith(_NEEDED):
            raise
        raise StartupError(
            "traces need the extra `otel`: pip install 'similar-streamer[otel]', or set "
            "OTEL_TRACES_EXPORTER=none"
        ) from error
    share = settings.sampling.ratio
    _log.info("traces are sent by OTLP: %g %% of those that begin here", share * 100)
    return tracer
