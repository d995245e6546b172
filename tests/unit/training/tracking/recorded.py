"""What is in a `metrics.jsonl`, without what differs from fit to fit."""

import json
import math
from pathlib import Path
from typing import Any


def no_constant(name: str) -> float:
    raise AssertionError(f"{name} is no JSON")


def lines(folder: Path) -> list[dict[str, Any]]:
    """Every line of the file; fails unless it is strict JSON that ends with a line."""
    text = (folder / "metrics.jsonl").read_text(encoding="utf-8")
    assert text.endswith("\n")
    return [json.loads(line, parse_constant=no_constant) for line in text.splitlines()]


def story(folder: Path) -> list[dict[str, Any]]:
    """The lines without times, speeds and interruptions."""
    found = [line for line in lines(folder) if line["event"] != "resume"]
    for line in found:
        del line["time"], line["steps_per_s"]
    return found


def steps(folder: Path, stage: str) -> list[int]:
    """Steps of the validations of a stage."""
    found = [line for line in lines(folder) if line["event"] == "validation"]
    assert all(line["value"] is None or math.isfinite(line["value"]) for line in found)
    return [line["step"] for line in found if line["stage"] == stage]
