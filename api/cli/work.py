"""What the client commands do: upload, submit, wait, and show the outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from api.cli import show
from api.cli.client import Client
from api.cli.connection import Json
from api.cli.selection import Chosen, batches

SOME_FAILED = 3
"""Exit code of a command that waited for a job of which some items failed."""
_SLOTS_SHOWN = 4


def upload(client: Client, chosen: Sequence[Chosen]) -> tuple[list[Json], list[Json]]:
    """Send all files; gives the parts, and those refused as {"name", "error"}."""
    answers: list[Json] = []
    with show.uploading(len(chosen), sum(file.size for file in chosen)) as sent:
        for batch in batches(chosen):
            answers += client.upload(batch, sent)
    return [answer for answer in answers if "id" in answer], [answer for answer in answers if "id" not in answer]


def wait(client: Client, job: str) -> Json:
    """Show the progress of a job until it has ended."""
    state: Json = {}
    with show.watching() as watched:
        for state in client.follow(job):
            watched.update(state)
    show.summary(state)
    return state


def exit_code(job: Json, refused: Sequence[Json] = ()) -> int:
    return 0 if job["state"] == "succeeded" and not refused else SOME_FAILED


def extract(
    client: Client,
    parts: Sequence[Json],
    version: str | None,
    force: bool = False,
    previews: bool = False,
    units: Mapping[str, str | None] | None = None,
    key: str | None = None,
    **options: Any,
) -> Json:
    given: Json = {"parts": [part["id"] for part in parts], "force": force, "previews": previews} | {
        name: unit for name, unit in (units or {}).items() if unit
    }
    if version:
        given["feature_version"] = version
    return client.submit("extraction", given, key, **options)


def features_table(items: Sequence[Json], parts: Sequence[Json], refused: Sequence[Json]) -> None:
    """One row an item: what was computed, or why it was not."""
    known = {part["id"]: part for part in parts}
    rows = [_feature_row(item, known.get(item["part_id"], {})) for item in items]
    rows += [[answer.get("name"), "", "refused", "", "", show.told(answer.get("error"))] for answer in refused]
    show.table("Features", ["part", "format", "state", "surface_count", "shape_entropy", "first slots, or what went wrong"], rows)


def _feature_row(item: Json, part: Json) -> list[object]:
    name, result = part.get("name") or item["part_id"], item.get("result") or {}
    if item.get("error"):
        return [name, part.get("format"), item["state"], "", "", show.told(item["error"])]
    slots: Mapping[str, Any] = result.get("slots") or {}
    first = ", ".join(f"{slot}={_number(value)}" for slot, value in list(slots.items())[:_SLOTS_SHOWN])
    return [name, part.get("format"), item["state"], _number(result.get("surface_count")), _number(result.get("shape_entropy")), first]


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else show.clean(value)


def bulk(client: Client, verb: str, selection: Json) -> None:
    """Retry or cancel many jobs, a thousand a request, until none is left; or tell which it would be."""
    jobs: list[Any] = []
    while True:
        told = client.bulk(verb, selection | {"limit": 1000})
        jobs += told["jobs"]
        if told["dry_run"] or not told["more"] or not told["jobs"]:
            break
    for job in jobs:
        show.line(f"  {show.clean(job)}")
    more = " and more" if told["more"] else ""
    done = {"retry": "retried", "cancel": "cancelled"}[verb]
    show.line(f"{len(jobs)}{more} job(s) {'would be ' if told['dry_run'] else ''}{done}")


def jobs_table(jobs: Sequence[Json]) -> None:
    rows = [
        [
            job["id"],
            job["kind"],
            f"{job['state']}, paused" if job.get("paused_at") else job["state"],
            job["priority"],
            f"{job['counts']['succeeded']}/{job['counts']['total']}",
            job["counts"]["failed"],
            job["created_at"],
        ]
        for job in jobs
    ]
    show.table("Jobs", ["id", "kind", "state", "priority", "succeeded", "failed", "created"], rows)


def queues_table(queues: Sequence[Json]) -> None:
    rows = [
        [
            queue["name"],
            *(queue["depth"][state] for state in ("queued", "running", "waiting")),
            f"{queue['oldest_wait_seconds']:.0f} s",
            queue["workers"],
            ", ".join(f"{count} {priority}" for priority, count in queue["queued_by_priority"].items() if count),
            _paused(queue["paused"]),
        ]
        for queue in queues
    ]
    show.table("Queues", ["queue", "queued", "running", "waiting", "oldest", "workers", "priorities", "paused"], rows)


def _paused(told: Json | None) -> str:
    if told is None:
        return ""
    return f"since {told['since']} by {told['by']}" + (f": {told['reason']}" if told["reason"] else "")


def quarantine_table(files: Sequence[Json]) -> None:
    rows = [
        [file["sha256"], ", ".join(part["name"] for part in file["parts"]), file["crashes"], file["engine_build"], file["until"]]
        for file in files
    ]
    show.table("Quarantine", ["sha256", "parts", "crashes", "engine build", "until"], rows)


def hits_table(item: Json) -> None:
    """The hits of one query; exact: same bytes, same: same part in another form, scaled: the same at another size, near: alike."""
    result = item.get("result") or {}
    if item.get("error"):
        show.line(show.clean(show.told(item["error"])), "red")
        return
    rows = [
        [place, hit["part_id"], hit.get("name"), hit.get("label"), f"{hit['score']:.4f}", _number(hit.get("size_ratio"))]
        for place, hit in enumerate(result.get("hits", []), 1)
    ]
    note = " (degraded: the fast index is being repaired)" if result.get("engine") == "degraded" else ""
    show.table(f"Similar parts{note}", ["", "part", "name", "match", "score", "size"], rows)
