"""The composition of the API process: routes, doors, health."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI
from fastapi.routing import APIRoute

from api import documentation, problems, versions
from api.doors import Doors
from api.house import Caretaker, House, build
from api.rendering import Versioned
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
from api.routes import versions as version_table
from api.versions import Table
from foundation import metrics, telemetry
from foundation.settings import settings
from tasks.ring import BackgroundDoorbell

# what stands below `versions.PREFIX`: written once, answered in every version
_VERSIONED = (
    parts, previews, bulk, jobs, migrations, pairs, duplicates, reviews, schedules, quarantine, queues, webhooks, engine, version_table,
)  # fmt: skip


def _named(route: APIRoute) -> str:
    """The id of an operation is the name of its function: what generated clients call it."""
    return route.name


def create(house: House | None = None, table: Table | None = None) -> FastAPI:
    """The ASGI app. `house` is built from the environment unless given; `table` is that of the versions."""
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

    app = FastAPI(title="cadmill", lifespan=life, openapi_url=None, docs_url=None, redoc_url=None, generate_unique_id_function=_named)
    app.state.house = here
    problems.install(app)
    app.include_router(health.router)
    for routes in _VERSIONED:
        app.include_router(routes.router, prefix=versions.PREFIX)
    if here.settings.process.chaos:
        from api.routes import chaos  # not even imported elsewhere

        app.include_router(chaos.router, prefix=versions.PREFIX)
    app.state.table = table or Table()
    if not here.settings.process.production:  # strangers need not read what there is to try
        documentation.install(app, app.state.table)
    uploads = versions.PREFIX + parts.router.prefix
    app.add_middleware(Doors, clock=here.clock, max_json_bytes=here.settings.upload.max_json_bytes, uploads=uploads)
    app.add_middleware(Versioned, table=app.state.table)  # the last one added stands before all others
    return app
