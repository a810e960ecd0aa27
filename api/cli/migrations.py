"""`cadmill migrate`: bring vectors to another feature version, or tell what that would do. Imports nothing heavy until it runs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from api.cli.options import DirOption, KeyOption, UrlOption, client_at, labels_of

app = typer.Typer()


@app.command()
def migrate(
    source: Annotated[str, typer.Option("--from", help="Feature version the vectors are in: v1, v2, v3 or v4.")],
    target: Annotated[str, typer.Option("--to", help="Feature version they are brought to.")],
    part: Annotated[list[str] | None, typer.Option(help="Only this part; may be given many times.", metavar="ID")] = None,
    format: Annotated[str | None, typer.Option(help="Only parts of this format: dxf, stl, step or iges.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="Only parts with this label.", metavar="NAME=VALUE")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Store nothing; count by way, and estimate how long it would take.")] = False,
    sample: Annotated[int, typer.Option(min=0, max=300, help="With --dry-run: show what would change, by so many parts.")] = 0,
    allow_projection: Annotated[
        bool, typer.Option("--allow-projection", help="Where a file is gone: fill a shorter vector up with medians, marked as such.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the end; exit code 3 when some items failed. A dry run waits anyway.")
    ] = False,
    url: UrlOption = "",
    key: KeyOption = "",
    directory: DirOption = None,
) -> None:
    """Bring vectors to another feature version.

    \b
      cadmill migrate --from v3 --to v4 --dry-run --sample 200
      cadmill migrate --from v3 --to v4 --label project=apollo --wait
      cadmill rollback job_01hv...
    """
    from api.cli import show, work

    selector: dict[str, Any] = {"parts": part or [], "format": format, "labels": labels_of(label or [])}
    given = {"from": source, "to": target, "selector": selector, "dry_run": dry_run, "sample": sample, "allow_projection": allow_projection}
    with client_at(url, key, directory) as client:
        job = client.submit("migration", given)
        if not (wait or dry_run):
            show.line(f"job {job['id']} {job['state']}, {job['counts']['total']} part(s)")
            show.line(f"  see it with: cadmill watch {job['id']}    undo it with: cadmill rollback {job['id']}")
            return
        ended = work.wait(client, job["id"])
        _told(ended.get("summary") or {}, dry_run)
        if sample:
            _previewed(client.migration_preview(job["id"]))
    raise typer.Exit(work.exit_code(ended))


def _told(summary: dict[str, Any], dry_run: bool) -> None:
    from api.cli import show

    ways = [f"{summary[way]:.0f} {way}" for way in ("present", "prefix", "extraction", "projection") if way in summary]
    show.line(f"{'would be done' if dry_run else 'done'}: {', '.join(ways) or 'nothing'}")
    if "estimate_seconds" in summary:
        unknown = f", {summary['unmeasured']:.0f} file(s) not counted" if "unmeasured" in summary else ""
        seconds = f"extractions of {summary['work_seconds']:.1f} s, {summary['estimate_seconds']} s"
        show.line(f"{seconds} by {summary['workers']} worker(s){unknown}")


def _previewed(told: dict[str, Any]) -> None:
    from api.cli import show

    if told["samples"]:
        near, deltas = told["neighbours"], f"mean delta {told['avg_delta']:.4f}, median {told['median_delta']:.4f}"
        show.line(f"in {told['samples']} part(s): {deltas} (scaled slots)")
        if near["parts"]:
            show.line(f"of the 10 nearest parts {near['mean_overlap']:.0%} stay the nearest, {near['least_overlap']:.0%} at worst")
        show.line(f"warnings: {', '.join(told['warnings']) or 'none'}", "yellow" if told["warnings"] else "")
    if told["hint"]:
        show.line(told["hint"])
