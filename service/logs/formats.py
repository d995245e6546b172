"""Log lines: text for people, JSON for programs that collect logs."""

import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Literal, TextIO

from prometheus_client import Counter
from pydantic_core import to_json

Format = Literal["text", "json"]
Line = Callable[[float, str, Mapping[str, Any]], str]
"""Makes the line of an event: its time in seconds since 1970, what it is, and its fields."""

_TEXT = "%(asctime)s %(levelname)s %(name)s:%(ids)s %(message)s"


class JsonFormatter(logging.Formatter):
    """One JSON object per record, with its ids and its `exception` (a traceback) if any."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record, without its end."""
        fields: dict[str, Any] = {}
        for name in ("request_id", "trace_id"):
            if (value := getattr(record, name, None)) is not None:
                fields[name] = value
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        head = record.levelname, record.name, record.getMessage()
        return json.dumps(_json_object(record.created, *head, fields))  # ASCII, whatever it says


class LogHandler(logging.StreamHandler[TextIO]):
    """Writes log records to standard error, and lines that were made elsewhere.

    Attributes:
        records: how many there were of warnings and of what is worse, from 0 on.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        """Write to a stream; None: to standard error."""
        super().__init__(stream)
        self.records = Counter(
            "streamer_log_records",
            "Records of the log by level: warning, or error and worse.",
            ("level",),
            registry=None,
        )
        self._warnings, self._errors = map(self.records.labels, ("warning", "error"))

    def emit(self, record: logging.LogRecord) -> None:
        """Count a record, and write it."""
        if record.levelno >= logging.WARNING:
            (self._errors if record.levelno >= logging.ERROR else self._warnings).inc()
        super().emit(record)

    def write(self, lines: str) -> None:
        """Write whole lines; no record comes between them."""
        self.acquire()
        try:
            self.stream.write(lines)
            self.flush()
        finally:
            self.release()


def configure(log_format: Format, level: str, filters: Iterable[logging.Filter] = ()) -> LogHandler:
    """Set up logging for the process.

    Args:
        log_format: of every line.
        level: least level that is written, e.g. `INFO`.
        filters: of every record; they may set `ids`, `request_id` and `trace_id`.
    """
    handler = LogHandler()
    text = logging.Formatter(_TEXT, defaults={"ids": ""})
    handler.setFormatter(JsonFormatter() if log_format == "json" else text)
    for filtered in filters:
        handler.addFilter(filtered)
    logging.basicConfig(level=level, handlers=[handler])
    return handler


def line_of(log_format: Format, logger: str) -> Line:
    """The function that makes lines of level INFO; as text, fields are `key=value`."""

    def json_line(created: float, message: str, fields: Mapping[str, Any]) -> str:
        line = to_json(_json_object(created, "INFO", logger, message, fields))
        return line.decode() + "\n"

    def text_line(created: float, message: str, fields: Mapping[str, Any]) -> str:
        pairs = " ".join([f"{name}={value}" for name, value in fields.items()])
        second, ms = divmod(int(created * 1000), 1000)
        return f"{_local(second)},{ms:03d} INFO {logger}: {message} {pairs}\n"

    return json_line if log_format == "json" else text_line


def _json_object(
    created: float, level: str, logger: str, message: str, fields: Mapping[str, Any]
) -> dict[str, Any]:
    second, ms = divmod(int(created * 1000), 1000)
    moment = f"{_utc(second)}.{ms:03d}Z"
    return {"time": moment, "level": level, "logger": logger, "message": message, **fields}


@lru_cache(maxsize=2)
def _local(second: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))


@lru_cache(maxsize=2)
def _utc(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
