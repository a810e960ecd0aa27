"""The composition of the API process: routes, doors, health."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI
from fastapi.routing import APIRoute

from api import documentation, problems, versions
from api.doors import Doors
from api.envelope import Versioned
from api.house import Caretaker, House, build
from api.live.hub import Hub
from api.pages import routes as pages
from api.pages.rendering import Static
from api.routes import (
    audit,
    bulk,
    duplicates,
    engine,
    errors,
    health,
    jobs,
    keys,
    live,
    migrations,
    pairs,
    parts,
    previews,
    quarantine,
    queues,
    resilience,
    reviews,
    schedules,
    tenants,
    usage,
    webhooks,
)
from api.routes import versions as version_table
from api.stopping import when_told_to_stop
from api.versions import Table
from foundation import metrics, telemetry
from foundation.errors import Failure
from foundation.settings import settings

# what stands below `versions.PREFIX`: written once, answered in every version
_VERSIONED = (
    parts, previews, bulk, jobs, migrations, pairs, duplicates, reviews, schedules, quarantine, queues, webhooks, live, engine, resilience,
    errors, keys, tenants, usage, audit, version_table,
)  # fmt: skip


def _built() -> House:
    """The house of the environment; one that must not be opened ends the process with a sentence rather than with a traceback."""
    try:
        return build(settings())
    except Failure as failure:
        sys.exit(f"{failure.code}: {failure.message} {failure.context} {failure.row.remedy}")


def _named(route: APIRoute) -> str:
    """The id of an operation is the name of its function: what generated clients call it."""
    return route.name


def create(house: House | None = None, table: Table | None = None) -> FastAPI:
    """The ASGI app. `house` is built from the environment unless given; `table` is that of the versions."""
    here = house or _built()
    telemetry.start_logging(here.settings.process.log_level)
    telemetry.attach(telemetry.log)
    telemetry.attach(metrics.count)

    hub = Hub(here)

    @asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        current_default_thread_limiter().total_tokens = here.settings.api.threads
        caretaker = Caretaker(here)
        caretaker.start()
        await hub.start()
        with when_told_to_stop(hub.announce_stop):
            yield
        await hub.stop()
        caretaker.stop()
        await here.limits.close()
        here.close()

    app = FastAPI(title="cadmill", lifespan=life, openapi_url=None, docs_url=None, redoc_url=None, generate_unique_id_function=_named)
    app.state.house = here
    app.state.live = hub
    problems.install(app)
    app.include_router(health.router)
    for routes in _VERSIONED:
        app.include_router(routes.router, prefix=versions.PREFIX)
    app.include_router(webhooks.deliveries, prefix=versions.PREFIX)
    if here.settings.process.chaos:
        from api.routes import chaos  # not even imported elsewhere

        app.include_router(chaos.router, prefix=versions.PREFIX)
    app.state.table = table or Table()
    if not here.settings.process.production:  # strangers need not read what there is to try
        documentation.install(app, app.state.table)
    for page in pages.ROUTERS:
        app.include_router(page)
    app.mount("/static", Static())
    app.add_middleware(
        Doors,
        clock=here.clock,
        caps=here.settings.upload,
        limits=here.limits,
        uploads={versions.PREFIX + parts.router.prefix, *pages.UPLOADS},
        proxies=here.settings.api.proxies(),
    )
    app.add_middleware(Versioned, table=app.state.table)  # the last one added stands before all others
    return app
