"""`cadmill webhooks`: who is told of what, and what was sent."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from api.cli.options import DirOption, KeyOption, UrlOption, client_at

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""Have addresses of yours told what happens, by signed messages.

\b
  cadmill webhooks add https://example.com/hook --description "the PDM"
  cadmill webhooks test hook_01...
  cadmill webhooks deliveries hook_01... --state dead
  cadmill webhooks enable hook_01... --redeliver""",
)

IdArgument = Annotated[str, typer.Argument(help="Id of the endpoint.", metavar="ID")]
EventOption = Annotated[
    list[str] | None, typer.Option("--event", help="What to tell of; may be given many times. Default: the ends of jobs.", metavar="EVENT")
]
StateOption = Annotated[str | None, typer.Option(help="Only owed, sending, waiting, delivered or dead ones.")]
_TEST_SECONDS = 30.0


@app.command(name="list")
def show_all(url: UrlOption = "", key: KeyOption = "", directory: DirOption = None) -> None:
    """List your endpoints."""
    from api.cli import show

    with client_at(url, key, directory) as client:
        rows = [
            [
                one["id"],
                one["url"],
                one["state"],
                one["reason"] or (one["failing_since"] and f"failing since {one['failing_since']}"),
                one["description"],
            ]
            for one in client.webhooks()
        ]
    show.table("Webhooks", ["id", "url", "state", "why", "description"], rows)


@app.command()
def add(
    address: Annotated[str, typer.Argument(help="Where to send to: https, a public host.", metavar="URL")],
    event: EventOption = None,
    description: Annotated[str, typer.Option(help="What it is, in your words.")] = "",
    url: UrlOption = "",
    key: KeyOption = "",
    directory: DirOption = None,
) -> None:
    """Add an endpoint, and show the secret that signs what it is sent.

    \b
    Events: job.accepted, job.started, job.succeeded, job.partial, job.failed, job.cancelled, job.retried, webhook.switched_off.
      cadmill webhooks add https://example.com/hook --event job.failed --event job.partial
    """
    from api.cli import show

    body = {"url": address, "description": description, **({"events": event} if event else {})}
    with client_at(url, key, directory) as client:
        added = client.webhook("POST", body=body)
    show.line(f"webhook {added['id']}: {', '.join(added['events'])}")
    show.line(f"  its secret: {show.clean(added['secret'])}")


@app.command(name="show")
def show_one(endpoint: IdArgument, url: UrlOption = "", key: KeyOption = "", directory: DirOption = None) -> None:
    """Show an endpoint, and the last messages owed to it."""
    from api.cli import show

    with client_at(url, key, directory) as client:
        one = client.webhook("GET", endpoint)
        last = client.deliveries(endpoint, None, 10)
    why = f": {one['reason']}, since {one['changed_at']}" if one["reason"] else ""
    show.line(f"{show.clean(one['id'])} {show.clean(one['url'])} {one['state']}{why}")
    show.line(f"events {', '.join(one['events'])}; failing since {one['failing_since'] or 'never'}")
    _table(last)


@app.command()
def change(
    endpoint: IdArgument,
    address: Annotated[str | None, typer.Option("--to", help="Another address.", metavar="URL")] = None,
    event: EventOption = None,
    description: Annotated[str | None, typer.Option(help="What it is, in your words.")] = None,
    url: UrlOption = "",
    key: KeyOption = "",
    directory: DirOption = None,
) -> None:
    """Change what is named and nothing else."""
    from api.cli import show

    body = {name: value for name, value in (("url", address), ("events", event or None), ("description", description)) if value is not None}
    with client_at(url, key, directory) as client:
        one = client.webhook("PATCH", endpoint, body=body)
    show.line(f"webhook {one['id']} {show.clean(one['url'])}: {', '.join(one['events'])}")


@app.command()
def remove(endpoint: IdArgument, url: UrlOption = "", key: KeyOption = "", directory: DirOption = None) -> None:
    """Forget an endpoint, its secrets and its log."""
    from api.cli import show

    with client_at(url, key, directory) as client:
        client.webhook("DELETE", endpoint)
    show.line(f"webhook {show.clean(endpoint)} removed")


@app.command()
def pause(endpoint: IdArgument, url: UrlOption = "", key: KeyOption = "", directory: DirOption = None) -> None:
    """Send nothing more until it is enabled; what happens meanwhile is sent then."""
    from api.cli import show

    with client_at(url, key, directory) as client:
        one = client.webhook("POST", endpoint, "pause")
    show.line(f"webhook {one['id']} {one['state']}")


@app.command()
def enable(
    endpoint: IdArgument,
    redeliver: Annotated[bool, typer.Option("--redeliver", help="Also send again what died since it began to fail.")] = False,
    url: UrlOption = "",
    key: KeyOption = "",
    directory: DirOption = None,
) -> None:
    """Let an endpoint go on that is paused or was switched off."""
    from api.cli import show

    with client_at(url, key, directory) as client:
        one = client.webhook("POST", endpoint, "enable", {"redeliver": redeliver})
    show.line(f"webhook {one['id']} {one['state']}, {one['redelivered']} messages are sent again")


@app.command()
def secret(
    endpoint: Annotated[str, typer.Argument(help="Id of the endpoint; none: the secret of callbacks.", metavar="[ID]")] = "",
    rotate: Annotated[bool, typer.Option("--rotate", help="Make a new one; the old one signs beside it for a while.")] = False,
    overlap_hours: Annotated[float | None, typer.Option(min=0, help="With --rotate: for how long. Default: 24.")] = None,
    url: UrlOption = "",
    key: KeyOption = "",
    directory: DirOption = None,
) -> None:
    """Show a secret, or change over to a new one."""
    from api.cli import show

    with client_at(url, key, directory) as client:
        steps = (endpoint, "rotate") if endpoint else ("secret", "rotate")
        body = {} if overlap_hours is None else {"overlap_hours": overlap_hours}
        told = client.webhook("POST", *steps, body) if rotate else client.webhook("GET", endpoint or "secret", "secret" if endpoint else "")
    show.line(show.clean(told["secret"]))
    for old in told.get("secrets", [])[1:]:
        show.line(f"  the one before signs beside it until {old['retires_at']}")


@app.command(name="test")
def send_test(endpoint: IdArgument, url: UrlOption = "", key: KeyOption = "", directory: DirOption = None) -> None:
    """Send a signed test event and tell what the receiver made of it; exit code 3 when it did not accept it."""
    from api.cli import show, work
    from foundation.clock import SYSTEM

    with client_at(url, key, directory) as client:
        sent = client.webhook("POST", endpoint, "test")
        end = SYSTEM.tick() + _TEST_SECONDS
        while sent["state"] not in ("delivered", "dead") and SYSTEM.tick() < end:
            SYSTEM.sleep(0.2)
            sent = client.delivery(sent["id"])
    show.line(f"{sent['id']} {sent['state']}")
    for one in sent["tries"]:
        show.line(f"  {one['seconds']} s: {show.clean(one['error_code'] or 'accepted')}, {show.clean(one['detail'])}")
    if sent["state"] != "delivered":
        raise typer.Exit(work.SOME_FAILED)


@app.command()
def deliveries(
    endpoint: IdArgument,
    state: StateOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Most messages.")] = 50,
    url: UrlOption = "",
    key: KeyOption = "",
    directory: DirOption = None,
) -> None:
    """List what was owed to an endpoint, newest first."""
    with client_at(url, key, directory) as client:
        found = client.deliveries(endpoint, state, limit)
    _table(found)


@app.command()
def redeliver(
    name: Annotated[str, typer.Argument(help="Id of a message, or with --since of an endpoint.", metavar="ID")],
    since: Annotated[datetime | None, typer.Option(help="All messages owed from this time (UTC) on.")] = None,
    until: Annotated[datetime | None, typer.Option(help="And before this one. Default: now.")] = None,
    delivered: Annotated[bool, typer.Option("--delivered", help="Those that were delivered, too.")] = False,
    url: UrlOption = "",
    key: KeyOption = "",
    directory: DirOption = None,
) -> None:
    """Send a message again, or those of a span of time that died.

    \b
      cadmill webhooks redeliver msg_01...
      cadmill webhooks redeliver hook_01... --since 2030-01-31T18:00:00
    """
    from api.cli import show

    with client_at(url, key, directory) as client:
        if since is None:
            sent = client.redeliver(name)
            show.line(f"{sent['id']} {sent['state']}")
            return
        span = {"since": f"{since.isoformat()}Z", **({"until": f"{until.isoformat()}Z"} if until else {})}
        told = client.webhook("POST", name, "redeliver", span | {"states": ["dead", "delivered"] if delivered else ["dead"]})
    show.line(f"{told['redelivered']} messages are sent again{', and there are more: ask again' if told['more'] else ''}")


def _table(found: list[dict[str, object]]) -> None:
    from api.cli import show

    rows = [[one["id"], one["event"], one["job_id"], one["seq"], one["state"], one["attempts"], one["next_try_at"]] for one in found]
    show.table("Messages", ["id", "event", "job", "seq", "state", "attempts", "next try"], rows)
