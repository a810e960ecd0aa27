"""From values to a page: the templates, the few filters they use, and the headers every page wears."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from api.house import House
from api.pages import session
from foundation.clock import SYSTEM
from foundation.errors import CODES, Failure, Stage, current

_HERE = Path(__file__).parent
HEADERS = {
    # nothing from anywhere else, and nothing written into a page runs; Pico draws its arrows and ticks from data: addresses
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # nothing to other sites; "no-referrer" would also hide from us which site a form came from
    "Referrer-Policy": "same-origin",
    "Cache-Control": "private, no-store",
    "Vary": "Cookie",
}
THEMES = ("light", "dark")
_UNITS = ((86400 * 365, "year"), (86400 * 30, "month"), (86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def render(request: Request, house: House, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A whole page, or a piece of one where a template is just that."""
    token, form_cookie = session.form_token(house, request)
    theme = request.cookies.get("cadmill_theme")
    text = (
        _templates()
        .get_template(template)
        .render(
            token=token,
            theme=theme if theme in THEMES else "",
            tenant=getattr(request.state, "tenant", None),
            here=request.url.path + (f"?{request.url.query}" if request.url.query else ""),
            path=request.url.path,
            product=version("cadmill"),
            **values,
        )
    )
    response = HTMLResponse(text, status, HEADERS)
    session.keep_form_cookie(house, request, response, form_cookie)
    return response


def go(path: str) -> RedirectResponse:
    """Look at another page now; a reload repeats nothing."""
    return RedirectResponse(path, 303, HEADERS)


def local(path: str, otherwise: str = "/") -> str:
    """An address of ours, or `otherwise`: a link must not lead a person who signs in to somebody else."""
    plain = path.startswith("/") and path[1:2] not in ("/", "\\") and path.isprintable() and "\\" not in path
    return path if plain else otherwise


def address(path: str, **query: Any) -> str:
    """A path with what is not empty of the query."""
    told = urlencode({name: value for name, value in query.items() if value not in (None, "")})
    return f"{path}?{told}" if told else path


# -- failures ----------------------------------------------------------------------------------------------------------


def wants_page(request: Request) -> bool:
    """Whether an answer is for a person: a browser says so, and the addresses of the API never are."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")


def failed(request: Request, failure: Failure) -> Response:
    """The page of a failure: its sentence and what to do. Who is not signed in is asked to do that."""
    house: House = request.app.state.house
    row = failure.row
    if row.stage is Stage.AUTH and row.status == 401:
        back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        why = "" if failure.code == "SESSION_ENDED" and session.COOKIE not in request.cookies else failure.code
        target = address("/sign-in", then=back if request.method == "GET" and back != "/" else "", why=why)
        if "hx-request" in request.headers:  # a piece of a page is asked for: have the whole page go there
            return Response(status_code=401, headers={**HEADERS, "HX-Redirect": address("/sign-in", why=why)})
        response = go(target)
        session.end(response)
        return response
    return render(request, house, "failure.html", row.status, failure=failure.public(), http_status=row.status)


def reason(code: str) -> dict[str, str] | None:
    """Why somebody has to sign in (again), by the code that sent them."""
    row = CODES.get(current(code))
    return None if row is None or row.stage is not Stage.AUTH else {"message": row.sentence, "remedy": row.remedy}


# -- static files ------------------------------------------------------------------------------------------------------


class Static(StaticFiles):
    """Our own files. Their address names their content, so a browser asks once."""

    def __init__(self) -> None:
        super().__init__(directory=_HERE / "static")

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["X-Content-Type-Options"] = "nosniff"
        if b"v=" in scope.get("query_string", b""):
            response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


@lru_cache(maxsize=32)
def static(name: str) -> str:
    """The address of a static file."""
    content = (_HERE / "static" / name).read_bytes()
    return f"/static/{name}?v={hashlib.sha256(content).hexdigest()[:12]}"


# -- filters -----------------------------------------------------------------------------------------------------------


def ago(text: str | None, now: float | None = None) -> str:
    """How long ago, or until, a time is: "3 minutes ago"."""
    if not text:
        return "never"
    seconds = (SYSTEM.now() if now is None else now) - datetime.fromisoformat(text).timestamp()
    if abs(seconds) < 5:
        return "just now"
    return f"{span(abs(seconds))} ago" if seconds > 0 else f"in {span(abs(seconds))}"


def span(seconds: float) -> str:
    """A length of time in its largest unit."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms" if seconds else "0 s"
    size, name = next(unit for unit in _UNITS if seconds >= unit[0])
    number = int(seconds // size)
    return f"{number} {name}{'' if number == 1 else 's'}"


def took(first: str | None, last: str | None) -> str:
    """How long something ran."""
    if not first or not last:
        return ""
    seconds = (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()
    return f"{seconds:.1f} s" if seconds < 60 else span(seconds)


def exact(text: str) -> str:
    """A time to the second, in words that need no explanation."""
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def size(number: float) -> str:
    """Bytes as people say them."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000 or unit == "GB":
            return f"{number:.0f} {unit}" if unit == "bytes" or number >= 100 else f"{number:.1f} {unit}"
        number /= 1000
    return ""


def short(value: Any) -> str:
    """A number in four digits, a truth in a word, anything else as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.0f}" if 1000 <= abs(value) < 1e12 else f"{value:.4g}"
    return str(value)


def sides(millimetres: Iterable[float]) -> str:
    """The sides of a box: "40 × 30 × 12 mm"."""
    return " × ".join(f"{side:.0f}" if side >= 1000 else f"{side:.4g}" for side in millimetres) + " mm"


def extent(box: Mapping[str, Sequence[float]]) -> list[float]:
    """The sides of a bounding box."""
    return [high - low for low, high in zip(box["min"], box["max"], strict=True)]


def scalars(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What of a result can be told in a line each."""
    return [(name.replace("_", " "), short(value)) for name, value in values.items() if isinstance(value, str | int | float | bool)]


def printable(text: object) -> str:
    """Text of strangers: what cannot be printed, or turns the direction of writing, becomes "?"."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))


@lru_cache(maxsize=1)
def _templates() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters.update(
        ago=ago, span=span, exact=exact, size=size, short=short, sides=sides, extent=extent, scalars=scalars, printable=printable,
    )  # fmt: skip
    made.globals.update(static=static, address=address, took=took, codes=CODES)
    return made
