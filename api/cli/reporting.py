"""What `cadmill duplicates` does: compare, draw what is missing, show groups, save pages and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from api.cli import show, work
from api.cli.client import TERMINAL, Client
from api.cli.connection import Json
from foundation.errors import Failure
from tasks.duplicates import COMPARISON

_NAMES_SHOWN, _PARTS_DRAWN = 6, 2000


def compare(client: Client, version: str | None, quiet: bool = False) -> str:
    """Compare all parts with each other; gives the job when it has ended."""
    job = client.submit("similarity", COMPARISON | ({"feature_version": version} if version else {}))
    _wait(client, job["id"], quiet)
    return str(job["id"])


def _wait(client: Client, job: str, quiet: bool) -> Json:
    if not quiet:
        return work.wait(client, job)
    return next(state for state in client.follow(job) if state["state"] in TERMINAL)


def draw(client: Client, report: Json, quiet: bool = False) -> None:
    """Have pictures drawn of those parts of the groups that have none, one of each content."""
    parts = {part["sha256"]: part["id"] for group in report["groups"] for part in group["parts"] if "preview_png" not in part["links"]}
    chosen = list(parts.values())[:_PARTS_DRAWN]
    if not chosen:
        return
    if not quiet:
        show.line(f"drawing {len(chosen)} part(s)")
    version = {"feature_version": report["job"]["input"]["feature_version"]} if report["job"] else {}
    _wait(client, client.submit("extraction", {"parts": chosen, "previews": True, **version})["id"], quiet)


def groups_table(report: Json) -> None:
    """One row a group: its kind, its parts, and the hit that shows it worst."""
    if report["stale"]["stale"]:
        show.line(f"out of date: {report['stale']['parts_added']} part(s) were added since; run `cadmill duplicates`", "yellow")
    if report["not_compared"]:
        told = ", ".join(f"{count} {code}" for code, count in report["not_compared"].items())
        show.line(f"not compared: {told}", "yellow")
    show.table("Duplicates", ["kind", "parts", "names", "score", "size", ""], [_row(group) for group in report["groups"]])
    for kind, one in report["kinds"].items():
        if one["groups"]:
            show.line(f"{one['groups']} {kind}: {one['sentence']}")
    if not report["groups"]:
        show.line("No duplicates were found.", "green")
    left = ", ".join(f"{count} {mark}" for mark, count in report["left_out"].items() if count)
    if left:
        show.line(f"left out by review: {left} pair(s); --reviewed shows them")


def _row(group: Mapping[str, Any]) -> list[object]:
    names = [part["name"] for part in group["parts"]]
    more = f" and {group['parts_total'] - _NAMES_SHOWN} more" if group["parts_total"] > _NAMES_SHOWN else ""
    pairs: Sequence[Json] = group["evidence"]
    worst = min(pairs, key=lambda pair: pair["score"], default=None)
    size = "" if worst is None or abs(worst["size_ratio"] - 1) < 0.01 else f"{worst['size_ratio']:g} times"
    notes = ["units suspected"] if any(pair["units_suspected"] for pair in pairs) else []
    notes += [f"{count} {mark}" for mark in ("confirmed",) if (count := sum((pair["review"] or {}).get("mark") == mark for pair in pairs))]
    score = "" if worst is None else f"{worst['score']:.4f}"
    return [group["kind"], group["parts_total"], ", ".join(names[:_NAMES_SHOWN]) + more, score, size, ", ".join(notes)]


def save(client: Client, file: Path, form: str, asked: Mapping[str, Any], quiet: bool = False) -> None:
    """Write the report to a file. Raises CONFIG_INVALID when it cannot be written."""
    try:
        with file.open("wb") as target:
            for piece in client.duplicates_as(form, asked):
                target.write(piece)
    except OSError as error:
        raise Failure("CONFIG_INVALID", {"file": str(file), "reason": error.strerror}, "The report cannot be written.") from error
    if not quiet:
        show.line(f"written: {show.clean(file.absolute())}")
