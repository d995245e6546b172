"""The first load stays small: the page, and what it needs before anything is shown."""

import re
from pathlib import Path

BUILT = Path(__file__).parents[2] / "service" / "console" / "built"
FIRST_LOAD_BYTES = 250_000


def test_the_first_load_is_small() -> None:
    assert (BUILT / "index.html").is_file(), "run `make console`"
    page = (BUILT / "index.html").read_text(encoding="utf-8")
    parts = re.findall(r'(?:src|href)="\./([^"]+)"', page)
    assert any(part.endswith(".js") for part in parts)
    names = ["index.html", *parts]
    sizes = {name: (BUILT / f"{name}.gz").stat().st_size for name in names}
    assert sum(sizes.values()) <= FIRST_LOAD_BYTES, sizes
    assert "style=" not in page
    assert "<script>" not in page


def test_the_licences_of_what_the_page_is_made_of_go_with_it() -> None:
    texts = (BUILT / "licenses.txt").read_text(encoding="utf-8")
    names = set(re.findall(r"(?m)^## (\S+) - ", texts))
    assert {"preact", "openapi-fetch", "cytoscape"} <= names
    assert texts.count("Permission is hereby granted") >= len(names)
