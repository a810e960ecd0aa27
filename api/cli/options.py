"""Options that many commands share, and what they mean. Imports nothing heavy until a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from api.cli.client import Client

UrlOption = Annotated[str, typer.Option("--url", help="Address of the API. Default: CADMILL_API_URL, else CADMILL_API_HOST and _PORT.")]
KeyOption = Annotated[str, typer.Option("--key", help="API key. Default: CADMILL_API_KEY, else the key in --dir.")]
DirOption = Annotated[Path | None, typer.Option("--dir", help="Data directory of `cadmill up`. Default: CADMILL_STORAGE_DIRECTORY.")]

AdminTokenOption = Annotated[str, typer.Option("--admin-token", help="Token of whoever runs the server. Default: ADMIN_TOKEN.")]


def admin_token_of(given: str) -> str:
    """As given, else as set."""
    from foundation.settings import settings

    return given or settings().api.admin_token.get_secret_value()


def labels_of(pairs: list[str]) -> dict[str, str]:
    labels = {}
    for pair in pairs:
        name, mark, value = pair.partition("=")
        if not mark or not name:
            raise typer.BadParameter(f"a label has the form name=value, not {pair!r}")
        labels[name] = value
    return labels


def where(url: str, key: str, directory: Path | None) -> tuple[Path, str, str]:
    """Data directory, address and key: as given, else as set, else as `cadmill up` left them."""
    from api.cli.client import key_of
    from api.cli.up import address_to_call
    from foundation.settings import settings

    known = settings()
    place = directory or known.storage.directory
    address = url or known.api.url or f"http://{address_to_call(known.api.host)}:{known.api.port}"
    return place, address, key or known.api.key.get_secret_value() or key_of(place)


def client_at(url: str, key: str, directory: Path | None) -> Client:
    from api.cli.client import Client

    _, address, known_key = where(url, key, directory)
    return Client(address, known_key)
