"""Parts: the gallery, a part, its pictures."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api import paging
from api.house import TheHouse
from api.pages.cards import measured, newest_vector
from api.pages.rendering import address, go, render
from api.pages.session import TheReader, TheSender
from api.routes.previews import IfNoneMatch, links, picture
from ledger import parts, previews, quarantine
from tasks.vocabulary import Format

router = APIRouter(prefix="/parts", include_in_schema=False)

_PAGE = 48


def searched_for(text: str) -> tuple[str, dict[str, str]]:
    """What was typed, as words of the name and labels: "bracket project=alpha" is a name and one label."""
    words = text.split()
    labels = dict(word.split("=", 1) for word in words if "=" in word[1:])
    return " ".join(word for word in words if "=" not in word[1:]), labels


@router.get("")
def show_gallery(
    request: Request,
    house: TheHouse,
    tenant: TheReader,
    q: Annotated[str, Query(max_length=255)] = "",
    format: Annotated[Format | Literal[""], Query()] = "",
    cursor: Annotated[str | None, Query(max_length=256)] = None,
) -> Response:
    """The gallery, newest first; a script asks for what follows when the end comes into sight."""
    name, labels = searched_for(q)
    with house.ledger.read() as tx:
        found = parts.page(tx, tenant.id, _PAGE + 1, paging.decode(cursor), name or None, format or None, labels)
        shown = measured(tx, house, tenant.id, found[:_PAGE])
        count = parts.count(tx, tenant.id)
    following = paging.encode(shown[-1]["id"]) if len(found) > _PAGE else None
    more = address("/parts", q=q, format=format, cursor=following) if following else None
    template = "_cards.html" if "hx-request" in request.headers else "parts.html"
    return render(request, house, template, parts=shown, more=more, q=q, format=format, formats=list(Format), count=count, first=not cursor)


@router.get("/{part_id}")
def show_part(request: Request, part_id: str, house: TheHouse, tenant: TheReader) -> Response:
    with house.ledger.read() as tx:
        part = parts.get(tx, tenant.id, part_id)
        copies = parts.of_contents(tx, tenant.id, [part["sha256"]])[part["sha256"]]
        same = parts.named(tx, tenant.id, [one for one in copies if one != part_id])
        held = next((one for one in quarantine.page(tx, tenant.id, 100, None) if one["sha256"] == part["sha256"]), None)
    drawn = "preview_png" in links(house, part)
    return render(request, house, "part.html", part=part, newest=newest_vector(part), drawn=drawn, same=list(same.values()), held=held)


@router.get("/{part_id}/preview.png")
def show_png(
    part_id: str, house: TheHouse, tenant: TheReader, size: Literal["128", "512"] = "512", if_none_match: IfNoneMatch = None
) -> Response:
    return _for_cookie(picture(house, tenant, part_id, previews.png(int(size)), "image/png", if_none_match))


@router.get("/{part_id}/preview.svg")
def show_svg(part_id: str, house: TheHouse, tenant: TheReader, if_none_match: IfNoneMatch = None) -> Response:
    return _for_cookie(picture(house, tenant, part_id, previews.SVG, "image/svg+xml", if_none_match))


def _for_cookie(response: Response) -> Response:
    response.headers["Vary"] = "Cookie"  # here that says who asks
    return response


@router.post("/{part_id}/delete")
def delete_part(part_id: str, house: TheHouse, tenant: TheSender) -> Response:
    with house.ledger.write() as tx:
        parts.delete(tx, tenant.id, part_id)
    return go("/parts")
