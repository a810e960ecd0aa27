"""`cadmill keys`: who may ask, and for what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.options import AdminTokenOption, DirOption, KeyOption, UrlOption, admin_token_of, client_at

if TYPE_CHECKING:
    from api.cli.client import Client

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""Make, rotate and revoke API keys.

\b
  cadmill keys create --name "the web shop" --scope read --days 90
  cadmill keys list
  cadmill keys rotate 01hv... --overlap-days 2
  cadmill keys revoke 01hv...

They are keys of your own tenant, made with a key of the scope admin. With --tenant they are those of any tenant,
for whoever has the ADMIN_TOKEN.""",
)

KeyArgument = Annotated[str, typer.Argument(help="Id of the key: what stands between the first two _ of it.", metavar="ID")]
TenantOption = Annotated[str, typer.Option("--tenant", help="Name or id of the tenant, with ADMIN_TOKEN. Default: your own.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Print the key and nothing else.")]


class _Keys:
    """The keys of the tenant one asks with, or of the one that is named."""

    def __init__(self, client: Client, tenant: str, admin_token: str) -> None:
        from api.cli.tenants import id_of

        self._client, self._token = client, admin_token_of(admin_token) if tenant else ""
        self._place = f"/api/v1/tenants/{id_of(client, tenant, self._token)}/keys" if tenant else "/api/v1/keys"

    def every(self) -> list[dict[str, Any]]:
        return list(self._client.pages(self._place, "keys", self._token))

    def ask(self, method: str, step: str = "", **how: Any) -> dict[str, Any]:
        return self._client.ask(method, f"{self._place}{step}", self._token, **how)


@app.command(name="list")
def show_all(
    tenant: TenantOption = "", admin_token: AdminTokenOption = "", url: UrlOption = "", key: KeyOption = "", directory: DirOption = None
) -> None:
    """List keys, newest first; also those that have ended."""
    from api.cli import show

    with client_at(url, key, directory) as client:
        found = _Keys(client, tenant, admin_token).every()
    columns = ("id", "name", "state", "scopes", "created_at", "expires_at", "last_used_at", "next_rotation_hint")
    rows = [[" ".join(one[name]) if name == "scopes" else one[name] for name in columns] for one in found]
    show.table("Keys", ["id", "name", "state", "scopes", "made", "ends", "last used", "hint"], rows)


@app.command()
def create(
    name: Annotated[str, typer.Option(help="What uses the key, to tell it from others.")] = "",
    scope: Annotated[
        list[str] | None, typer.Option(help="read, submit or admin; may be given many times. Default: read and submit; with --local: all.")
    ] = None,
    days: Annotated[float | None, typer.Option(min=0.001, help="It ends after so many days. Default: never.")] = None,
    local: Annotated[
        bool, typer.Option("--local", help="Write it into the database of this machine: for who has no key. Adds the tenant if need be.")
    ] = False,
    quiet: QuietOption = False,
    tenant: TenantOption = "",
    admin_token: AdminTokenOption = "",
    url: UrlOption = "",
    key: KeyOption = "",
    directory: DirOption = None,
) -> None:
    """Make a key. It is shown this once.

    \b
      cadmill keys create --name "the web shop" --scope read --days 90
      cadmill keys create --tenant acme --scope read --scope submit --scope admin
      cadmill keys create --local --dir cadmill-data
    """
    if local:
        _tell(create_here(directory, tenant, name, scope or [], days), quiet)
        return
    asked: dict[str, Any] = {"name": name, "scopes": scope, "expires_in_days": days}
    with client_at(url, key, directory) as client:
        keys = _Keys(client, tenant, admin_token)
        _tell(keys.ask("POST", json={field: value for field, value in asked.items() if value is not None}), quiet)


@app.command()
def rotate(
    name: KeyArgument,
    overlap_days: Annotated[
        float | None, typer.Option(min=0, help="How long the old key goes on; 0: it ends now. Default: as the server says (7).")
    ] = None,
    quiet: QuietOption = False,
    tenant: TenantOption = "",
    admin_token: AdminTokenOption = "",
    url: UrlOption = "",
    key: KeyOption = "",
    directory: DirOption = None,
) -> None:
    """Make the successor of a key. It is shown this once; the old one goes on for the overlap."""
    from api.cli.connection import step_of

    how = {} if overlap_days is None else {"params": {"overlap_days": overlap_days}}
    with client_at(url, key, directory) as client:
        _tell(_Keys(client, tenant, admin_token).ask("POST", f"/{step_of(name)}/rotate", **how), quiet)


@app.command()
def revoke(
    name: KeyArgument,
    tenant: TenantOption = "",
    admin_token: AdminTokenOption = "",
    url: UrlOption = "",
    key: KeyOption = "",
    directory: DirOption = None,
) -> None:
    """Let a key open nothing from now on."""
    from api.cli import show
    from api.cli.connection import step_of

    with client_at(url, key, directory) as client:
        _Keys(client, tenant, admin_token).ask("DELETE", f"/{step_of(name)}")
    show.line(f"key {show.clean(name)} revoked")


def create_here(directory: Path | None, tenant: str, name: str, scopes: list[str], days: float | None) -> dict[str, Any]:
    """Make a key in the database of this machine, without asking the API. Raises STORE_NOT_FOUND, DATABASE_UNAVAILABLE."""
    from api.cli.store_doctor import settings_of, why_not
    from foundation import sealing
    from foundation.errors import Failure
    from foundation.settings import settings
    from ledger import keys, tenants
    from ledger.session import open_ledger

    if wrong := set(scopes) - set(keys.Scope):
        raise typer.BadParameter(f"a scope is read, submit or admin, not {', '.join(sorted(wrong))}")
    known = settings()
    here = settings_of(directory, known) if directory else known
    if reason := why_not(here):
        raise Failure("STORE_NOT_FOUND", {"reason": reason})
    ledger = open_ledger(here)
    try:
        with ledger.write() as tx:
            owner = tenants.find(tx, tenant or "default") or tenants.add(tx, tenant or "default")
            ends = None if days is None else tx.now + days * 86_400
            made = keys.add(tx, sealing.of(here).pepper(keys.PEPPER), owner.id, name, scopes or list(keys.Scope), ends)
            return keys.get(tx, owner.id, made.id, here.key.hint_days) | {"key": made.text}
    finally:
        ledger.close()


def _tell(made: dict[str, Any], quiet: bool) -> None:
    from api.cli import show

    if quiet:
        print(made["key"])
        return
    ends = f", ends {made['expires_at']}" if made["expires_at"] else ""
    show.line(f"key {made['id']}: {' '.join(made['scopes'])}{ends}")
    show.line(f"  {made['key']}")
    show.line("  It is shown this once: keep it where only its user can read it.")
