"""A list as a table: which columns there are, what they are called, and their cells."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from service.features.lists.rows import ListRow
from service.features.lists.schemas import Language, ListQuestionIn

Cell = str | int | float | bool | None
_CHINESE: Mapping[str, str] = {
    "rank": "排名",
    "streamer_id": "主播 ID",
    "score": "相似度",
    "precision": "精度",
    "group": "分组",
    "copies": "重复账号",
    "why": "理由",
    "beyond_stop": "低于相似界线",
    "is_new": "新增",
    "name": "昵称",
    "category": "类目",
    "language": "语言",
    "tags": "标签",
    "followers": "粉丝数",
}
YES_NO: Mapping[Language, tuple[str, str]] = {"en": ("no", "yes"), "zh": ("否", "是")}


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        heading: its name.
        cell: what a row has there.
        width: characters that it shows.
        decimals: of its numbers; None: as they are.
    """

    heading: str
    cell: Callable[[ListRow], Cell]
    width: int = 14
    decimals: int | None = None


def columns_of(question: ListQuestionIn, *, compares: bool) -> list[Column]:
    """The columns of a list, those alone that its question asks for.

    Args:
        question: of the list.
        compares: whether it was compared with an earlier run.
    """
    language = question.language
    yes_no = YES_NO[language]

    def headed(name: str) -> str:
        return _CHINESE.get(name, name) if language == "zh" else name

    def told(value: bool | None) -> Cell:
        return None if value is None else yes_no[value]

    def field(name: str) -> Column:
        return Column(headed(name), lambda row: _flat(row.fields.get(name)), 20)

    columns = [
        Column(headed("rank"), lambda row: row.rank, 6),
        Column(headed("streamer_id"), lambda row: row.streamer_id, 20),
        *map(field, question.fields),
        Column(headed("score"), lambda row: row.score, 10, 3),
        Column(headed("precision"), lambda row: row.precision, 10, 3),
    ]
    if question.group_by is not None:
        columns.append(Column(headed("group"), lambda row: row.group, 20))
    if question.without_copies:
        columns.append(Column(headed("copies"), _copies, 24))
    if question.stop is not None:
        columns.append(Column(headed("beyond_stop"), lambda row: told(row.beyond_stop), 14))
    if compares:
        columns.append(Column(headed("is_new"), lambda row: told(row.is_new), 8))
    if question.explain is not None:
        columns.append(Column(headed("why"), lambda row: row.why, 80))
    return columns


def cells_of(columns: Sequence[Column], row: ListRow) -> Iterator[Cell]:
    """The cells of a row, texts in one line."""
    for column in columns:
        cell = column.cell(row)
        yield plain(cell) if isinstance(cell, str) else cell


def plain(text: str) -> str:
    """A text in one line, without control characters, which tables can't have."""
    return "".join(" " if _is_control(c) else c for c in text)


def _is_control(character: str) -> bool:
    code = ord(character)
    return code < 0x20 or 0x7F <= code <= 0x9F or code in (0x2028, 0x2029)


def _flat(value: object) -> Cell:
    if isinstance(value, list):
        return "; ".join(str(one) for one in cast("list[object]", value))
    return value if isinstance(value, str | int | float | bool) else None


def _copies(row: ListRow) -> Cell:
    more = [f"(+{row.more_copies})"] if row.more_copies else []
    return "; ".join([*row.copies, *more]) or None
