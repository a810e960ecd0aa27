"""The second half of `cadmill doctor`: rows, broker and files of the store, looked at beside its database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from api.cli import show
from foundation import keyspace, sealing
from foundation.errors import Failure
from foundation.settings import RedisSettings, Settings, StorageSettings, environment
from ledger import job_views
from ledger.files import FileStore
from ledger.inspection.rules import RULES, sentence
from ledger.session import open_ledger
from ledger.trail import anchors, proving
from ledger.trail.chain import Verdict
from tasks import inspection
from tasks.inspection import Report, Store

_LINES = 20


def settings_of(directory: Path, known: Settings) -> Settings:
    """The settings of a stack that keeps its data in `directory`, with the Redis that `cadmill up` started there."""
    changes: dict[str, object] = {"storage": StorageSettings(directory=directory)}
    socket = directory.absolute() / "redis.sock"
    if "CADMILL_REDIS_URL" not in environment({}) and socket.exists():
        changes["redis"] = RedisSettings(url=f"redis+socket://{socket}?virtual_host=0")
    return known.model_copy(update=changes)


def why_not(here: Settings) -> str:
    """Why the store of these settings cannot be opened on this machine; empty when it can."""
    if not here.database.url and not (here.storage.directory / "cadmill.db").is_file():
        return f"CADMILL_DATABASE_URL is not set and {here.storage.directory.absolute() / 'cadmill.db'} is not there"
    return ""


@contextmanager
def opened(here: Settings) -> Iterator[Store]:
    """The store of a stack. Raises STORE_NOT_FOUND, DATABASE_UNAVAILABLE."""
    if reason := why_not(here):
        raise Failure("STORE_NOT_FOUND", {"reason": reason})
    ledger = open_ledger(here)
    known_redis = here.redis.url != RedisSettings.model_fields["url"].default or "CADMILL_REDIS_URL" in environment({})
    broker = keyspace.client(here.redis) if known_redis else None
    try:
        with ledger.read() as tx:
            job_views.alive(tx)
        files = FileStore(here.storage.directory) if (here.storage.directory / "files").is_dir() else None
        yield inspection.of(here, ledger, files, broker)
    finally:
        ledger.close()
        if broker is not None:
            broker.close()


def examine(here: Settings, deep: bool, fix: bool) -> Report:
    with opened(here) as store:
        return inspection.inspect(store, deep=deep, fix=fix)


def trail(here: Settings) -> Verdict:
    """Whether the audit trail holds, by itself and by the anchors that lie on this machine. Raises ANCHORS_UNREADABLE."""
    with opened(here) as store:
        return proving.prove(store.ledger, anchors=anchors.of(here.audit.anchor_file, sealing.of(here)))


def tell(report: Report) -> None:
    """What was looked at, what was not, and every kind of fault with its sentences and its remedy."""
    looked = ", ".join(f"{count:,} {what}" for what, count in report.looked.items() if count)
    show.line(f"looked at: {looked or 'an empty store'}; {len(report.kinds)} of {len(RULES)} kinds of faults")
    for what, reason in report.not_looked.items():
        show.line(f"not looked at: {what} ({show.clean(reason)})", "yellow")
    for kind, count in report.found.items():
        mended, left = report.mended[kind], report.left[kind]
        show.line(f"wrong {kind}: {count} found, {mended} mended, {left} left", "red" if left else "yellow")
        shown = [finding for finding in report.shown if finding.kind == kind]
        for finding in shown[:_LINES]:
            show.line(f"  {show.clean(sentence(finding))}")
        if count > len(shown[:_LINES]):
            show.line(f"  and {count - len(shown[:_LINES])} more (--json shows a hundred of each kind)")
        show.line(f"  -> {RULES[kind].remedy}")
    if report.healthy:
        show.line("ok    store: every accepted item has exactly one end, or a chunk that will bring it to one", "green")
