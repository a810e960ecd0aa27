"""Sign in, sign out, and who one is."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import Response

from api.house import TheHouse
from api.pages import rendering, session
from api.pages.rendering import go, local, render
from api.pages.session import TheReader
from api.policy import Credentials, Scope, admit
from foundation.errors import Failure
from ledger import keys, quotas

router = APIRouter(include_in_schema=False)


@router.get("/sign-in")
def show_sign_in(
    request: Request, house: TheHouse, then: Annotated[str, Query(max_length=2000)] = "/", why: Annotated[str, Query(max_length=64)] = ""
) -> Response:
    return render(request, house, "sign_in.html", then=local(then), problem=rendering.reason(why))


@router.post("/sign-in")
def sign_in(
    request: Request,
    house: TheHouse,
    key: Annotated[str, Form(max_length=500)] = "",
    token: Annotated[str, Form(max_length=100)] = "",
    then: Annotated[str, Form(max_length=2000)] = "/",
) -> Response:
    """Look the key up once and begin a session, or say what is wrong with it."""
    session.check(house, request, token)
    try:
        admit(house, Credentials(key.strip() or None), Scope.READ)
    except Failure as failure:
        if failure.row.status not in (401, 403):
            raise
        problem = {"message": failure.message, "remedy": failure.row.remedy}
        if failure.code == "API_KEY_MISSING":
            problem = {"message": "There was no key in the field.", "remedy": "Paste your API key."}
        return render(request, house, "sign_in.html", failure.row.status, then=local(then), problem=problem)
    response = go(local(then))
    session.begin(house, request, response, key.strip())
    return response


@router.post("/sign-out")
def sign_out(request: Request, house: TheHouse, token: Annotated[str, Form(max_length=100)] = "") -> Response:
    session.check(house, request, token)
    response = go("/sign-in")
    session.end(response)
    return response


@router.post("/theme")
def choose_theme(
    request: Request,
    house: TheHouse,
    theme: Annotated[str, Form(max_length=10)] = "",
    back: Annotated[str, Form(max_length=2000)] = "/",
    token: Annotated[str, Form(max_length=100)] = "",
) -> Response:
    """Light, dark, or as the system has it. Scripts set the cookie themselves; this is for browsers without."""
    session.check(house, request, token)
    response = go(local(back))
    if theme in rendering.THEMES:
        response.set_cookie("cadmill_theme", theme, max_age=365 * 86400, path="/", samesite="strict")
    else:
        response.delete_cookie("cadmill_theme", path="/")
    return response


@router.get("/me")
def show_me(request: Request, house: TheHouse, tenant: TheReader) -> Response:
    with house.ledger.read() as tx:
        used = quotas.usage(tx, tenant.id)
        key = keys.get(tx, tenant.id, tenant.key_id, house.settings.key.hint_days)
    hours = house.settings.api.session_hours
    return render(request, house, "me.html", used=used, key=key, hours=hours, feature_version=house.settings.features.version)
