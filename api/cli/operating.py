"""Commands of whoever runs a stack: queues, quarantine, settings, doctor. Imports nothing heavy until a command runs."""

from __future__ import annotations

from typing import Annotated

import typer

from api.cli.options import DirOption, KeyOption, UrlOption, client_at, where

app = typer.Typer()


@app.command()
def queues(
    pause: Annotated[str, typer.Option(help="Start nothing more of this queue; what runs finishes.", metavar="NAME")] = "",
    resume: Annotated[str, typer.Option(help="Let this queue go on.", metavar="NAME")] = "",
    reason: Annotated[str, typer.Option(help="Why it is paused; told to everyone whose jobs wait.")] = "",
    admin_token: Annotated[str, typer.Option("--admin-token", help="For --pause and --resume. Default: ADMIN_TOKEN.")] = "",
    url: UrlOption = "",
    key: KeyOption = "",
    directory: DirOption = None,
) -> None:
    """Show the queues, or pause and resume one.

    \b
      cadmill queues
      cadmill queues --pause extraction --reason "new engine at noon"
      cadmill queues --resume extraction
    """
    from api.cli import work
    from foundation.settings import settings

    if pause and resume:
        raise typer.BadParameter("pause one queue or resume one, not both at once")
    token = admin_token or settings().api.admin_token.get_secret_value()
    with client_at(url, key, directory) as client:
        if pause:
            client.pause(pause, reason, token)
        if resume:
            client.resume(resume, token)
        work.queues_table(client.queues())


@app.command()
def quarantine(
    release: Annotated[str | None, typer.Option(help="Let the file with this SHA-256 be read again.", metavar="SHA256")] = None,
    url: UrlOption = "",
    key: KeyOption = "",
    directory: DirOption = None,
) -> None:
    """List files that killed the process that reads them.

    Each did so twice and is not read again until the time shown, or until another version of the engine.

    \b
      cadmill quarantine
      cadmill quarantine --release 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    """
    from api.cli import show, work

    with client_at(url, key, directory) as client:
        if release:
            client.release(release)
            show.line(f"{release} may be read again")
        else:
            work.quarantine_table(client.quarantine())


@app.command(name="settings")
def show_settings() -> None:
    """List every setting.

    Variable, value and meaning; secrets are masked.
    """
    from api.cli import show
    from foundation.settings import settings

    show.table("Settings", ["variable", "value", "meaning"], list(settings().table()))


@app.command()
def doctor(
    store: Annotated[
        bool | None, typer.Option("--store/--no-store", help="Look into the store; --store: only there. Default: if it is on this machine.")
    ] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every stored file and compare its hash. Takes as long as reading them.")
    ] = False,
    fix: Annotated[
        bool, typer.Option("--fix", help="Mend what can be mended. Safe beside a running stack; without it nothing is changed.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report on the store as JSON and nothing else; implies --store.")
    ] = False,
    url: UrlOption = "",
    key: KeyOption = "",
    directory: DirOption = None,
) -> None:
    """Check this machine, the API, your key, and the store.

    \b
    The store is inspected beside its database, with the settings of the stack
    (CADMILL_DATABASE_URL, CADMILL_REDIS_URL, --dir): rows against rows, broker and files.
      cadmill doctor                    everything that is on this machine
      cadmill doctor --store --deep     the store alone, every file by its hash
      cadmill doctor --store --fix      and mend it, each repair in the audit trail

    Exit code 0: nothing is wrong (any more). 1: something is.
    """
    from api.cli import doctor as machine
    from api.cli import show, store_doctor
    from foundation.settings import settings

    place, address, known_key = where(url, key, directory)
    here = store_doctor.settings_of(place, settings())
    fine = True if store or as_json else machine.examine(place, address, known_key)
    if store is None and not as_json and (reason := store_doctor.why_not(here)):
        show.line(f"store: not looked at ({reason})")
    elif store is not False or as_json:
        report = store_doctor.examine(here, deep, fix)
        show.json(report.told()) if as_json else store_doctor.tell(report)
        fine = fine and report.healthy
    raise typer.Exit(0 if fine else 1)
