"""Writes docs/openapi.json from the routes of the service: `python docs/generate_openapi.py`.

`--check` writes nothing and fails when the committed document differs.
"""

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from service.app import create_app  # noqa: E402  (found beside this folder, installed or not)
from service.settings import Settings  # noqa: E402

DOCUMENT = ROOT / "docs" / "openapi.json"


def document() -> str:
    """The document that the service gives at `/openapi.json`, in lines."""
    app = create_app(Settings(bundle=Path("no bundle is opened for it")))
    return json.dumps(app.openapi(), ensure_ascii=False, indent=1) + "\n"


def main() -> int:
    """Write the document, or compare; 1 when it differs."""
    parser = argparse.ArgumentParser(description="Write docs/openapi.json from the routes.")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 when it differs")
    args = parser.parse_args()
    made = document()
    if not args.check:
        DOCUMENT.write_text(made, encoding="utf-8")
    elif not DOCUMENT.is_file() or DOCUMENT.read_text(encoding="utf-8") != made:
        sys.stderr.write("docs/openapi.json is out of date: run docs/generate_openapi.py\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
