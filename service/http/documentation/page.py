"""Swagger UI at `/docs`: without the internet, and with ids of what this service keeps."""

from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

PAGE = "/docs"
SCRIPT = "/docs/known-ids.js"
_STATIC = "/static-offline-docs"
_KNOWN_IDS = Path(__file__).with_name("known_ids.js").read_bytes()


def install(app: FastAPI) -> None:
    """Add the page, and the script that it has beside those which the application serves."""

    async def get_page(request: Request) -> HTMLResponse:
        root = request.scope.get("root_path", "")
        made = get_swagger_ui_html(
            openapi_url=f"{root}{app.openapi_url}",
            title=f"{app.title} - Swagger UI",
            swagger_js_url=f"{root}{_STATIC}/swagger-ui-bundle.js",
            swagger_css_url=f"{root}{_STATIC}/swagger-ui.css",
            swagger_favicon_url=f"{root}{_STATIC}/favicon.png",
        )
        before, begins, after = bytes(made.body).decode().partition("<script>")
        return HTMLResponse(f'{before}<script src="{root}{SCRIPT}"></script>{begins}{after}')

    async def get_script(_: Request) -> Response:
        return Response(_KNOWN_IDS, media_type="text/javascript")

    app.add_route(PAGE, get_page, include_in_schema=False)
    app.add_route(SCRIPT, get_script, include_in_schema=False)
