"""A corpus for lists: four cooks who are copies, cooks of two categories, and a musician."""

import io
import re
import zipfile
from typing import Any
from xml.etree import ElementTree

import pytest
from fastapi.testclient import TestClient

from tests.service.conftest import put_all

WORDS = ["kitchen", "recipe", "noodles", "soup", "美食", "家常菜", "红烧肉", "做饭"]
SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


@pytest.fixture
def cooks(client: TestClient) -> list[str]:
    """Twelve cooks, each with other words; the client waits until they can be found."""
    ids = [f"cook-{i:02d}" for i in range(12)]
    profiles = (
        {
            "streamer_id": streamer_id,
            "name": f"cook {i}",
            "tags": ["cooking", WORDS[i % 8]],
            "bio": f"{WORDS[i % 8]} {WORDS[(i * 3 + 1) % 8]} number{i}",
            "category": "cooking" if i % 3 else "travel",
            "language": "en",
            "attributes": {"followers": 100 * i},
        }
        for i, streamer_id in enumerate(ids)
    )
    ask(client, "cook-00", after_sequence=put_all(client, profiles))
    return ids


def ask(client: TestClient, *seeds: str, **more: Any) -> Any:
    """The list of a question, without a format."""
    body = {"positive": [{"streamer_id": seed} for seed in seeds], **more}
    answer = client.post("/v1/lists:preview", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids_of(answer: Any) -> list[str]:
    return [row["streamer_id"] for row in answer["rows"]]


def sheets_of(content: bytes) -> dict[str, list[list[Any]]]:
    """The cells of a workbook by sheet, read as the format says; formulas are refused."""
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        read = {name: book.read(name) for name in book.namelist()}
    strings = [
        "".join(part.text or "" for part in item.iter(f"{SHEET}t"))
        for item in ElementTree.fromstring(read["xl/sharedStrings.xml"])
    ]
    names = [
        sheet.attrib["name"]
        for sheet in ElementTree.fromstring(read["xl/workbook.xml"]).iter(f"{SHEET}sheet")
    ]
    found: dict[str, list[list[Any]]] = {}
    for number, name in enumerate(names, start=1):
        tree = ElementTree.fromstring(read[f"xl/worksheets/sheet{number}.xml"])
        assert not [*tree.iter(f"{SHEET}f")]
        assert not [*tree.iter(f"{SHEET}hyperlink")]
        rows: list[list[Any]] = []
        for row in tree.iter(f"{SHEET}row"):
            cells: dict[int, Any] = {}
            for cell in row:
                letters = re.match(r"[A-Z]+", cell.attrib["r"])
                assert letters
                place = 0
                for letter in letters[0]:
                    place = 26 * place + ord(letter) - 64
                value = cell.find(f"{SHEET}v")
                if value is not None and value.text is not None:
                    is_text = cell.attrib.get("t") == "s"
                    cells[place] = strings[int(value.text)] if is_text else float(value.text)
            rows.append([cells.get(i) for i in range(1, max(cells, default=0) + 1)])
        found[name] = rows
    return found
