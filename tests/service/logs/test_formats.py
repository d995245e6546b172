"""Every record is one line of JSON, whatever it says."""

import io
import json
import logging
import sys

from service.logs.formats import JsonFormatter, LogHandler


def logged(message: str, *args: object, **more: object) -> dict[str, str]:
    stream = io.StringIO()
    handler = LogHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = logging.Logger("service.some.part")
    logger.addHandler(handler)
    logger.warning(message, *args, **more)  # pyright: ignore[reportArgumentType]
    (line,) = stream.getvalue().splitlines()
    assert line.isascii()
    return json.loads(line)


def test_a_record_is_one_object() -> None:
    found = logged("store %r is\nslow", "a\ud800ü", extra={"request_id": "r1"})
    assert found.pop("time").endswith("Z")
    assert found == {
        "level": "WARNING",
        "logger": "service.some.part",
        "message": "store 'a\\ud800ü' is\nslow",
        "request_id": "r1",
    }


def test_a_traceback_is_a_field() -> None:
    try:
        raise ZeroDivisionError("by the test")
    except ZeroDivisionError:
        found = logged("failed", exc_info=sys.exc_info())
    assert found["message"] == "failed"
    assert found["exception"].startswith("Traceback ")
    assert found["exception"].endswith("ZeroDivisionError: by the test")


def test_warnings_and_errors_are_counted_from_0_on() -> None:
    handler = LogHandler(io.StringIO())
    logger = logging.Logger("service.some.part")
    logger.addHandler(handler)

    def counted() -> dict[str, float]:
        (family,) = handler.records.collect()
        found = [s for s in family.samples if s.name == "streamer_log_records_total"]
        return {sample.labels["level"]: sample.value for sample in found}

    assert counted() == {"warning": 0, "error": 0}
    for level in ("debug", "info", "warning", "error", "error", "critical"):
        getattr(logger, level)("said")
    assert counted() == {"warning": 1, "error": 3}


def test_lines_made_elsewhere_are_written_as_they_are() -> None:
    stream = io.StringIO()
    LogHandler(stream).write("one\ntwo\n")
    assert stream.getvalue() == "one\ntwo\n"
