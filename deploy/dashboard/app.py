"""The web application: the page, its data, and `/metrics`. All data come from the hub."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from deploy.dashboard.broadcast import Hub
from deploy.dashboard.guard import Guard
from deploy.dashboard.metric_series import Series
from deploy.dashboard.problem_history import GroupRow
from deploy.dashboard.prometheus import CONTENT_TYPE, exposition
from deploy.dashboard.recent_rollouts import ShownRollout
from deploy.dashboard.run_sources import Source
from deploy.dashboard.settings_difference import differences

ASSETS = Path(__file__).parent / "assets"
FRESH = {"Cache-Control": "no-cache"}
"""Browsers revalidate every file, so that an old page does not run against an updated server."""


class ProblemPage(msgspec.Struct, frozen=True):
    """One problem: its groups and its newest rollouts."""

    id: str
    history: list[GroupRow]
    rollouts: list[ShownRollout]


class SeriesPage(msgspec.Struct, frozen=True):
    """Series of a run, and how many numbers it has by now."""

    metrics: int
    series: list[Series]


def dashboard_app(hub: Hub, token: str | None = None) -> Starlette:
    """`token`: viewers must present it; None: only requests from this machine are answered."""

    async def page(request: Request) -> Response:
        return FileResponse(ASSETS / "index.html", headers=FRESH)

    async def runs(request: Request) -> Response:
        return _json(list(hub.sources))

    async def cards(request: Request) -> Response:
        return Response(hub.cards(), media_type="application/json", headers=FRESH)

    async def events(request: Request) -> Response:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(
            hub.watch(source_of(request).name), media_type="text/event-stream; charset=utf-8", headers=headers
        )

    async def problem(request: Request) -> Response:
        model, problem_id = source_of(request).model, request.query_params.get("id", "")
        return _json(ProblemPage(problem_id, model.problems.history(problem_id), model.rollouts.of(problem_id)))

    async def metric_names(request: Request) -> Response:
        return _json(source_of(request).model.metrics.names())

    async def series(request: Request) -> Response:
        query, metrics = request.query_params, source_of(request).model.metrics
        first, last = _step(query, "from"), _step(query, "to")
        chosen = [metrics.series(name, first or 0, last) for name in query.getlist("name")]
        return _json(SeriesPage(len(metrics.names()), chosen))

    async def differing(request: Request) -> Response:
        here, there = source_of(request).model.config, source_named(request.path_params["other"]).model.config
        return _json(differences(here, there))

    async def metrics(request: Request) -> Response:
        return Response(exposition(hub.sources.values()), media_type=CONTENT_TYPE)

    def source_of(request: Request) -> Source:
        return source_named(request.path_params["run"])

    def source_named(name: str) -> Source:
        source = hub.sources.get(name)
        if source is None:
            raise HTTPException(404, "no such run")
        return source

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with hub:
            yield

    return Starlette(
        routes=[
            Route("/", page),
            Route("/api/runs", runs),
            Route("/api/cards", cards),
            Route("/api/runs/{run}/events", events),
            Route("/api/runs/{run}/problem", problem),
            Route("/api/runs/{run}/metrics", metric_names),
            Route("/api/runs/{run}/series", series),
            Route("/api/runs/{run}/differences/{other}", differing),
            Route("/metrics", metrics),
            Mount("/assets", _Assets(directory=ASSETS)),
        ],
        middleware=[Middleware(Guard, token=token)],
        lifespan=lifespan,
    )


class _Assets(StaticFiles):
    def file_response(self, *args: object, **kwargs: object) -> Response:
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers.update(FRESH)
        return response


def _step(query: QueryParams, name: str) -> int | None:
    """A step of the query; None when it is not given."""
    text = query.get(name)
    if text is not None and not text.isdecimal():
        raise HTTPException(400, f"{name}={text}: a step is a whole number, 0 or more")
    return None if text is None else int(text)


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json", headers={"Cache-Control": "no-store"})
