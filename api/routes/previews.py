"""Previews: pictures of parts, drawn when they were extracted."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Response

from api.auth import TheTenant
from api.house import House, TheHouse
from api.shapes.answers import streams
from api.versions import link
from foundation.errors import Failure
from ledger import parts, previews
from ledger.tenants import Tenant

router = APIRouter(prefix="/parts", tags=["parts"])

_HEADERS = {
    # a part may be drawn anew, or deleted: whoever keeps a picture asks whether it still holds
    "Cache-Control": "private, no-cache",
    "Vary": "X-API-Key",
    "X-Content-Type-Options": "nosniff",
    # an SVG is a page: opened by itself it may run nothing and load nothing, whatever got into it
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",
}
_SAME = {304: {"description": "The picture named in If-None-Match still holds"}}
_PNG = _SAME | streams("image/png", "PART_NOT_FOUND", "PREVIEW_NOT_FOUND", says="The picture", picture=True)
_SVG = _SAME | streams("image/svg+xml", "PART_NOT_FOUND", "PREVIEW_NOT_FOUND", says="The lines")
IfNoneMatch = Annotated[str | None, Header(description="the ETag of the picture you have")]


def builds(part: dict[str, Any]) -> list[str]:
    """Engine builds in which the tenant extracted the part's file, newest first. Only those open its previews: the same file may
    have been extracted by someone else, and whether it was is nobody's business.
    """
    newest = sorted(part["vectors"], key=lambda vector: str(vector["created_at"]), reverse=True)
    return list(dict.fromkeys(str(vector["engine_build"]) for vector in newest))


def links(house: House, part: dict[str, Any]) -> dict[str, str]:
    """Where the pictures of a part are, if there are any."""
    here = link(f"/parts/{part['id']}")
    drawn = any(previews.there(house.files, part["sha256"], build) for build in builds(part))
    return {"self": here} | ({"preview_png": f"{here}/preview.png", "preview_svg": f"{here}/preview.svg"} if drawn else {})


@router.get("/{part_id}/preview.png", response_class=Response, responses=_PNG)
def get_preview_png(
    part_id: str,
    house: TheHouse,
    tenant: TheTenant,
    size: Annotated[Literal["128", "512"], Query(description="pixels of each side")] = "512",
    if_none_match: IfNoneMatch = None,
) -> Response:
    """A square picture of the part on white."""
    return picture(house, tenant, part_id, previews.png(int(size)), "image/png", if_none_match)


@router.get("/{part_id}/preview.svg", response_class=Response, responses=_SVG)
def get_preview_svg(part_id: str, house: TheHouse, tenant: TheTenant, if_none_match: IfNoneMatch = None) -> Response:
    """The part as lines: a drawing as it is, a solid by its visible edges."""
    return picture(house, tenant, part_id, previews.SVG, "image/svg+xml", if_none_match)


def picture(house: House, tenant: Tenant, part_id: str, kind: str, media_type: str, known: str | None) -> Response:
    """A picture of a kind, or that the one the client has still holds. Raises PART_NOT_FOUND, PREVIEW_NOT_FOUND."""
    with house.ledger.read() as tx:
        part = parts.get(tx, tenant.id, part_id)
    data = previews.load(house.files, part["sha256"], builds(part), kind)
    if data is None:
        raise Failure("PREVIEW_NOT_FOUND", {"part_id": part["id"]})
    tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    headers = _HEADERS | {"ETag": tag}
    if known is not None and _named(tag, known.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=media_type, headers=headers)


def _named(tag: str, known: Sequence[str]) -> bool:
    return any(each.strip().removeprefix("W/") in (tag, "*") for each in known)
