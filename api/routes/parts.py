"""Parts: files under the names their tenant gave them."""

from __future__ import annotations

from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from api import paging, uploads
from api.auth import TheTenant
from api.house import TheHouse
from api.paging import Cursor, Limit
from api.routes import previews
from api.shapes.answers import answers, nothing
from api.shapes.parts import Part, PartPage, Upload
from foundation.errors import Failure
from ledger import parts
from ledger.parts import NewPart
from tasks.vocabulary import Format

router = APIRouter(prefix="/parts", tags=["parts"])

_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        "labels": {"type": "string", "description": "JSON object of texts, given to every part of the request"},
                    },
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


_UPLOADED = answers(
    Upload,
    "UPLOAD_INVALID",
    "BODY_TOO_LARGE",
    "BODY_TOO_SLOW",
    "STORAGE_FULL",
    "QUOTA_EXCEEDED",
    status=201,
    says="At least one file was taken",
)
_UPLOADED[422] = _UPLOADED.get(422, {}) | {
    "model": Upload,
    "description": "Every file was refused: the reasons are where the parts would be",
}


@router.post("", status_code=201, openapi_extra=_BODY, responses=_UPLOADED)
async def upload_parts(
    request: Request,
    house: TheHouse,
    tenant: TheTenant,
    name: Annotated[str, Query(max_length=1000, description="name of the file when the body is the file itself")] = "",
) -> JSONResponse:
    """Upload many files at once. Answers one entry a file, in order: the part, or why the file was refused.

    A zip archive (also .stpz) stands for the files in it. Their parts get labels `archive` and `folder`, which say where they were found.
    """
    received = await uploads.receive(
        request.stream(), request.headers.get("content-type", ""), name, house.files, house.settings.upload, house.clock
    )
    if not received.answers:
        raise Failure("UPLOAD_INVALID", {"reason": "no file in the request"})

    def add() -> None:
        with house.ledger.write() as tx:
            parts.add(tx, tenant.id, received.parts, received.labels)
            for sha256 in {part.sha256 for part in received.parts}:
                house.files.must_hold(sha256)  # they may have been swept since they were received

    await run_sync(add)
    return JSONResponse({"parts": [_told(each) for each in received.answers]}, 201 if received.parts else 422)


def _told(each: NewPart | dict[str, Any]) -> dict[str, Any]:
    if isinstance(each, dict):
        return each
    return {"id": each.id, "name": each.name, "sha256": each.sha256, "format": each.format, "bytes": each.bytes} | each.labels


@router.get("", responses=answers(PartPage, "CURSOR_INVALID"))
def list_parts(
    house: TheHouse,
    tenant: TheTenant,
    limit: Limit = 100,
    cursor: Cursor = None,
    name: Annotated[str | None, Query(max_length=255, description="only parts whose name contains this")] = None,
    format: Annotated[Format | None, Query(description="only parts of this format")] = None,
) -> dict[str, Any]:
    """Your parts, newest first."""
    with house.ledger.read() as tx:
        found = parts.page(tx, tenant.id, limit + 1, paging.decode(cursor), name, format)
    return paging.page("parts", found, limit)


@router.get("/{part_id}", responses=answers(Part, "PART_NOT_FOUND"))
def get_part(part_id: str, house: TheHouse, tenant: TheTenant) -> dict[str, Any]:
    """A part with what is known of its vectors, and links to its previews once it was extracted."""
    with house.ledger.read() as tx:
        part = parts.get(tx, tenant.id, part_id)
    return part | {"links": previews.links(house, part)}


@router.delete("/{part_id}", status_code=204, responses=nothing("PART_NOT_FOUND", says="It is forgotten"))
def delete_part(part_id: str, house: TheHouse, tenant: TheTenant) -> None:
    """Forget a part. It no longer appears in any list or search."""
    with house.ledger.write() as tx:
        parts.delete(tx, tenant.id, part_id)
