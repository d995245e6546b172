"""Which variables turn traces on, and what is wrong with the others."""

import subprocess
import sys
from pathlib import Path

import pytest

from service.errors import StartupError
from service.telemetry.environment import Sampling, trace_settings
from tests.service.process import ROOT, environment, error_line, hide, run

ON = {"OTEL_TRACES_EXPORTER": "otlp"}


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_SERVICE_NAME": "mine", "OTEL_TRACES_SAMPLER": "nonsense"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1", "OTEL_TRACES_EXPORTER": "none"},
        {**ON, "OTEL_SDK_DISABLED": "TRUE"},
    ],
)
def test_they_are_off(variables: dict[str, str]) -> None:
    assert trace_settings(variables) is None


@pytest.mark.parametrize(
    ("variables", "sampling"),
    [
        (ON, Sampling(1.0, follows_parent=True)),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4318"}, Sampling(1.0, follows_parent=True)),
        (
            {**ON, "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.05"},
            Sampling(0.05, follows_parent=False),
        ),
        (
            {**ON, "OTEL_TRACES_SAMPLER": "parentbased_always_off"},
            Sampling(0.0, follows_parent=True),
        ),
    ],
)
def test_they_are_on(variables: dict[str, str], sampling: Sampling) -> None:
    settings = trace_settings(variables)
    assert settings is not None
    assert settings.sampling == sampling


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_TRACES_SAMPLER_ARG", "5%"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ("OTEL_TRACES_SAMPLER_ARG", "nan"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://a:port"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "inf"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
        ("OTEL_BSP_SCHEDULE_DELAY", "1.5"),
        ("OTEL_RESOURCE_ATTRIBUTES", "no pairs"),
    ],
)
def test_what_is_malformed_is_named(name: str, value: str) -> None:
    variables = {**ON, "OTEL_TRACES_SAMPLER": "traceidratio", name: value}
    with pytest.raises(StartupError, match=rf"^{name}='.*': it has to be "):
        trace_settings(variables)


@pytest.mark.slow
def test_the_service_does_not_start_with_what_it_can_not_understand(
    bundle: Path, tmp_path: Path
) -> None:
    wrong = {**ON, "OTEL_TRACES_SAMPLER": "sometimes"}
    done = run("serve", "--bundle", bundle, "--data-dir", tmp_path, "--port", 0, **wrong)
    assert error_line(done).startswith("error: OTEL_TRACES_SAMPLER='sometimes': ")


@pytest.mark.slow
def test_without_the_extra_it_says_so(bundle: Path, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    done = run(
        "serve", "--bundle", bundle, "--data-dir", tmp_path, **ON, **hide(hidden, "requests")
    )
    assert "similar-streamer[otel]" in error_line(done)


@pytest.mark.slow
def test_nothing_of_it_is_imported_while_it_is_off() -> None:
    program = "import sys; import service.app, service.telemetry.opening as o\n"
    program += "from contextlib import ExitStack\n"
    program += "assert o.open_tracer({}, ExitStack()) is None\n"
    program += "heavy = ('opentelemetry.sdk.trace', 'opentelemetry.exporter')\n"
    program += "print([name for name in sys.modules if name.startswith(heavy)])"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
