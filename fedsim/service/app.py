"""The application: the page, the REST interface, health and Prometheus, behind one guard."""

from __future__ import annotations

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from fedsim.service.api import ServiceState, routes
from fedsim.service.assets import ASSETS
from fedsim.service.guard import Access, Guard
from fedsim.service.prometheus import exposition
from fedsim.service.refusals import EVERYWHERE, LOCKED, beside_text
from fedsim.store import queries
from fedsim.store.database import Store


def create_app(store: Store, door: Access | None = None, *, writes: bool = True, poll_s: float = 0.5) -> FastAPI:
    """Return the service over an open store, which stays the caller's to close.

    `writes` False refuses events; `poll_s` is how often a watched run is looked at.
    """
    app = FastAPI(
        title="fedsim",
        description="Runs of federated learning simulations: what they measure, live.",
        version="1",
        docs_url=None,  # these pages would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.desk = ServiceState(store, writes, poll_s)
    app.include_router(routes(app.state.desk))
    _pages(app)
    _health(app, store)

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> Response:
        problems = [
            {"at": ".".join(map(str, one["loc"]))[:200], "problem": str(one["msg"])[:500]}
            for one in error.errors()[:20]
        ]
        broken = any(one["type"] == "json_invalid" for one in error.errors())
        return JSONResponse({"detail": problems}, 400 if broken else 422)

    @app.exception_handler(queries.Unreachable)
    async def unreachable(_: Request, error: queries.Unreachable) -> Response:
        reason = " ".join(str(getattr(error, "orig", None) or "no answer").split())[:300]
        return JSONResponse({"detail": f"the store cannot be used just now: {reason}"}, 503, {"retry-after": "2"})

    app.add_middleware(Guard, door=door or Access())
    return app


def _pages(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    def index(request: Request) -> Response:
        return ASSETS["index.html"].answer(request)

    @app.get("/static/{name}", include_in_schema=False)
    def static(name: str, request: Request) -> Response:
        if name not in ASSETS:
            raise HTTPException(404)
        return ASSETS[name].answer(request)


def _health(app: FastAPI, store: Store) -> None:
    @app.get("/healthz", responses=EVERYWHERE)
    def health() -> dict[str, str]:
        """Return `ok` when the store answers."""
        queries.changed(store)
        return {"status": "ok"}

    @app.get("/metrics", response_class=PlainTextResponse, responses=beside_text({**EVERYWHERE, **LOCKED}))
    def metrics() -> Response:
        """Return what Prometheus scrapes."""
        return Response(exposition(store), media_type=CONTENT_TYPE_PLAIN_0_0_4)
