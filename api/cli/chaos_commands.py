"""`cadmill chaos ...` on the command line; what it does is in `chaos.py`. Imports nothing heavy until a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

chaos_app = typer.Typer(
    name="chaos",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""Hurt a running stack and see that nothing is lost.

\b
The stack must have been started for it (`cadmill up --chaos`, or CADMILL_CHAOS=1 and
ADMIN_TOKEN in the environment of every process), else the address does not exist.
  cadmill up --dir trial --chaos                         in one terminal
  cadmill chaos run --dir trial --minutes 2 --seed 7     in another""",
)
UrlOption = Annotated[str, typer.Option("--url", help="Address of the API. Default: CADMILL_API_URL, else CADMILL_API_HOST and _PORT.")]
KeyOption = Annotated[str, typer.Option("--key", help="API key. Default: CADMILL_API_KEY, else the key in --dir.")]
DirOption = Annotated[Path | None, typer.Option("--dir", help="Data directory of the stack. Default: CADMILL_STORAGE_DIRECTORY.")]
TokenOption = Annotated[str, typer.Option("--admin-token", help="Default: ADMIN_TOKEN, else the token `cadmill up --chaos` left in --dir.")]


@chaos_app.command(name="run")
def chaos_run(
    files: Annotated[
        list[Path] | None, typer.Argument(exists=True, help="Files or folders. Default: our samples.", metavar="FILES")
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.1, max=600, help="How long to hurt it.")] = 2.0,
    seed: Annotated[int, typer.Option(help="The same seed is the same schedule.")] = 7,
    url: UrlOption = "",
    key: KeyOption = "",
    admin_token: TokenOption = "",
    directory: DirOption = None,
) -> None:
    """Extract real files under a schedule of faults, then ask the doctor.

    Prints the schedule, what was hit, what upkeep repaired, and at last: accepted, ended, lost, twice.
    Waits up to ten minutes after the last fault.

    \b
      cadmill chaos run --minutes 2 --seed 7
      cadmill chaos run drawings/ --minutes 30 --seed 1

    Exit code 0: nothing lost, nothing twice, the store in order, and at least one fault hit. 1: else.
    """
    from api.cli import chaos, store_doctor
    from api.cli.client import Client
    from api.cli.options import where
    from foundation.settings import settings

    place, address, known_key = where(url, key, directory)
    with Client(address, known_key) as client:
        here = store_doctor.settings_of(place, settings())
        raise typer.Exit(chaos.run(client, _admin_token(admin_token, place), here, minutes, seed, files or []))


@chaos_app.command(name="inflict")
def chaos_inflict(
    fault: Annotated[
        str, typer.Argument(help="kill_child, kill_compute, kill_courier, pause_compute, pause_courier, empty_queues, drop_rings.")
    ],
    seconds: Annotated[float, typer.Option(min=0.1, max=60, help="How long a pause or a drop lasts.")] = 5.0,
    url: UrlOption = "",
    key: KeyOption = "",
    admin_token: TokenOption = "",
    directory: DirOption = None,
) -> None:
    """Inflict one fault.

    \b
      cadmill chaos inflict pause_compute --seconds 20
    """
    from api.cli import show
    from api.cli.client import Client
    from api.cli.options import where

    place, address, known_key = where(url, key, directory)
    with Client(address, known_key) as client:
        show.line(f"{fault} hit {show.clean(client.chaos(fault, seconds, _admin_token(admin_token, place))['hit'])}")


def _admin_token(given: str, directory: Path) -> str:
    """As given, else as set, else as `cadmill up --chaos` left it; empty when there is none."""
    from api.cli.up import ADMIN_TOKEN_FILE
    from foundation.settings import settings

    file = directory / ADMIN_TOKEN_FILE
    return given or settings().api.admin_token.get_secret_value() or (file.read_text().strip() if file.is_file() else "")
