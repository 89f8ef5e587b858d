"""The files of the page: read once from this package and from plotly's; no path from a request is ever opened."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
PAGE = (
    "index.html", "style.css", "icon.svg", "main.js", "dom.js", "format.js", "charts.js", "list.js", "run.js",
    "panels.js", "compare.js",
)  # fmt: skip


@dataclass(frozen=True)
class Asset:
    """One file of the page."""

    package: str
    path: str

    @cached_property
    def content(self) -> bytes:
        """The file, read when it is first asked for."""
        return files(self.package).joinpath(self.path).read_bytes()

    @cached_property
    def packed(self) -> bytes:
        """The file compressed."""
        return gzip.compress(self.content, 6, mtime=0)

    @cached_property
    def tag(self) -> str:
        """What changes with the content."""
        return f'"{sha256(self.content).hexdigest()[:20]}"'

    def answer(self, request: Request) -> Response:
        """Return the file, compressed for who takes that, or 304 for who has it already."""
        kind = f"{TYPES[self.path.rpartition('.')[2]]}; charset=utf-8"
        headers = {"etag": self.tag, "cache-control": "no-cache", "vary": "accept-encoding"}
        if self.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(self.packed, media_type=kind, headers={**headers, "content-encoding": "gzip"})
        return Response(self.content, media_type=kind, headers=headers)


ASSETS = {name: Asset("fedsim.service", f"static/{name}") for name in PAGE} | {
    "plotly.min.js": Asset("plotly", "package_data/plotly.min.js")
}
"""Every file there is, by the name under /static/."""
