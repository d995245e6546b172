"""Lists as files: CSV and Excel workbooks, read as the formats say."""

import csv
import io
import re
import zipfile
from typing import Any
from xml.etree import ElementTree

_NAMES = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def csv_of(content: bytes) -> list[dict[str, str]]:
    """The rows of a CSV file, which begins with a byte order mark for Excel."""
    assert content.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def sheets_of(content: bytes) -> dict[str, list[list[Any]]]:
    """The cells of a workbook by sheet: texts and numbers; formulas and links are refused."""
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        read = {name: ElementTree.fromstring(book.read(name)) for name in _parts(book)}
    strings = [
        "".join(part.text or "" for part in item.iter(f"{_NAMES}t"))
        for item in read["xl/sharedStrings.xml"]
    ]
    names = [sheet.attrib["name"] for sheet in read["xl/workbook.xml"].iter(f"{_NAMES}sheet")]
    return {
        name: _cells(read[f"xl/worksheets/sheet{number}.xml"], strings)
        for number, name in enumerate(names, start=1)
    }


def facts_of(sheet: list[list[Any]]) -> dict[str, Any]:
    """A sheet of names and values; of a name that comes more than once the first value."""
    return {name: value for name, value, *_ in reversed(sheet)}


def _parts(book: zipfile.ZipFile) -> list[str]:
    return [name for name in book.namelist() if name.endswith(".xml")]


def _cells(sheet: ElementTree.Element, strings: list[str]) -> list[list[Any]]:
    assert not [*sheet.iter(f"{_NAMES}f"), *sheet.iter(f"{_NAMES}hyperlink")]
    rows: list[list[Any]] = []
    for row in sheet.iter(f"{_NAMES}row"):
        cells: dict[int, Any] = {}
        for cell in row:
            value = cell.find(f"{_NAMES}v")
            if value is not None and value.text is not None:
                is_text = cell.attrib.get("t") == "s"
                text = value.text
                cells[_column(cell.attrib["r"])] = strings[int(text)] if is_text else float(text)
        rows.append([cells.get(i) for i in range(1, max(cells, default=0) + 1)])
    return rows


def _column(reference: str) -> int:
    """The number of the column of a cell such as AB12."""
    letters = re.match(r"[A-Z]+", reference)
    assert letters is not None
    place = 0
    for letter in letters[0]:
        place = 26 * place + ord(letter) - 64
    return place
