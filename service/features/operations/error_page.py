"""`/errors`: what each problem code means, on the page that the `type` of problems points to."""

import html
import inspect
import json

from fastapi.responses import HTMLResponse

from service.errors import ServiceError, catalogue
from service.http.dependencies import CheckedRouter
from service.http.documents import ERRORS_PATH, example_of

router = CheckedRouter()
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Errors of similar-streamer</title>
<style>body {{ max-width: 50rem; margin: 2rem auto; font-family: sans-serif }}
pre {{ white-space: pre-wrap }} :target {{ background: #ffc }}</style>
<h1>Errors</h1>
<p>Every error is a problem document (RFC 9457); its <code>code</code> is one of these.</p>
{}
</html>"""
_ENTRY = """<section id="{code}"><h2><code>{code}</code> ({status})</h2>
<p><strong>{title}.</strong> {meaning}</p><pre>{example}</pre></section>"""


@router.get(ERRORS_PATH, include_in_schema=False, response_class=HTMLResponse)
async def get_errors() -> HTMLResponse:
    """Every code with its status, its meaning and an example."""
    kinds = sorted(catalogue().values(), key=lambda kind: (kind.status, kind.code))
    return HTMLResponse(_PAGE.format("\n".join(map(_entry, kinds))))


def _entry(kind: type[ServiceError]) -> str:
    example = json.dumps(example_of(kind), indent=2, ensure_ascii=False)
    return _ENTRY.format(
        code=kind.code,
        status=kind.status,
        title=html.escape(kind.title),
        meaning=html.escape(inspect.getdoc(kind) or ""),
        example=html.escape(example),
    )
