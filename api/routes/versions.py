"""The versions of the API, for people and programs. Needs no key."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from api.shapes.answers import answers
from api.shapes.operating import ApiVersions

router = APIRouter(prefix="/versions", tags=["versions"])


@router.get("", responses=answers(ApiVersions))
def list_versions(request: Request) -> dict[str, Any]:
    """Every version with its status, its features and its dates.

    A call names its version in the path, or at `/api/...` in the header X-API-Version; without either it gets the current one."""
    told: dict[str, Any] = request.app.state.table.view()
    return told
