"""Commands of whoever runs a stack: queues, quarantine, settings, doctor. Imports nothing heavy until a command runs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from api.cli.options import AdminTokenOption, DirOption, KeyOption, UrlOption, admin_token_of, client_at, where

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

    if pause and resume:
        raise typer.BadParameter("pause one queue or resume one, not both at once")
    token = admin_token_of(admin_token)
    with client_at(url, key, directory) as client:
        if pause:
            client.pause(pause, reason, token)
        if resume:
            client.resume(resume, token)
        work.queues_table(client.queues())


@app.command()
def codes(code: Annotated[str, typer.Argument(help="Only this one; an old name will do.", metavar="[CODE]")] = "") -> None:
    """List what can go wrong, by code, or say what a code means. Asks no server.

    \b
      cadmill codes
      cadmill codes ENGINE_TIMEOUT
    """
    from api.cli import show
    from foundation.codes import CODES, current

    if not code:
        rows = [[row.name, row.status, "yes" if row.retryable else "no", row.recovery.value, row.sentence] for row in CODES.values()]
        show.table("Codes", ["code", "HTTP", "retry", "recovery", "what was wrong"], rows)
        return
    row = CODES.get(current(code.upper()))
    if row is None:
        raise typer.BadParameter(f"there is no code {show.clean(code)}; `cadmill codes` lists them")
    show.line(f"{row.name}: {row.sentence}\n{row.remedy}")
    show.line(
        f"HTTP {row.status}, gRPC {row.grpc}; source {row.source.value}, severity {row.severity.value}, stage {row.stage.value}; "
        f"retryable {'yes' if row.retryable else 'no'}, temporary {'yes' if row.temporary else 'no'}, recovery {row.recovery.value}"
    )


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


JsonOption = Annotated[bool, typer.Option("--json", help="Print what the API tells, as JSON.")]


@app.command()
def index(
    recover: Annotated[bool, typer.Option("--recover", help="Have every worker whose fast index failed build it anew now.")] = False,
    as_json: JsonOption = False,
    admin_token: AdminTokenOption = "",
    url: UrlOption = "",
    key: KeyOption = "",
    directory: DirOption = None,
) -> None:
    """Show whether the fast index serves, in the fleet and in each worker.

    While it does not, exact search answers: slower, and right.

    \b
      cadmill index
      cadmill index --recover      do not wait for the next try of the workers themselves
    """
    from api.cli import engine, show

    with client_at(url, key, directory) as client:
        asked = client.recover_index(admin_token_of(admin_token)) if recover else None
        told = client.index_health()
    if as_json:
        show.json(told)
        return
    if asked:
        show.line(f"{len(asked['workers'])} worker(s) asked to recover")
    engine.index_table(told)


@app.command()
def cache(
    apply: Annotated[bool, typer.Option("--apply", help="Set --capacity and --ttl for all workers; without them, as recommended.")] = False,
    capacity: Annotated[int | None, typer.Option(min=1, help="With --apply: vectors a worker process keeps.")] = None,
    ttl: Annotated[float | None, typer.Option(min=0, help="With --apply: seconds it keeps one; 0: as long as there is room.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --apply: only tell what would change.")] = False,
    rollback: Annotated[bool, typer.Option("--rollback", help="Take the last setting back, within its window.")] = False,
    prewarm: Annotated[bool, typer.Option("--prewarm", help="Have every worker load what will be asked for, and wait for it.")] = False,
    as_json: JsonOption = False,
    admin_token: AdminTokenOption = "",
    url: UrlOption = "",
    key: KeyOption = "",
    directory: DirOption = None,
) -> None:
    """Show how well the caches of vectors serve, and which size would be better; set it, or fill them.

    \b
      cadmill cache                              hits, misses, and what is recommended
      cadmill cache --apply --dry-run            what the recommendation would change
      cadmill cache --apply --capacity 500000    set it; every worker takes it within 5 s
      cadmill cache --rollback                   the setting before, within the window
      cadmill cache --prewarm                    load the hottest vectors into every worker
    """
    from api.cli import engine, show, work

    if sum((apply, rollback, prewarm)) > 1:
        raise typer.BadParameter("one of --apply, --rollback and --prewarm at a time")
    if not apply and (dry_run or capacity is not None or ttl is not None):
        raise typer.BadParameter("--capacity, --ttl and --dry-run go with --apply")
    token = admin_token_of(admin_token)
    with client_at(url, key, directory) as client:
        if prewarm:
            job = work.wait(client, client.submit("prewarm", {}, priority="urgent")["id"])
            (item,) = client.items(job["id"])
            show.json(item) if as_json else engine.prewarm_table(item)
            raise typer.Exit(work.exit_code(job))
        if apply:
            change = {name: value for name, value in (("capacity", capacity), ("ttl_seconds", ttl)) if value is not None}
            told = client.apply_cache(change or None, dry_run, token)
        elif rollback:
            told = client.roll_cache_back(token)
        else:
            told = client.cache_tuning(token)
    if as_json:
        show.json(told)
    elif apply or rollback:
        engine.change_lines(told)
    else:
        engine.tuning_table(told)


@app.command()
def announce(
    text: Annotated[str, typer.Argument(help="What to say, at most 2000 characters.", metavar="TEXT")],
    tenant: Annotated[str, typer.Option(help="Only to this tenant. Default: to all.", metavar="NAME")] = "",
    to_key: Annotated[str, typer.Option(help="Only to who listens with this key of the tenant.", metavar="KEY_ID")] = "",
    admin_token: AdminTokenOption = "",
    url: UrlOption = "",
    key: KeyOption = "",
    directory: DirOption = None,
) -> None:
    """Tell everybody who listens to live events something.

    It is not kept: who comes later does not hear it.

    \b
      cadmill announce "The server is updated at noon; jobs go on afterwards."
      cadmill announce "Your import is done." --tenant apollo
    """
    from api.cli import show

    if to_key and not tenant:
        raise typer.BadParameter("--to-key goes with --tenant")
    with client_at(url, key, directory) as client:
        client.announce(text, tenant, to_key, admin_token_of(admin_token))
    show.line(f"told {f'key {to_key} of {tenant}' if to_key else tenant or 'everybody'}")


@app.command(name="settings")
def show_settings() -> None:
    """List every setting.

    Variable, value and meaning; secrets are masked.
    """
    from api.cli import show
    from foundation.settings import settings

    show.table("Settings", ["variable", "value", "meaning"], list(settings().table()))


@app.command()
def check(as_json: JsonOption = False) -> None:
    """Check the settings, and show what stands around every call that leaves a process.

    \b
    CADMILL_RESILIENCE_OFF=webhook.breaker,redis.retry switches parts off. How they stand in the API process:
    GET /api/v1/health/resilience, with the admin token.
    """
    from api.cli import show
    from foundation.resilience import protection
    from foundation.settings import settings

    rows = protection.rows(settings())
    if as_json:
        show.json(rows)
        return
    columns = ["call", "timeout", "limiter", "bulkhead", "breaker", "retry"]

    def cell(row: dict[str, Any], part: str) -> str:
        return f"OFF ({row[part]})" if part in row["off"] else str(row[part] or "-")

    told = [[row["call"], f"{row['timeout_seconds'] or '-'}", *(cell(row, part) for part in columns[2:])] for row in rows]
    show.table("Calls that leave a process", columns, told)
    show.table("What they are, and why they lack a part", ["call", "what", "why"], [[row["call"], row["what"], row["why"]] for row in rows])
    off = [f"{row['call']}.{part}" for row in rows for part in row["off"]]
    show.line(f"\nswitched off: {', '.join(off) or 'nothing'}", "yellow" if off else "")


@app.command()
def doctor(
    store: Annotated[
        bool | None, typer.Option("--store/--no-store", help="Look into the store; --store: only there. Default: if it is on this machine.")
    ] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every stored file and compare its hash, and prove the audit trail. Takes its time.")
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
        if deep and not as_json:
            from api.cli import audit

            verdict = store_doctor.trail(here)
            audit.verdict_lines(verdict.told())
            fine = fine and verdict.whole
    raise typer.Exit(0 if fine else 1)
