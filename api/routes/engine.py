"""What stands behind similarity: the fast index of each worker, and the caches of vectors."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api.auth import TheAdmin, TheTenant
from api.house import TheHouse
from api.routes.jobs import linked
from api.shapes.answers import LOCATION, answers
from api.shapes.jobs import Job
from api.shapes.operating import CacheApplied, CacheRolledBack, CacheTuning, IndexHealth, OrderedRecovery
from api.versions import link
from tasks import engine_health, submit, tuning
from tasks.prewarm import PrewarmRequest
from tasks.submit import JobRequest
from tasks.tuning import CacheChange
from tasks.vocabulary import Kind, Priority

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/faiss/health", responses=answers(IndexHealth))
def get_index_health(house: TheHouse, _tenant: TheTenant) -> dict[str, Any]:
    """Whether the fast index serves, in the fleet as its worst worker is, and in each.

    `recovery_status`: healthy; degraded (exact search serves, and is tried again at `next_recovery_attempt`); recovering; held (a recovery
    asked for by hand runs); unknown (no worker reports). `flapping`: it fails again and again soon after it recovered. `recovery` is the
    last one asked for by hand, with the answer of each worker: recovered, failed, overtaken, unneeded or refused."""
    with house.ledger.read() as tx:
        return engine_health.view(tx)


@router.post("/faiss/recover", status_code=202, responses=answers(OrderedRecovery, "FAISS_RECOVERY_CONFLICT", "WORKERS_SILENT", status=202))
def recover_index(house: TheHouse, admin: TheAdmin) -> dict[str, Any]:
    """Have every worker whose index failed build it anew now. Meanwhile nothing is tried by itself. Needs X-Admin-Token.

    FAISS_RECOVERY_CONFLICT while one asked for earlier is running."""
    return engine_health.recover(house.ledger, admin)


@router.get("/features/cache/tuning", responses=answers(CacheTuning))
def get_cache_tuning(house: TheHouse, _admin: TheAdmin) -> dict[str, Any]:
    """The caches of vectors: their setting, what each worker counted under it, and which size and TTL would be better, and why.

    `would_serve` tells which share of the lookups a cache of that share of the capacity would have served; `ghost_hits` are misses that
    four times the capacity would have served. Needs X-Admin-Token."""
    with house.ledger.read() as tx:
        return tuning.state(tx)


@router.patch("/features/cache/apply", responses=answers(CacheApplied, "CACHE_TUNING_SNAPSHOT_ACTIVE"))
def apply_cache_setting(house: TheHouse, admin: TheAdmin, change: CacheChange | None = None, dry_run: bool = False) -> dict[str, Any]:
    """Set size and TTL of the caches of all workers; without a body as recommended. Every worker takes it within 5 seconds.

    The setting before can be had back until `rollback_until`; until then another one gets CACHE_TUNING_SNAPSHOT_ACTIVE.
    Needs X-Admin-Token."""
    return tuning.apply(house.ledger, admin, change or CacheChange(), house.settings.cache, dry_run)


_BACK = answers(CacheRolledBack, "CACHE_TUNING_ROLLBACK_EXPIRED", "CACHE_TUNING_NOTHING_APPLIED")


@router.post("/features/cache/rollback", responses=_BACK)
def roll_cache_setting_back(house: TheHouse, admin: TheAdmin) -> dict[str, Any]:
    """Bring back the setting before the last one. Too late: CACHE_TUNING_ROLLBACK_EXPIRED. Needs X-Admin-Token."""
    return tuning.rollback(house.ledger, admin)


@router.post(
    "/features/cache/prewarm", status_code=202, responses=answers(Job, "QUOTA_EXCEEDED", status=202, says="The job", headers=LOCATION)
)
def prewarm_caches(house: TheHouse, admin: TheAdmin, request: PrewarmRequest | None = None) -> JSONResponse:
    """Submit an urgent prewarm job of your tenant; the same as POST /jobs with that kind. Needs X-Admin-Token."""
    given = (request or PrewarmRequest()).model_dump(mode="json", exclude_unset=True)
    asked = JobRequest(kind=Kind.PREWARM, input=given, priority=Priority.URGENT)
    job = submit.submit(house.ledger, house.doorbell, house.settings, admin.id, asked, None)
    return JSONResponse(linked(job), 202, {"Location": link(f"/jobs/{job['id']}")})
