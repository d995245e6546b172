"""Writes the client without asyncio from that for it: `python -m service.client.generate`.

`--check` writes nothing and fails when a committed file differs.
"""

import argparse
import re
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
WRITTEN = {
    "synchronous.py": "asynchronous.py",
    "transport.py": "async_transport.py",
    "jobs.py": "async_jobs.py",
    "duplicates/synchronous.py": "duplicates/asynchronous.py",
    "webhooks/synchronous.py": "webhooks/asynchronous.py",
    "find/synchronous.py": "find/asynchronous.py",
    "spaces/synchronous.py": "spaces/asynchronous.py",
    "watchlists/synchronous.py": "watchlists/asynchronous.py",
    "layouts/synchronous.py": "layouts/asynchronous.py",
    "lists/synchronous.py": "lists/asynchronous.py",
    "cases/synchronous.py": "cases/asynchronous.py",
    "lifecycle/synchronous.py": "lifecycle/asynchronous.py",
}
"""The files, and what each is written from."""
HEAD = '''\
"""Written by `generate.py` from `{source}`: change that, not this."""

# fmt: off
'''
_REPLACED = (
    (r'^""".*?"""\n\n', ""),
    (r"\bimport asyncio\n", "import time\n"),
    (r"\basyncio\.sleep\b", "time.sleep"),
    (r"\basync (def|for|with)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bAsyncGenerator\[([\w\[\]]+), None\]", r"Generator[\1, None, None]"),
    (r"\bAsyncGenerator, Callable, ", "Callable, Generator, "),
    (r"\bAsyncGenerator\b", "Generator"),
    (r"\bAsync(Client|Transport|Jobs|Imports|Exports|Duplicates|Judgements|Events)\b", r"\1"),
    (
        r"\bAsync(Cases|Find|Ratings|Layouts|Lists|Outreach|Spaces|Watchlists|Alerts|Webhooks)\b",
        r"\1",
    ),
    (r"\bAsync(Models)\b", r"\1"),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (
        r"\b(cases|duplicates|find|layouts|lifecycle|lists|spaces|watchlists|webhooks)\.asynchronous\b",
        r"\1.synchronous",
    ),
    (r"\basync_(blocks|http_of|sleep)\b", r"\1"),
    (r"\basync_jobs\b", "jobs"),
    (r"\basync_transport\b", "transport"),
    (r"\b__a(enter|exit|iter|next)__\b", r"__\1__"),
    (r"\basync_results\b", "results"),
    (r"\ba(clos(?:e|ing)|iter_bytes|read)\b", r"\1"),
    (r", for asyncio\.", ", without asyncio."),
)


def without_asyncio(source: str) -> str:
    """The text of a file without asyncio."""
    text = (FOLDER / source).read_text(encoding="utf-8")
    for pattern, replacement in _REPLACED:
        text = re.sub(pattern, replacement, text, count=0, flags=re.DOTALL)
    return HEAD.format(source=source) + "\n" + text


def main() -> None:
    """Write the files, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare")
    is_check = parser.parse_args().check
    for name, source in WRITTEN.items():
        target, text = FOLDER / name, without_asyncio(source)
        if not is_check:
            target.write_text(text, encoding="utf-8")
        elif target.read_text(encoding="utf-8") != text:
            sys.exit(f"{target} is not up to date: python -m service.client.generate")


if __name__ == "__main__":
    main()
