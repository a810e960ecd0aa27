"""`cadmill` on the command line. Thin: each command imports what it needs when it runs, so that `cadmill --help` is fast."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from api.cli import changes, duplicates, keys, migrations, operating, schedules, tenants, webhooks
from api.cli.audit_commands import audit_app
from api.cli.chaos_commands import chaos_app
from api.cli.options import DirOption, KeyOption, UrlOption, client_at, labels_of

app = typer.Typer(
    name="cadmill",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="""Extracts comparable feature vectors from CAD files and finds the parts you already have.

\b
  cadmill up                          start everything on this machine
  cadmill submit drawings/ --wait     upload a folder, compute features, show them
  cadmill similar bracket.dxf         find parts like this one
  cadmill duplicates                  find what is there more than once""",
)

JobArgument = Annotated[str, typer.Argument(help="Id of the job.", metavar="ID")]
OneJobArgument = Annotated[str, typer.Argument(help="Id of the job; none with --all.", metavar="[ID]", show_default=False)]
AllOption = Annotated[bool, typer.Option("--all", help="All jobs that the other options choose.")]
KindOption = Annotated[str | None, typer.Option(help="With --all: only extraction, similarity, migration or prewarm jobs.")]
LabelOption = Annotated[list[str] | None, typer.Option(help="With --all: only jobs with this label.", metavar="NAME=VALUE")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="With --all: only tell which jobs it would be.")]


@app.command()
def up(
    directory: Annotated[Path | None, typer.Option("--dir", help="Where everything is kept. Default: cadmill-data.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port of the API; 0: any free one. Default: 8000.")] = None,
    host: Annotated[str | None, typer.Option(help="Address the API listens on. Default: 127.0.0.1, this machine only.")] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Compute processes. Default: one a CPU.")] = None,
    flower: Annotated[bool, typer.Option("--flower/--no-flower", help="Run Flower, which shows the workers.")] = True,
    flower_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of Flower; 0: any free one.")] = 0,
    grpc_port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port of the gRPC server; 0: none. Default: none.")] = None,
    chaos: Annotated[bool, typer.Option("--chaos", help="Let `cadmill chaos` hurt this stack. Not where work matters.")] = False,
) -> None:
    """Start the whole stack; Ctrl-C stops it.

    Redis, database, API, workers, clock and Flower, all in one data directory.

    \b
    CADMILL_REDIS_URL and CADMILL_DATABASE_URL use servers of yours instead of embedded ones.
      cadmill up
      cadmill up --dir /srv/cadmill --port 9000 --concurrency 8 --no-flower
    """
    from api.cli.up import up as start
    from foundation.settings import settings

    known = settings()
    start(
        directory or known.storage.directory,
        host or known.api.host,
        known.api.port if port is None else port,
        concurrency or os.cpu_count() or 1,
        flower_port if flower else None,
        chaos,
        known.grpc.port if grpc_port is None else grpc_port,
    )


@app.command()
def submit(
    paths: Annotated[list[Path], typer.Argument(exists=True, help="Files, or folders to search for CAD files.", metavar="FILES")],
    wait: Annotated[bool, typer.Option("--wait", help="Wait and show the results; exit code 3 when some items failed.")] = False,
    feature_version: Annotated[str | None, typer.Option(help="v1, v2, v3 or v4. Default: the server's.")] = None,
    priority: Annotated[str, typer.Option(help="urgent, high, normal or low.")] = "normal",
    label: Annotated[list[str] | None, typer.Option(help="A label of the job; may be given many times.", metavar="NAME=VALUE")] = None,
    callback_url: Annotated[str | None, typer.Option(help="Where to send a signed message when the job has ended.")] = None,
    deadline: Annotated[
        str | None, typer.Option(help="What is not done by then fails: seconds from now, or a time such as 2030-01-31T18:00:00Z.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Compute again what is known already.")] = False,
    idempotency_key: Annotated[str | None, typer.Option(help="Submitting again with the same key and files is the same job.")] = None,
    units: Annotated[
        str | None, typer.Option(help="Unit of length of these files, whatever they say: um, mm, cm, m, mil, in, ft, yd.")
    ] = None,
    default_units: Annotated[str | None, typer.Option(help="Unit of files that name none. Default: mm.")] = None,
    contact_sheet: Annotated[Path | None, typer.Option(help="Write a page of thumbnails; with --wait.", metavar="FILE.html")] = None,
    url: UrlOption = "",
    key: KeyOption = "",
    directory: DirOption = None,
) -> None:
    """Upload files and compute their features.

    \b
      cadmill submit bracket.dxf housing.stl --wait
      cadmill submit drawings/ --wait --feature-version v4 --label project=apollo
      cadmill submit drawings/ --wait --contact-sheet drawings.html
      cadmill submit scans/ --default-units in
      cadmill submit drawings/ --wait --deadline 600
    """
    from api.cli import contact_sheet as page
    from api.cli import show, work
    from api.cli.selection import choose

    if contact_sheet and (not wait or contact_sheet.suffix.lower() not in page.SUFFIXES):
        raise typer.BadParameter("a contact sheet is an .html file, and its pictures are there when the job has ended: add --wait")
    labels = labels_of(label or [])
    chosen = choose(paths)
    if not chosen:
        raise typer.BadParameter("no CAD files found there (known: .dxf .stl .step .stp .iges .igs)")
    with client_at(url, key, directory) as client:
        parts, refused = work.upload(client, chosen)
        for answer in refused:
            show.line(f"refused {show.clean(answer.get('name'))}: {show.clean(show.told(answer.get('error')))}", "red")
        if not parts:
            raise typer.Exit(work.SOME_FAILED)
        job = work.extract(
            client,
            parts,
            feature_version,
            force,
            contact_sheet is not None,
            {"units": units, "default_units": default_units},
            idempotency_key,
            priority=priority,
            labels=labels,
            callback_url=callback_url,
            deadline=deadline,
        )
        show.line(f"job {job['id']} {job['state']}, {len(parts)} part(s)")
        if not wait:
            show.line(f"  see it with: cadmill watch {job['id']}")
            raise typer.Exit(work.SOME_FAILED if refused else 0)
        ended = work.wait(client, job["id"])
        items = client.items(job["id"])
        work.features_table(items, parts, refused)
        if contact_sheet:
            page.write(contact_sheet, client, parts, items)
    raise typer.Exit(work.exit_code(ended, refused))


@app.command()
def similar(
    what: Annotated[str, typer.Argument(help="Id of a part, or a file to upload first.", metavar="PART_ID|FILE")],
    top_k: Annotated[int, typer.Option(min=1, help="At most this many hits.")] = 10,
    threshold: Annotated[float | None, typer.Option(help="Only hits with at least this score (1 is identical).")] = None,
    feature_version: Annotated[str | None, typer.Option(help="v1, v2, v3 or v4. Default: the server's.")] = None,
    url: UrlOption = "",
    key: KeyOption = "",
    directory: DirOption = None,
) -> None:
    """Find the parts most similar to one.

    \b
      cadmill similar bracket.dxf --top-k 5
      cadmill similar part_01hv... --threshold 0.95
    """
    from api.cli import work
    from api.cli.selection import choose

    with client_at(url, key, directory) as client:
        if Path(what).is_file():
            parts, refused = work.upload(client, choose([Path(what)]))
            extraction = work.wait(client, work.extract(client, parts, feature_version)["id"]) if parts else None
            if extraction is None or extraction["state"] != "succeeded":
                work.features_table(client.items(extraction["id"]) if extraction else [], parts, refused)
                raise typer.Exit(work.SOME_FAILED)
            what = parts[0]["id"]
        given = {"queries": [what], "top_k": top_k, "threshold": threshold, "feature_version": feature_version}
        job = client.submit("similarity", {name: value for name, value in given.items() if value is not None})
        ended = work.wait(client, job["id"])
        for item in client.items(job["id"]):
            work.hits_table(item)
    raise typer.Exit(work.exit_code(ended))


@app.command()
def jobs(
    state: Annotated[str | None, typer.Option(help="Only jobs in this state, such as running or failed.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only extraction, similarity, migration or prewarm jobs.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 20,
    url: UrlOption = "",
    key: KeyOption = "",
    directory: DirOption = None,
) -> None:
    """List your jobs, the newest first.

    \b
      cadmill jobs --state running
    """
    from api.cli import work

    with client_at(url, key, directory) as client:
        work.jobs_table(client.jobs(state, kind, limit))


@app.command()
def watch(job: JobArgument, url: UrlOption = "", key: KeyOption = "", directory: DirOption = None) -> None:
    """Follow a job until it has ended.

    Exit code 3 unless it succeeded.
    """
    from api.cli import work

    with client_at(url, key, directory) as client:
        raise typer.Exit(work.exit_code(work.wait(client, job)))


@app.command()
def cancel(
    job: OneJobArgument = "",
    every: AllOption = False,
    kind: KindOption = None,
    label: LabelOption = None,
    dry_run: DryRunOption = False,
    url: UrlOption = "",
    key: KeyOption = "",
    directory: DirOption = None,
) -> None:
    """Cancel a job, or many.

    What has not been done yet will not be done; finished items keep their results.

    \b
      cadmill cancel job_01hv...
      cadmill cancel --all --kind extraction --label project=apollo --dry-run
    """
    from api.cli import show, work

    _one_or_all(job, every)
    with client_at(url, key, directory) as client:
        if every:
            work.bulk(client, "cancel", {"kind": kind, "labels": labels_of(label or []), "dry_run": dry_run})
            return
        show.line(f"job {job} {client.cancel(job).get('state', 'is being cancelled')}")


@app.command()
def retry(
    job: OneJobArgument = "",
    every: AllOption = False,
    code: Annotated[str | None, typer.Option(help="With --all: only items that failed with this code, such as ENGINE_TIMEOUT.")] = None,
    kind: KindOption = None,
    label: LabelOption = None,
    dry_run: DryRunOption = False,
    url: UrlOption = "",
    key: KeyOption = "",
    directory: DirOption = None,
) -> None:
    """Retry the failed items of a job, or of many.

    \b
      cadmill retry job_01hv...
      cadmill retry --all --code ENGINE_TIMEOUT --dry-run
    """
    from api.cli import show, work

    _one_or_all(job, every)
    with client_at(url, key, directory) as client:
        if every:
            work.bulk(client, "retry", {"code": code, "kind": kind, "labels": labels_of(label or []), "dry_run": dry_run})
            return
        show.line(f"job {job} {client.retry(job).get('state', 'queued')}")


def _one_or_all(job: str, every: bool) -> None:
    if bool(job) is every:
        raise typer.BadParameter("name one job, or say --all")


app.add_typer(changes.app)
app.add_typer(migrations.app)
app.add_typer(operating.app)
app.add_typer(duplicates.app)
app.add_typer(duplicates.review_app, name="review")
app.add_typer(schedules.app, name="schedules")
app.add_typer(keys.app, name="keys")
app.add_typer(tenants.app, name="tenants")
app.command()(tenants.usage)
app.add_typer(audit_app)
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(chaos_app)


@app.command()
def demo(
    contact_sheet: Annotated[Path, typer.Option(help="Where to write the page of thumbnails.", metavar="FILE.html")] = Path(
        "cadmill-demo.html"
    ),
) -> None:
    """Show everything once, in under a minute.

    Starts a stack in a temporary folder, uploads sample files, shows features and duplicates,
    receives a webhook, stops everything and leaves nothing behind but a page of thumbnails.
    """
    from api.cli.demo import run as show_all

    raise typer.Exit(show_all(contact_sheet))


def run() -> None:
    """The console script: failures become one readable line and exit code 1."""
    from foundation.errors import Failure

    try:
        app()
    except Failure as failure:
        from api.cli import show

        show.failure(failure.code, failure.message, failure.context, failure.row.remedy)
        sys.exit(1)
    except Exception as error:
        from api.cli import show
        from api.cli.connection import ApiError

        if not isinstance(error, ApiError):
            raise
        show.failure(error.code, error.message, error.context, error.remedy)
        sys.exit(1)


if __name__ == "__main__":
    run()
