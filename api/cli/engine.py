"""How the fast indexes and the caches of the workers are, as tables."""

from __future__ import annotations

from typing import Any

from api.cli import show
from api.cli.connection import Json


def index_table(told: Json) -> None:
    """The fleet in a line, each worker in a row, the last events below."""
    note = "; FLAPPING: it fails again and again soon after it recovered" if told["flapping"] else ""
    since = f" since {told['degraded_since']} ({told['reason']})" if told["degraded_since"] else ""
    show.line(f"index: {told['recovery_status']}{since}{note}")
    if told["recovery"]:
        asked = told["recovery"]
        answers = ", ".join(f"{one['worker']}: {one['result']}" for one in asked["answers"]) or "no answer yet"
        running = "running" if asked["running"] else "ended"
        show.line(show.clean(f"recovery by hand of {asked['asked_at']} by {asked['asked_by']}: {running}; {answers}"))
    rows = [
        [one["worker"], one["state"], one["degraded_since"], one["reason"], one["last_recovery_attempt"], one["next_recovery_attempt"]]
        for one in told["workers"]
    ]
    show.table("Workers", ["worker", "state", "degraded since", "reason", "last try", "next try"], rows)
    if told["history"]:
        events = [[line["at"], line["worker"], line["event"], line["state"], line["reason"]] for line in told["history"]]
        show.table("History", ["at", "worker", "event", "state", "reason"], events)


def tuning_table(told: Json) -> None:
    setting, found = told["setting"], told["recommendation"]
    taken = "" if told["taken_by_all"] else " (not yet taken by every worker)"
    show.line(f"setting {setting['epoch']}{taken}: capacity {_or_own(setting['capacity'])}, TTL {_or_own(setting['ttl_seconds'])}")
    for sentence in found["why"]:
        show.line(show.clean(sentence))
    if found["capacity"] or found["ttl_seconds"]:
        wanted = ", ".join(f"{name} {found[field]:,}" for name, field in (("capacity", "capacity"), ("TTL", "ttl_seconds")) if found[field])
        show.line(
            f"recommended: {wanted}; hit rate {_share(found['hit_rate'])} -> {_share(found['hit_rate_predicted'])},"
            f" memory {_mb(found['bytes'])} -> {_mb(found['bytes_predicted'])} a worker. Apply it with: cadmill cache --apply"
        )
    rows = [
        [
            one["worker"],
            one["epoch"],
            f"{one['held']}/{one['capacity']}",
            _mb(one["bytes"]),
            one["hits"],
            one["misses"],
            one["evicted"],
            one["ghost_hits"],
            "  ".join(f"{step}x {_share(share)}" for step, share in one["would_serve"].items()),
        ]
        for one in told["workers"]
    ]
    show.table("Caches", ["worker", "epoch", "held", "memory", "hits", "misses", "evicted", "ghost hits", "would serve"], rows)


def change_lines(told: Json) -> None:
    if not told.get("changed", True):
        show.line("nothing to change: " + " ".join(map(show.clean, told["recommendation"]["why"])))
        return
    for name in ("capacity", "ttl_seconds"):
        before, after = told["before"][name], told["after"][name]
        if before != after:
            show.line(f"{name}: {_or_own(before)} -> {_or_own(after)}")
    show.line("nothing was changed" if told.get("dry_run") else f"setting {told['after']['epoch']}; every worker takes it within 5 s")
    if told.get("rollback_until"):
        show.line(f"cadmill cache --rollback takes it back until {told['rollback_until']}")


def prewarm_table(item: Json) -> None:
    if item.get("error"):
        show.line(show.clean(show.told(item["error"])), "red")
        return
    rows = [
        [
            one["worker"],
            *(one[word] for word in ("loaded", "skipped", "evicted", "failed", "left")),
            f"{_share(one['hit_rate_before'])} -> {_share(one['hit_rate_after'])}",
            f"{_ms(one['first_answer_seconds_before'])} -> {_ms(one['first_answer_seconds_after'])}",
        ]
        for one in item["result"]["workers"]
    ]
    show.table("Prewarm", ["worker", "loaded", "skipped", "evicted", "failed", "left", "hit rate", "first answer"], rows)
    for one in item["result"]["unable"]:
        show.line(show.clean(f"{one['worker']}: {show.told(one['error']) if 'error' in one else one['result']}"))
    for name in item["result"]["silent"]:
        show.line(show.clean(f"{name} did not answer"))


def _or_own(value: Any) -> str:
    return "as each worker's environment says" if value is None else f"{value:,}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else f"{1000 * seconds:.1f} ms"
