"""`cadmill schedules`: jobs by the clock."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.options import DirOption, KeyOption, UrlOption, client_at, labels_of

if TYPE_CHECKING:
    from api.cli.client import Client

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""Have jobs submitted by the clock.

\b
  cadmill schedules add nightly "30 2 * * *" --kind similarity --input '{"queries": "all"}' --timezone Europe/Berlin
  cadmill schedules list
  cadmill schedules pause nightly""",
)

NameArgument = Annotated[str, typer.Argument(help="Name or id of the schedule.", metavar="NAME")]


def _id(client: Client, name: str) -> str:
    """The id of a schedule that was named by its name or its id."""
    return next((str(one["id"]) for one in client.schedules() if name in (one["name"], one["id"])), name)


@app.command(name="list")
def show_all(url: UrlOption = "", key: KeyOption = "", directory: DirOption = None) -> None:
    """List your schedules, each with its next slot."""
    from api.cli import show

    with client_at(url, key, directory) as client:
        rows = [
            [one["name"], one["cron"], one["timezone"], one["job"]["kind"], one["catch_up"], one["next_at"] or "paused", one["last_slot"]]
            for one in client.schedules()
        ]
    show.table("Schedules", ["name", "cron", "timezone", "kind", "catch up", "next", "last"], rows)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="A name of your own.")],
    cron: Annotated[str, typer.Argument(help="Minute hour day month weekday, in quotes.")],
    kind: Annotated[str, typer.Option(help="extraction, similarity, migration or prewarm.")],
    given: Annotated[str, typer.Option("--input", help="What the kind asks for, as JSON.", metavar="JSON")] = "{}",
    timezone: Annotated[str, typer.Option(help="Zone whose clock counts, such as Europe/Berlin.")] = "UTC",
    catch_up: Annotated[str, typer.Option(help="Slots missed while everything was down: none, last or all.")] = "none",
    priority: Annotated[str, typer.Option(help="urgent, high, normal or low.")] = "normal",
    label: Annotated[list[str] | None, typer.Option(help="A label of the jobs; may be given many times.", metavar="NAME=VALUE")] = None,
    callback_url: Annotated[str | None, typer.Option(help="Where to send a signed message when a job has ended.")] = None,
    url: UrlOption = "",
    key: KeyOption = "",
    directory: DirOption = None,
) -> None:
    """Add a schedule.

    \b
      cadmill schedules add nightly "30 2 * * *" --kind similarity --input '{"queries": "all"}' --timezone Europe/Berlin
      cadmill schedules add warm "0 6 * * MON-FRI" --kind prewarm --catch-up last
    """
    from api.cli import show

    try:
        asked = json.loads(given)
    except ValueError as error:
        raise typer.BadParameter(f"--input is not JSON: {error}") from error
    job: dict[str, Any] = {
        "kind": kind,
        "input": asked,
        "priority": priority,
        "labels": labels_of(label or []),
        "callback_url": callback_url,
    }
    with client_at(url, key, directory) as client:
        added = client.add_schedule({"name": name, "cron": cron, "timezone": timezone, "catch_up": catch_up, "job": job})
    show.line(f"schedule {show.clean(added['name'])} {added['id']}, next {added['next_at']}")


@app.command(name="show")
def show_one(name: NameArgument, url: UrlOption = "", key: KeyOption = "", directory: DirOption = None) -> None:
    """Show the next slots of a schedule, and what became of the last ones."""
    from api.cli import show

    with client_at(url, key, directory) as client:
        one = client.schedule(_id(client, name))
    show.line(f"{show.clean(one['name'])}: {show.clean(one['cron'])} {show.clean(one['timezone'])}")
    show.line(f"next {', '.join(one['next_slots']) or 'none: it is paused'}")
    rows = [
        [run["slot"], run["asked_by"], run["outcome"], run["slots"], run["job_id"], show.told(run["error"]) if run["error"] else ""]
        for run in one["last_runs"]
    ]
    show.table("Last runs", ["slot", "asked by", "outcome", "slots", "job", "why"], rows)


@app.command()
def pause(name: NameArgument, url: UrlOption = "", key: KeyOption = "", directory: DirOption = None) -> None:
    """Pause a schedule. Slots of the pause are not caught up."""
    _enable(name, False, url, key, directory)


@app.command()
def resume(name: NameArgument, url: UrlOption = "", key: KeyOption = "", directory: DirOption = None) -> None:
    """Resume a paused schedule, from now on."""
    _enable(name, True, url, key, directory)


def _enable(name: str, enabled: bool, url: str, key: str, directory: Path | None) -> None:
    from api.cli import show

    with client_at(url, key, directory) as client:
        one = client.change_schedule(_id(client, name), {"enabled": enabled})
    show.line(f"schedule {show.clean(one['name'])} {'next ' + str(one['next_at']) if enabled else 'paused'}")


@app.command()
def remove(name: NameArgument, url: UrlOption = "", key: KeyOption = "", directory: DirOption = None) -> None:
    """Remove a schedule. The jobs it submitted stay."""
    from api.cli import show

    with client_at(url, key, directory) as client:
        client.remove_schedule(_id(client, name))
    show.line(f"schedule {show.clean(name)} removed")


@app.command()
def run(name: NameArgument, url: UrlOption = "", key: KeyOption = "", directory: DirOption = None) -> None:
    """Submit the job of a schedule now."""
    from api.cli import show

    with client_at(url, key, directory) as client:
        job = client.run_schedule(_id(client, name))
    show.line(f"job {job['id']} {job['state']}")
    show.line(f"  see it with: cadmill watch {job['id']}")
