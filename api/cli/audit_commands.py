"""`cadmill audit ...` on the command line; what it shows is in `audit.py`. Imports nothing heavy until a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.cli.options import AdminTokenOption, DirOption, KeyOption, UrlOption, admin_token_of, client_at

audit_app = typer.Typer(
    name="audit",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""The audit trail: who did what to what, from where, and how it went.

\b
Your own trail needs a key with the scope admin. With --chain and the admin token you
see that of any tenant, of the house itself (`store`), or of `all`.""",
)

ChainOption = Annotated[str, typer.Option(help="The id of a tenant, `store` for the house, or `all`; needs the admin token.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print what the API tells, as JSON.")]
BROKEN = 3


@audit_app.command()
def verify(
    file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Prove this export instead, without any server; .jsonl.")
    ] = None,
    anchors: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="With --file: compare it with the ends in this anchor file.")
    ] = None,
    anchor_key: Annotated[
        str, typer.Option(help="With --anchors: the public key its lines must be signed with, as you wrote it down.")
    ] = "",
    chain: ChainOption = "",
    as_json: JsonOption = False,
    admin_token: AdminTokenOption = "",
    url: UrlOption = "",
    key: KeyOption = "",
    directory: DirOption = None,
) -> None:
    """Prove that every line is there, unchanged and in its place.

    \b
      cadmill audit verify                 your own trail, by the server
      cadmill audit verify --chain all     every chain, and the anchors
      cadmill audit verify --file audit.jsonl --anchors anchors.jsonl --anchor-key HEX

    Exit code 0: it holds. 3: it is broken; the lines are named.
    """
    from api.cli import audit, show

    if (anchors and not file) or (anchor_key and not anchors):
        raise typer.BadParameter("--anchors goes with --file, and --anchor-key with --anchors")
    if file is not None:
        verdict = audit.prove_file(file, anchors, anchor_key or None)
    else:
        with client_at(url, key, directory) as client:
            verdict = client.audit("verify", audit.asked(chain), audit.token(chain, admin_token_of(admin_token)))
    show.json(verdict) if as_json else audit.verdict_lines(verdict)
    raise typer.Exit(0 if verdict["whole"] else BROKEN)


@audit_app.command()
def search(
    actor: Annotated[str, typer.Option(help="Who: key:ID, upkeep, doctor, ...")] = "",
    action: Annotated[str, typer.Option(help="What, such as job.accepted; 'job.*' is all of its kind.")] = "",
    subject: Annotated[str, typer.Option(help="To what: the id of a job, part, key, ...")] = "",
    outcome: Annotated[str, typer.Option(help="done, failed or refused.")] = "",
    request_id: Annotated[str, typer.Option(help="As the answer's X-Request-Id told it.")] = "",
    since: Annotated[str, typer.Option(help="From this time on, such as 2030-01-31T18:00:00Z.")] = "",
    until: Annotated[str, typer.Option(help="Before this time.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most this many lines.")] = 50,
    chain: ChainOption = "",
    as_json: JsonOption = False,
    admin_token: AdminTokenOption = "",
    url: UrlOption = "",
    key: KeyOption = "",
    directory: DirOption = None,
) -> None:
    """Find lines, the newest first.

    \b
      cadmill audit search --subject job_01hv...
      cadmill audit search --outcome refused --since 2030-01-31T00:00:00Z
    """
    from api.cli import audit, show

    wanted = audit.asked(
        chain, actor=actor, action=action, subject=subject, outcome=outcome, request_id=request_id, since=since, until=until
    )
    with client_at(url, key, directory) as client:
        lines = client.audit_lines(wanted, limit, audit.token(chain, admin_token_of(admin_token)))
    show.json(lines) if as_json else audit.lines_table(lines)


@audit_app.command()
def report(
    days: Annotated[float, typer.Option(min=0.01, help="How far back.")] = 7,
    chain: ChainOption = "",
    as_json: JsonOption = False,
    admin_token: AdminTokenOption = "",
    url: UrlOption = "",
    key: KeyOption = "",
    directory: DirOption = None,
) -> None:
    """Add up who did how much of what a day, and what was refused.

    \b
      cadmill audit report --days 30
    """
    from api.cli import audit, show

    with client_at(url, key, directory) as client:
        told = client.audit("report", audit.asked(chain, days=days), audit.token(chain, admin_token_of(admin_token)))
    show.json(told) if as_json else audit.report_tables(told)


@audit_app.command()
def export(
    target: Annotated[Path, typer.Argument(help="Where to: .jsonl, which can be proved, or .csv, to read.", metavar="FILE")],
    chain: ChainOption = "",
    admin_token: AdminTokenOption = "",
    url: UrlOption = "",
    key: KeyOption = "",
    directory: DirOption = None,
) -> None:
    """Save the trail as a file.

    \b
      cadmill audit export audit.jsonl
      cadmill audit verify --file audit.jsonl
    """
    from api.cli import audit

    if target.suffix not in (".jsonl", ".csv"):
        raise typer.BadParameter("an export is a .jsonl or a .csv file")
    with client_at(url, key, directory) as client:
        audit.save(client, target, audit.asked(chain), audit.token(chain, admin_token_of(admin_token)))
