"""Commands that stop a job for a while, let it go on, or undo it. Imports nothing heavy until a command runs."""

from __future__ import annotations

from typing import Annotated

import typer

from api.cli.options import DirOption, KeyOption, UrlOption, client_at

app = typer.Typer()

JobArgument = Annotated[str, typer.Argument(help="Id of the job.", metavar="ID")]


@app.command()
def pause(job: JobArgument, url: UrlOption = "", key: KeyOption = "", directory: DirOption = None) -> None:
    """Pause a job.

    What runs finishes, nothing further starts until it is resumed, whatever is restarted
    meanwhile. Its deadline goes on; a paused job can be cancelled.

    \b
      cadmill pause job_01hv...
    """
    from api.cli import show

    with client_at(url, key, directory) as client:
        told = client.change_job("pause", job)
    show.line(f"job {job} {told['state']}, paused since {told['paused_at']}")
    show.line(f"  let it go on with: cadmill resume {job}")


@app.command()
def resume(job: JobArgument, url: UrlOption = "", key: KeyOption = "", directory: DirOption = None) -> None:
    """Let a paused job go on where it was.

    \b
      cadmill resume job_01hv...
    """
    from api.cli import show

    with client_at(url, key, directory) as client:
        show.line(f"job {job} {client.change_job('resume', job)['state']}")


@app.command()
def rollback(
    job: JobArgument,
    keep_changed: Annotated[
        bool, typer.Option("--keep-changed", help="Leave what other jobs have written since as it is, instead of refusing.")
    ] = False,
    url: UrlOption = "",
    key: KeyOption = "",
    directory: DirOption = None,
) -> None:
    """Undo a migration.

    Its vectors are what they were before it, byte for byte. Refused where a later job has
    written any of them. Repeating it is harmless.

    \b
      cadmill rollback job_01hv...
      cadmill rollback job_01hv... --keep-changed
    """
    from api.cli import show

    with client_at(url, key, directory) as client:
        told = client.change_job("rollback", job, params={"keep_changed": keep_changed})["rollback"]
    kept = f", {told['kept']} changed since and kept" if told["kept"] else ""
    show.line(f"job {job} rolled back: {told['restored']} vector(s) put back, {told['removed']} removed{kept}")
