"""The composition of the API process: routes, doors, health."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI

from api import problems
from api.doors import Doors
from api.house import Caretaker, House, build
from api.pages import routes as pages
from api.pages.rendering import Static
from api.routes import (
    bulk,
    duplicates,
    engine,
    health,
    jobs,
    migrations,
    pairs,
    parts,
    previews,
    quarantine,
    queues,
    reviews,
    schedules,
    webhooks,
)
from foundation import metrics, telemetry
from foundation.settings import settings
from tasks.ring import BackgroundDoorbell

_ABOUT = """Takes a pile of CAD files, computes comparable features and finds the parts you already have.

1. `POST /api/v1/parts` with your files  2. `POST /api/v1/jobs` with their ids  3. `GET /api/v1/jobs/{id}/result`

Every call names its tenant by `X-API-Key`. Every error has one shape and a code of its own.
"""


def create(house: House | None = None) -> FastAPI:
    """The ASGI app. `house` is built from the environment unless given."""
    here = house or build(settings())
    telemetry.start_logging(here.settings.process.log_level)
    telemetry.attach(telemetry.log)
    telemetry.attach(metrics.count)

    @asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        current_default_thread_limiter().total_tokens = here.settings.api.threads
        caretaker = Caretaker(here)
        caretaker.start()
        yield
        caretaker.stop()
        if isinstance(here.doorbell, BackgroundDoorbell):
            here.doorbell.close()
        here.ledger.close()

    app = FastAPI(
        title="cadmill", version=version("cadmill"), description=_ABOUT, lifespan=life,
        responses={"default": {"description": "Any failure", "content": {"application/problem+json": {"schema": problems.SHAPE}}}},
    )  # fmt: skip
    app.state.house = here
    problems.install(app)
    for routes in (
        parts, previews, bulk, jobs, migrations, pairs, duplicates, reviews, schedules, quarantine, queues, webhooks, health, engine,
    ):  # fmt: skip
        app.include_router(routes.router)
    if here.settings.process.chaos:
        from api.routes import chaos  # not even imported elsewhere

        app.include_router(chaos.router)
    for page in pages.ROUTERS:
        app.include_router(page)
    app.mount("/static", Static())
    uploads = {parts.router.prefix, *pages.UPLOADS}
    app.add_middleware(Doors, clock=here.clock, max_json_bytes=here.settings.upload.max_json_bytes, uploads=uploads)
    return app
