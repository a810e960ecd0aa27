"""Migrations of vectors: what one would change, before it is run."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from api.auth import TheTenant
from api.house import TheHouse
from api.shapes.answers import answers
from api.shapes.operating import MigrationPreview
from tasks import migration_preview
from tasks.migration_preview import PreviewRequest
from tasks.vocabulary import FeatureVersion

router = APIRouter(prefix="/vectors/migrate", tags=["migration"])


@router.get("/preview", responses=answers(MigrationPreview, "JOB_NOT_FOUND"))
def preview_migration(
    house: TheHouse,
    tenant: TheTenant,
    source: Annotated[FeatureVersion | None, Query(alias="from", description="the version vectors are in")] = None,
    target: Annotated[FeatureVersion | None, Query(alias="to", description="the version they would be brought to")] = None,
    sample: Annotated[int, Query(ge=1, le=300, description="most parts compared")] = 200,
    job: Annotated[str | None, Query(max_length=64, description="a dry run with `sample`, instead of `from` and `to`")] = None,
) -> dict[str, Any]:
    """How a migration would change vectors, over a sample of your parts whose vectors are stored in both versions.

    `avg_delta` and `median_delta` are over dimensions, in scaled units; `warnings` may hold `large_negative_skew` (more than half of the
    dimensions fall) and `growth_spike` (more than 30 % of the sample grow by over 100 %); `neighbours` tells how many of the 10 nearest
    stay. Down needs nothing but vectors in `from`. Up needs some in both: run a migration with `dry_run` and `sample`, and name it as
    `job`. docs/migration.md has every definition.
    """
    return migration_preview.preview(
        house.ledger, tenant.id, PreviewRequest(from_version=source, to_version=target, sample=sample, job=job)
    )


@router.post("/preview", responses=answers(MigrationPreview, "JOB_NOT_FOUND"))
def preview_migration_of_selection(asked: PreviewRequest, house: TheHouse, tenant: TheTenant) -> dict[str, Any]:
    """The same over parts that match a selector (ids, format, labels), as a migration job takes it."""
    return migration_preview.preview(house.ledger, tenant.id, asked)
