"""What `cadmill audit` does and shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from api.cli import show
from api.cli.client import Client
from api.cli.connection import Json
from foundation.errors import Failure
from ledger.trail import anchors as anchoring
from ledger.trail import proving


def asked(chain: str, **more: Any) -> Json:
    """The query of a request; what is empty is not sent."""
    return {name: value for name, value in {"chain": chain, **more}.items() if value}


def token(chain: str, known: str) -> str:
    """The admin token, where a chain other than one's own is asked for."""
    return known if chain else ""


def prove_file(file: Path, anchors: Path | None, key: str | None) -> Json:
    """The verdict on an export. Raises EXPORT_INVALID, ANCHORS_UNREADABLE."""
    try:
        known = anchoring.read(anchors, key) if anchors else None
    except OSError as error:
        raise Failure("ANCHORS_UNREADABLE", {"file": str(anchors), "reason": error.strerror}) from error
    at = 0

    def seen(line: int) -> None:
        nonlocal at
        at = line

    try:
        with file.open(encoding="utf-8") as lines:
            return proving.prove_lines(lines, known, seen).told()
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise Failure("EXPORT_INVALID", {"file": str(file), "line": at + 1, "reason": str(error)[:200]}) from error


def verdict_lines(verdict: Json) -> None:
    for chain, number in verdict["let_go"].items():
        show.line(f"{show.clean(chain)}: lines up to {number:,} were let go by retention, as the trail tells")
    for chain in verdict["open_ended"]:
        show.line(f"{show.clean(chain)}: the file does not tell where this chain ends; only an anchor could", "yellow")
    compared = verdict["anchors"]
    if compared["compared"]:
        show.line(f"{compared['compared']:,} anchored places agree or are named below; last anchored {compared['last_at']}")
    else:
        show.line("nothing was anchored outside: a cut end or a trail written anew would not be seen", "yellow")
    if compared["key"]:
        show.line(f"anchors are verified with {show.clean(compared['key'])}")
    for one in verdict["breaks"]:
        show.line(f"broken {one['kind']}: {show.clean(one['message'])}", "red")
        show.line(f"  -> {one['remedy']}")
    if (left := verdict["broken"] - len(verdict["breaks"])) > 0:
        show.line(f"and {left:,} more breaks")
    told = f"{verdict['lines']:,} lines of {verdict['chains']:,} chain(s)"
    show.line(f"ok    audit: {told} hold" if verdict["whole"] else f"wrong audit: {told} were read; the trail is broken",
              "green" if verdict["whole"] else "red")  # fmt: skip


def lines_table(lines: list[Json]) -> None:
    rows = [
        [one["number"], one["at"], one["actor"], one["action"], one["subject"], one["outcome"], one["origin"],
         ", ".join(f"{name}={value}" for name, value in one["detail"].items())]
        for one in lines
    ]  # fmt: skip
    show.table("Audit trail", ["line", "at", "who", "what", "to what", "outcome", "from", ""], rows)


def report_tables(told: Json) -> None:
    show.line(f"since {told['since']}")
    days = [[one["day"], one["who"], one["action"], one["outcome"], one["lines"]] for one in told["days"]]
    show.table("Who did what", ["day", "who", "what", "outcome", "lines"], days)
    wrong = [[one["action"], one["outcome"], one["who"], one["origin"], one["lines"]] for one in told["not_done"]]
    show.table("Refused and failed", ["what", "outcome", "who", "from", "lines"], wrong)
    show.table("Told of most", ["subject", "lines"], [[one["subject"], one["lines"]] for one in told["subjects"]])


def save(client: Client, target: Path, wanted: Json, admin_token: str) -> None:
    """Write an export. Raises CONFIG_INVALID when it cannot be written."""
    pieces = client.audit_as(target.suffix.removeprefix("."), wanted, admin_token)
    try:
        with target.open("wb") as file:
            for piece in pieces:
                file.write(piece)
    except OSError as error:
        raise Failure("CONFIG_INVALID", {"file": str(target), "reason": error.strerror}, "The export cannot be written.") from error
    show.line(f"written: {show.clean(target.absolute())}")
