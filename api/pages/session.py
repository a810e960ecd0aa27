"""Who looks at a page: a key that was pasted once, sealed into a cookie; and the proof that a form is one of ours.

The cookie cannot be read or made by anybody else, and holds no more than the key it was made from: every request is admitted anew, so
what holds for a key (revoked, expired, scopes) holds for its pages at once.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Form, Header, Query, Request
from starlette.responses import Response

from api.house import House, TheHouse
from api.policy import Credentials, Scope, admit
from foundation.errors import Failure
from ledger.tenants import Tenant

COOKIE, FORM_COOKIE = "cadmill_session", "cadmill_form"
_SEAL, _OWNER, _PEPPER = "page sessions", "session", "page forms"
_LOOKING = frozenset({"GET", "HEAD"})


def begin(house: House, request: Request, response: Response, key: str) -> None:
    """Keep a key that was admitted for as long as a session lasts."""
    seconds = house.settings.api.session_hours * 3600
    text = json.dumps({"key": key, "ends": house.clock.now() + seconds})
    _set(house, request, response, COOKIE, house.sealing.seal(text, _SEAL, _OWNER), round(seconds))


def end(response: Response) -> None:
    response.delete_cookie(COOKIE, path="/")


def key_of(house: House, request: Request) -> str:
    """The key of a session. Raises SESSION_ENDED."""
    try:
        kept = json.loads(house.sealing.open(request.cookies.get(COOKIE, ""), _SEAL, _OWNER))
    except Failure as failure:  # none at all, made up, or sealed with a secret that was changed since
        raise Failure("SESSION_ENDED") from failure
    if kept["ends"] <= house.clock.now():
        raise Failure("SESSION_ENDED")
    return str(kept["key"])


def reader(request: Request, house: TheHouse) -> Tenant:
    """Whose page it is. Raises SESSION_ENDED, and what `admit` raises."""
    scope = Scope.READ if request.method in _LOOKING else Scope.SUBMIT
    request.state.tenant = admit(house, Credentials(key_of(house, request)), scope)
    return request.state.tenant  # type: ignore[no-any-return]


def sender(request: Request, house: TheHouse, token: Annotated[str, Form(max_length=100)] = "") -> Tenant:
    """Who sent a form. Raises FORM_FORGED, and what `reader` raises."""
    check(house, request, token)
    return reader(request, house)


def script(
    request: Request,
    house: TheHouse,
    token: Annotated[str, Query(max_length=100)] = "",
    x_form_token: Annotated[str, Header(max_length=100)] = "",
) -> Tenant:
    """Who sent a body that is no form of ours, or is too large to look for a token in. Raises as `sender`."""
    check(house, request, x_form_token or token)
    return reader(request, house)


TheReader = Annotated[Tenant, Depends(reader)]
TheSender = Annotated[Tenant, Depends(sender)]
TheScript = Annotated[Tenant, Depends(script)]


def check(house: House, request: Request, token: str) -> None:
    """Three walls against forms of other sites: SameSite=Strict keeps the cookies away, the browser names the site, the token proves it.

    Raises FORM_FORGED."""
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site", "same-origin")
    ours = origin is None or urlsplit(origin).netloc == request.headers.get("host")
    known = request.cookies.get(FORM_COOKIE, "")
    if not (ours and site == "same-origin" and known and hmac.compare_digest(token.encode(), _token(house, request, known).encode())):
        raise Failure("FORM_FORGED")


def form_token(house: House, request: Request) -> tuple[str, str]:
    """The token for the forms of a page, and the value of the cookie it belongs to."""
    known = request.cookies.get(FORM_COOKIE) or secrets.token_urlsafe(16)
    return _token(house, request, known), known


def keep_form_cookie(house: House, request: Request, response: Response, value: str) -> None:
    if request.cookies.get(FORM_COOKIE) != value:
        _set(house, request, response, FORM_COOKIE, value, None)


def _token(house: House, request: Request, known: str) -> str:
    said = f"{known} {request.cookies.get(COOKIE, '')}".encode()
    return hmac.new(house.sealing.pepper(_PEPPER), said, hashlib.sha256).hexdigest()


def _set(house: House, request: Request, response: Response, name: str, value: str, seconds: int | None) -> None:
    secure = request.url.scheme == "https" or house.settings.process.production
    response.set_cookie(name, value, max_age=seconds, path="/", secure=secure, httponly=True, samesite="strict")
