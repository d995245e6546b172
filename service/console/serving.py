"""Serves the console at `/console/`: files that were built from `web`, kept in memory.

They need no key: the page asks for one and sends it with each request to the API.
"""

import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse

from service.errors import NoSuchPath
from service.http.auth.route_scopes import CONSOLE
from service.http.dependencies import CheckedRouter

_BUILT = Path(__file__).parent / "built"
_INDEX, _MISSING, _ASSETS = "index.html", "missing.txt", "assets/"
_METHODS = ["GET", "HEAD"]
_ENCODINGS = (("br", ".br"), ("gzip", ".gz"))
_HOW = "run `make console` in a checkout, or install a wheel that was built with access to npm"
_HEADERS = {
    # No inline script or style, nothing from elsewhere, and no text ever becomes markup.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding",
}
_IMMUTABLE = "public, max-age=31536000, immutable"
"""Of files whose names have a hash of what they hold."""


@dataclass(frozen=True)
class _File:
    content: bytes
    compressed: dict[str, bytes]
    media_type: str
    etag: str


def router_of(folder: Path = _BUILT) -> APIRouter:
    """The routes of the console.

    Args:
        folder: with the built files; they are read now, once.
    """
    files = _read(folder)
    router = CheckedRouter(include_in_schema=False)

    @router.api_route(CONSOLE, methods=_METHODS)
    async def get_console() -> Response:  # pyright: ignore[reportUnusedFunction]
        return RedirectResponse(f"{CONSOLE}/", 308)

    @router.api_route(f"{CONSOLE}/{{name:path}}", methods=_METHODS)
    async def get_file(name: str, request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        if not files and not name:
            return PlainTextResponse(_why_missing(folder), 503, headers={"Retry-After": "60"})
        file = files.get(name or _INDEX)
        if file is None:
            raise NoSuchPath(f"the console has no such file; it begins at {CONSOLE}/")
        return _answer(file, request, is_asset=name.startswith(_ASSETS))

    return router


def _read(folder: Path) -> dict[str, _File]:
    """The files by their names below `/console/`; none where the page is not built."""
    if not (folder / _INDEX).is_file():
        return {}
    found: dict[str, _File] = {}
    suffixes = {suffix for _, suffix in _ENCODINGS}
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.suffix in suffixes | {".sha256"}:
            continue
        content = path.read_bytes()
        beside = {name: path.with_name(path.name + suffix) for name, suffix in _ENCODINGS}
        found[path.relative_to(folder).as_posix()] = _File(
            content=content,
            compressed={n: p.read_bytes() for n, p in beside.items() if p.is_file()},
            media_type=mimetypes.guess_type(path.name)[0] or "application/octet-stream",
            etag=f'"{hashlib.sha256(content).hexdigest()[:32]}"',
        )
    return found


def _answer(file: _File, request: Request, *, is_asset: bool) -> Response:
    headers = {
        **_HEADERS,
        "Cache-Control": _IMMUTABLE if is_asset else "no-cache",
        "ETag": file.etag,
    }
    if request.headers.get("if-none-match") == file.etag:
        return Response(status_code=304, headers=headers)
    accepted = {
        part.partition(";")[0].strip()
        for part in request.headers.get("accept-encoding", "").lower().split(",")
        if not part.replace(" ", "").endswith(";q=0")
    }
    for encoding, _ in _ENCODINGS:
        if encoding in accepted and encoding in file.compressed:
            headers["Content-Encoding"] = encoding
            return Response(file.compressed[encoding], headers=headers, media_type=file.media_type)
    return Response(file.content, headers=headers, media_type=file.media_type)


def _why_missing(folder: Path) -> str:
    reason = folder / _MISSING
    why = reason.read_text(encoding="utf-8").strip() if reason.is_file() else "it was not built"
    return f"The console is missing here: {why}\nTo have it: {_HOW}.\nThe API works without it.\n"
