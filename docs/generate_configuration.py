"""Writes docs/configuration.md from `service.settings`: `python docs/generate_configuration.py`.

Names, defaults and bounds come from the classes, descriptions from the strings below their fields.
`--check` writes nothing and fails when the committed page differs.
"""

import argparse
import ast
import inspect
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from service import settings  # noqa: E402  (found beside this folder, installed or not)

PAGE = ROOT / "docs" / "configuration.md"
HEAD = """\
# Configuration

<!-- Written by docs/generate_configuration.py from service/settings: change that, not this. -->

Every setting is an environment variable; a few are also arguments of `python -m service serve`
(`--bundle`, `--data-dir`, `--host`, `--port`, `--reencode`, `--accept-data-loss`), which win. An
empty variable counts as not set. A wrong value, and an unknown name within a group
(`STREAMER_LIMITS__...`), is refused at the start, by name. Another unknown `STREAMER_...` has no
effect: the log and `doctor` name it, and the setting that was probably meant.

The unit is at the end of a name: `_BYTES`, `_MIB`, `_MS` (milliseconds), `_S` (seconds).
"""


def descriptions(cls: type[BaseModel]) -> dict[str, str]:
    """Field -> the string below it in the source of the class, on one line."""
    (node,) = ast.parse(inspect.getsource(cls)).body
    assert isinstance(node, ast.ClassDef)
    found: dict[str, str] = {}
    for statement, after in zip(node.body, node.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            text = after.value if isinstance(after, ast.Expr) else None
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                found[statement.target.id] = " ".join(text.value.split())
    return found


def page() -> str:
    """The whole page."""
    top = settings.Settings
    groups = {n: f for n, f in top.model_fields.items() if is_group(f)}
    plain = {n: f for n, f in top.model_fields.items() if n not in groups}
    parts = [HEAD, section("General", "", top, plain, "")]
    for name, field in groups.items():
        cls = field.annotation
        assert isinstance(cls, type)
        about = " ".join(inspect.getdoc(cls).split())  # pyright: ignore[reportOptionalMemberAccess]
        parts.append(
            section(
                name.capitalize().replace("_", " "),
                about,
                cls,
                cls.model_fields,
                f"{name.upper()}__",
            )
        )
    return "\n".join(parts)


def is_group(field: FieldInfo) -> bool:
    """Whether a field holds nested settings."""
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def section(
    title: str, about: str, cls: type[BaseModel], fields: dict[str, FieldInfo], prefix: str
) -> str:
    """A heading, a sentence and a table.

    Raises:
        SystemExit: a field has no description.
    """
    known = descriptions(cls)
    rows = ["| variable | default | |", "| --- | --- | --- |"]
    for name, field in fields.items():
        if name not in known:
            sys.exit(f"service/settings: {cls.__name__}.{name} has no string below it")
        choices = getattr(field.validation_alias, "choices", [])
        variable = next((str(c) for c in choices if str(c).isupper()), None)
        variable = variable or f"STREAMER_{prefix}{name.upper()}"
        text = known[name].replace("|", "\\|") + allowed(field)
        rows.append(f"| `{variable}` | {default(field)} | {text} |")
    return "\n".join([f"## {title}", "", *([about, ""] if about else []), *rows, ""])


def default(field: FieldInfo) -> str:
    """A default value as it would be written into the environment."""
    if field.is_required():
        return "required"
    value: Any = field.default
    if value is None or value == () or isinstance(value, SecretStr):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{','.join(map(str, value))}`"
    if isinstance(value, int) and value >= settings.MIB and value % settings.MIB == 0:
        return f"`{value}` ({value // settings.MIB} MiB)"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def allowed(field: FieldInfo) -> str:
    """Bounds of a number, as ` At least 1.`; nothing for others."""
    words = {"ge": "At least", "gt": "More than", "le": "At most", "lt": "Less than"}
    found = [
        f"{word} {getattr(rule, name)}"
        for rule in field.metadata
        for name, word in words.items()
        if getattr(rule, name, None) is not None
    ]
    joined = ", ".join([*found[:1], *(part.lower() for part in found[1:])])
    return f" {joined}." if joined else ""


def main() -> int:
    """Write the page, or compare; 1 when it differs."""
    parser = argparse.ArgumentParser(description="Write docs/configuration.md from the settings.")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 when it differs")
    args = parser.parse_args()
    if args.check:
        if PAGE.read_text(encoding="utf-8") == page():
            return 0
        sys.stderr.write(
            "docs/configuration.md is out of date: run docs/generate_configuration.py\n"
        )
        return 1
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
