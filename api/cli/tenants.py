"""`cadmill tenants`: who is on this server, and how much each may have; `cadmill usage`: how much one has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.options import AdminTokenOption, DirOption, KeyOption, UrlOption, admin_token_of, client_at

if TYPE_CHECKING:
    from api.cli.client import Client

_PLACE = "/api/v1/tenants"

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""Add, disable and limit tenants, with the ADMIN_TOKEN of the server.

\b
  cadmill tenants add acme --jobs 100
  cadmill keys create --tenant acme
  cadmill tenants quota acme --bytes 50000000000
  cadmill tenants disable acme""",
)

NameArgument = Annotated[str, typer.Argument(help="Name or id of the tenant.", metavar="NAME")]
BytesOption = Annotated[str | None, typer.Option("--bytes", help="Bytes of parts it may keep; 0: no limit; default: as for all.")]
PartsOption = Annotated[str | None, typer.Option("--parts", help="Parts it may keep; 0: no limit; default: as for all.")]
JobsOption = Annotated[str | None, typer.Option("--jobs", help="Jobs it may have in flight; 0: no limit; default: as for all.")]


def id_of(client: Client, name: str, admin_token: str) -> str:
    """The id of a tenant that was named by its name or its id."""
    from api.cli.connection import step_of

    return step_of(next((str(one["id"]) for one in client.pages(_PLACE, "tenants", admin_token) if name in (one["name"], one["id"])), name))


def _quota(**given: str | None) -> dict[str, int | None]:
    """What was named; "default" stands for the quota of all."""
    named = {name: text for name, text in given.items() if text is not None}
    if wrong := [text for text in named.values() if text != "default" and not text.isdigit()]:
        raise typer.BadParameter(f"a quota is a whole number or default, not {wrong[0]!r}")
    return {name: None if text == "default" else int(text) for name, text in named.items()}


@app.command(name="list")
def show_all(admin_token: AdminTokenOption = "", url: UrlOption = "", key: KeyOption = "", directory: DirOption = None) -> None:
    """List tenants, newest first."""
    from api.cli import show

    with client_at(url, key, directory) as client:
        found = list(client.pages(_PLACE, "tenants", admin_token_of(admin_token)))
    rows = [
        [one["id"], one["name"], one["disabled_at"] or "", *(_limit(one["quota"][name]) for name in ("bytes", "parts", "jobs"))]
        for one in found
    ]
    show.table("Tenants", ["id", "name", "disabled", "bytes", "parts", "jobs"], rows)


def _limit(most: int | None) -> str:
    return "as for all" if most is None else f"{most:,}" if most else "no limit"


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="A name that no other tenant has.")],
    size: BytesOption = None,
    parts: PartsOption = None,
    jobs: JobsOption = None,
    admin_token: AdminTokenOption = "",
    url: UrlOption = "",
    key: KeyOption = "",
    directory: DirOption = None,
) -> None:
    """Add a tenant."""
    from api.cli import show

    asked = {"name": name, "quota": _quota(bytes=size, parts=parts, jobs=jobs)}
    with client_at(url, key, directory) as client:
        added = client.ask("POST", _PLACE, admin_token_of(admin_token), json=asked)
    show.line(f"tenant {show.clean(added['name'])} {added['id']}")
    show.line(f"  its first key: cadmill keys create --tenant {added['id']} --scope read --scope submit --scope admin")


@app.command()
def quota(
    name: NameArgument,
    size: BytesOption = None,
    parts: PartsOption = None,
    jobs: JobsOption = None,
    admin_token: AdminTokenOption = "",
    url: UrlOption = "",
    key: KeyOption = "",
    directory: DirOption = None,
) -> None:
    """Set quotas of a tenant, those that are named; show what it uses."""
    asked = _quota(bytes=size, parts=parts, jobs=jobs)
    told = _change(name, {"quota": asked} if asked else {}, admin_token, url, key, directory)
    _usage_table(told["name"], told["usage"])


@app.command()
def disable(
    name: NameArgument, admin_token: AdminTokenOption = "", url: UrlOption = "", key: KeyOption = "", directory: DirOption = None
) -> None:
    """Refuse the keys of a tenant and its schedules. What runs goes on, and nothing is deleted."""
    _told_state(_change(name, {"disabled": True}, admin_token, url, key, directory))


@app.command()
def enable(
    name: NameArgument, admin_token: AdminTokenOption = "", url: UrlOption = "", key: KeyOption = "", directory: DirOption = None
) -> None:
    """Let a tenant in again."""
    _told_state(_change(name, {"disabled": False}, admin_token, url, key, directory))


def _change(name: str, change: dict[str, Any], admin_token: str, url: str, key: str, directory: Path | None) -> dict[str, Any]:
    token = admin_token_of(admin_token)
    with client_at(url, key, directory) as client:
        return client.ask("PATCH", f"{_PLACE}/{id_of(client, name, token)}", token, json=change)


def _told_state(told: dict[str, Any]) -> None:
    from api.cli import show

    show.line(f"tenant {show.clean(told['name'])} {'disabled' if told['disabled_at'] else 'enabled'}")


def usage(url: UrlOption = "", key: KeyOption = "", directory: DirOption = None) -> None:
    """Show what you keep and have in flight, and how much you may."""
    with client_at(url, key, directory) as client:
        told = client.ask("GET", "/api/v1/usage")
    _usage_table(told["tenant"]["name"], told["usage"])


def _usage_table(name: str, used: dict[str, Any]) -> None:
    from api.cli import show

    rows = [[what, f"{one['used']:,}", "no limit" if one["limit"] is None else f"{one['limit']:,}"] for what, one in used.items()]
    show.table(f"Usage of {show.clean(name)}", ["what", "used", "limit"], rows)
