"""The pages: one document and its parts, read once, under a policy that lets nothing else in."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from modelcast.schemas.statuses import LOOKS

STATIC = Path(__file__).parents[1] / "static"
KINDS = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".html": "text/html",
    ".svg": "image/svg+xml",
}
PAGES = ("/", "/models/{model}", "/regions", "/regions/{region}", "/kafka", "/history", "/refused")
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types modelcast",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """A file as it is answered."""

    body: bytes
    kind: str
    tag: str


class Pages:
    """The handlers of the document and its parts."""

    def __init__(self) -> None:
        self._parts = {
            str(path.relative_to(STATIC)): _part(path.read_bytes(), KINDS[path.suffix])
            for path in sorted(STATIC.rglob("*"))
            if path.suffix in KINDS
        }
        self._parts["statuses.css"] = _part(statuses_css().encode(), "text/css")

    def routes(self) -> list[web.RouteDef]:
        """Paths and handlers."""
        return [*(web.get(path, self.document) for path in PAGES), web.get("/static/{name:.+}", self.part)]

    async def document(self, request: web.Request) -> web.Response:
        """The one document; its script reads the path."""
        return self._answer(request, self._parts["index.html"])

    async def part(self, request: web.Request) -> web.Response:
        """A script or a style sheet."""
        found = self._parts.get(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound
        return self._answer(request, found)

    def _answer(self, request: web.Request, part: PageFile) -> web.Response:
        headers = {"ETag": f'"{part.tag}"', "Cache-Control": "no-cache"}
        if any(etag.value == part.tag for etag in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        response = web.Response(body=part.body, content_type=part.kind, charset="utf-8", headers=headers)
        response.enable_compression()
        return response


def _part(body: bytes, kind: str) -> PageFile:
    return PageFile(body, kind, hashlib.sha256(body).hexdigest()[:16])


def statuses_css() -> str:
    """The statuses' colours as custom properties, for light and dark."""
    light = "".join(f"--{status.value}:{look.light};" for status, look in LOOKS.items())
    dark = "".join(f"--{status.value}:{look.dark};" for status, look in LOOKS.items())
    statuses = "\n".join(f".w-{status.value}{{--status:var(--{status.value})}}" for status in LOOKS)
    return f":root{{{light}}}\n@media (prefers-color-scheme: dark){{:root{{{dark}}}}}\n{statuses}\n"
