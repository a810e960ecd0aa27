"""The composition of the API process: routes, doors, health."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI

from api import problems
from api.doors import Doors
from api.house import Caretaker, House, build
from api.live.hub import Hub
from api.pages import routes as pages
from api.pages.rendering import Static
from api.routes import (
    audit,
    bulk,
    duplicates,
    engine,
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
    reviews,
    schedules,
    tenants,
    usage,
    webhooks,
)
from api.stopping import when_told_to_stop
from foundation import metrics, telemetry
from foundation.errors import Failure
from foundation.settings import settings
from tasks.ring import BackgroundDoorbell

_ABOUT = """Takes a pile of CAD files, computes comparable features and finds the parts you already have.

1. `POST /api/v1/parts` with your files  2. `POST /api/v1/jobs` with their ids  3. `GET /api/v1/jobs/{id}/result`

Every call names its tenant by `X-API-Key`. Every error has one shape and a code of its own.
"""


def _built() -> House:
    """The house of the environment; one that must not be opened ends the process with a sentence rather than with a traceback."""
    try:
        return build(settings())
    except Failure as failure:
        sys.exit(f"{failure.code}: {failure.message} {failure.context} {failure.row.remedy}")


def create(house: House | None = None) -> FastAPI:
    """The ASGI app. `house` is built from the environment unless given."""
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
        if isinstance(here.doorbell, BackgroundDoorbell):
            here.doorbell.close()
        here.progress.close()
        here.ledger.close()

    app = FastAPI(
        title="cadmill", version=version("cadmill"), description=_ABOUT, lifespan=life,
        responses={"default": {"description": "Any failure", "content": {"application/problem+json": {"schema": problems.SHAPE}}}},
    )  # fmt: skip
    app.state.house = here
    app.state.live = hub
    problems.install(app)
    for routes in (
        parts, previews, bulk, jobs, migrations, pairs, duplicates, reviews, schedules, quarantine, queues, webhooks, live, health, engine,
        keys, tenants, usage, audit,
    ):  # fmt: skip
        app.include_router(routes.router)
    app.include_router(webhooks.deliveries)
    if here.settings.process.chaos:
        from api.routes import chaos  # not even imported elsewhere

        app.include_router(chaos.router)
    for page in pages.ROUTERS:
        app.include_router(page)
    app.mount("/static", Static())
    app.add_middleware(
        Doors,
        clock=here.clock,
        caps=here.settings.upload,
        limits=here.limits,
        uploads={parts.router.prefix, *pages.UPLOADS},
        proxies=here.settings.api.proxies(),
    )
    return app
