"""A list as an Excel workbook: the rows, and on a second sheet where they come from."""

import io
from collections.abc import Generator, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import xlsxwriter  # pyright: ignore[reportMissingTypeStubs]
from pydantic_core import to_json

from service.features.lists.formats.tables import YES_NO, Column, cells_of, columns_of, plain
from service.features.lists.rows import BuiltList, Provenance
from service.features.lists.schemas import Language

_CELL_UNITS = 32_767
"""Of UTF-16, that Excel has room for: it takes a file with more in a cell for a broken one."""
_EXACT = 10**15
"""From here on Excel changes the last digits of whole numbers: they are texts."""
_SHEETS: Mapping[Language, tuple[str, str]] = {
    "en": ("List", "Provenance"),
    "zh": ("名单", "来源"),
}
_NAMES_ZH: Mapping[str, str] = {
    "asked_at": "查询时间 (UTC)",
    "asked_by": "查询者（密钥名称）",
    "key_id": "密钥 ID",
    "request_id": "请求 ID",
    "list": "名单",
    "run": "运行次数",
    "previous_run": "对比的运行",
    "model_version": "模型版本",
    "index_sequence": "索引序号",
    "rows": "行数",
    "complete": "是否完整",
    "incomplete_because": "不完整的原因",
    "stop": "相似界线",
    "left_out": "未列入",
    "warning": "提示",
    "question": "查询条件 (JSON)",
}

_LEFT_OUT: Mapping[Language, str] = {
    "en": "excluded by the question: {excluded}; copies passed over: {copies}; "
    "passed over since their value had enough rows: {over_max_per_value}",
    "zh": "按条件排除：{excluded}；略过的重复账号：{copies}；"
    "同一取值已满而略过：{over_max_per_value}",
}
_STOP: Mapping[Language, str] = {
    "en": "precision {at_precision:g} is promised from score {min_score:.3f} on; "
    "rows that reach it: {rows_within}",
    "zh": "精度 {at_precision:g} 对应的相似度不低于 {min_score:.3f}；达到的行数：{rows_within}",
}
_NO_STOP: Mapping[Language, str] = {
    "en": "precision {at_precision:g} can't be promised for these seeds",
    "zh": "无法为这些种子保证精度 {at_precision:g}",
}


def workbook(built: BuiltList, by: Provenance) -> Generator[None, None, bytes]:
    """The bytes of a workbook, made a row at a time.

    Every text is written as a text: nothing that a streamer writes becomes a formula or a link.
    """
    output = io.BytesIO()
    # In memory: a list has a bounded number of rows, and a container may have no disk to write to.
    book: Any = cast(Any, xlsxwriter).Workbook(output, {"in_memory": True})
    language = built.question.language
    names = _SHEETS[language]
    bold = book.add_format({"bold": True})
    yield from _write_rows(book.add_worksheet(names[0]), book, bold, built, by)
    told = book.add_worksheet(names[1])
    told.set_column(0, 0, 24)
    told.set_column(1, 1, 100)
    wrapped = book.add_format({"text_wrap": True, "valign": "top"})
    for place, (name, value) in enumerate(_facts(built, by)):
        label = _NAMES_ZH.get(name, name) if language == "zh" else name
        told.write_string(place, 0, label, bold)
        told.write_string(place, 1, _shortened(plain(value)), wrapped)
        yield
    book.set_properties({"comments": f"request {by.request_id}"})
    book.close()
    return output.getvalue()


def _write_rows(
    sheet: Any, book: Any, bold: Any, built: BuiltList, by: Provenance
) -> Generator[None, None, None]:
    columns: Sequence[Column] = columns_of(built.question, compares=by.run is not None)
    for place, column in enumerate(columns):
        shown = None
        if column.decimals is not None:
            shown = book.add_format({"num_format": "0." + "0" * column.decimals})
        sheet.set_column(place, place, column.width, shown)
        sheet.write_string(0, place, plain(column.heading), bold)
    sheet.freeze_panes(1, 2)
    sheet.autofilter(0, 0, len(built.rows), len(columns) - 1)
    for line, row in enumerate(built.rows, start=1):
        for place, cell in enumerate(cells_of(columns, row)):
            if isinstance(cell, bool):
                sheet.write_boolean(line, place, cell)
            elif isinstance(cell, str):
                sheet.write_string(line, place, _shortened(cell))
            elif isinstance(cell, int) and abs(cell) >= _EXACT:
                sheet.write_string(line, place, str(cell))
            elif cell is not None:
                sheet.write_number(line, place, cell)
        yield


def _beginning(text: str, most: int = _CELL_UNITS) -> str:
    """The beginning of a text, of so many units of UTF-16 at most, in whole characters."""
    units = text.encode("utf-16-le", "surrogatepass")
    return text if len(units) <= 2 * most else units[: 2 * most].decode("utf-16-le", "ignore")


def _shortened(text: str) -> str:
    """A text that has room in a cell, with an ellipsis where that is not all of it."""
    fits = _beginning(text)
    return text if fits == text else _beginning(text, _CELL_UNITS - 1) + "…"


def _in_parts(text: str) -> Iterator[str]:
    """A text as parts that each have room in a cell."""
    while text:
        part = _beginning(text)
        yield part
        text = text[len(part) :]


def _stop(built: BuiltList) -> str | None:
    """Where it stops being similar, in words."""
    told, language = built.summary["stop"], built.question.language
    if told is None:
        return None
    words = _STOP if told["min_score"] is not None else _NO_STOP
    return words[language].format(**told)


def _bare(told: Any) -> Any:
    """What is told without its vectors, also those of a profile's media."""
    if isinstance(told, list):
        return [_bare(each) for each in cast("list[Any]", told)]
    if isinstance(told, dict):
        fields = cast("dict[str, Any]", told).items()
        return {name: None if name == "vector" else _bare(each) for name, each in fields}
    return told


def _facts(built: BuiltList, by: Provenance) -> list[tuple[str, str]]:
    """What is told of a list, by name."""
    told = built.summary
    question, left_out = "", told["left_out"]
    if not built.is_bare:
        asked = built.question.model_dump(mode="json", exclude_unset=True, by_alias=True)
        # Who may have a list may not read vectors for that.
        asked |= {name: _bare(asked[name]) for name in ("positive", "negative") if name in asked}
        question = to_json(asked).decode()
    at = datetime.fromtimestamp(by.asked_at, UTC).isoformat(timespec="seconds")
    facts: list[tuple[str, Any]] = [
        ("asked_at", at),
        ("asked_by", by.key_name),
        ("key_id", by.key_id),
        ("request_id", by.request_id),
        ("list", by.list_name),
        ("run", by.run),
        ("previous_run", by.previous_run),
        ("model_version", told["model_version"]),
        ("index_sequence", told["index_sequence"]),
        ("rows", len(built.rows)),
        ("complete", YES_NO[built.question.language][bool(told["complete"])]),
        ("incomplete_because", told["incomplete_because"]),
        ("stop", _stop(built)),
        ("left_out", left_out and _LEFT_OUT[built.question.language].format(**left_out)),
        *(("warning", warning) for warning in told["warnings"]),
        *(("question", part) for part in _in_parts(question)),
    ]
    return [(name, str(value)) for name, value in facts if value is not None]
