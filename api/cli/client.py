"""What one can ask of the HTTP API: one method a request."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import httpx2

from api.cli.connection import ApiError, Connection, Json, step_of
from api.cli.selection import Chosen
from foundation.errors import Failure
from foundation.resilience.protection import guard

_CACHE = "/api/v1/health/features/cache"
TERMINAL = frozenset({"succeeded", "partial", "failed", "cancelled"})


class _Counted:
    """A file that tells how much of it was read, so that an upload can be watched while it streams."""

    def __init__(self, file: IO[bytes], sent: Callable[[int], None]) -> None:
        self._file, self._sent = file, sent

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._sent(len(data))
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def fileno(self) -> int:
        return self._file.fileno()


class Client(Connection):
    """Talks to one API with one key."""

    # parts

    def upload(self, batch: Sequence[Chosen], sent: Callable[[int], None] = lambda size: None) -> list[Json]:
        """Send one batch as one multipart request; the answer has one entry a file, in order: a part or {"name", "error"}."""
        opened: list[IO[bytes]] = []
        try:
            fields: list[tuple[str, Any]] = []
            for chosen in batch:
                opened.append(chosen.path.open("rb"))
                fields.append(("files", (chosen.name, _Counted(opened[-1], sent), "application/octet-stream")))
            return list(self.ask("POST", "/api/v1/parts", files=fields)["parts"])
        finally:
            for file in opened:
                file.close()

    def preview(self, part: str, size: int) -> bytes | None:
        """The PNG of a part; None when there is none."""
        try:
            return self.patiently(lambda: self.send("GET", f"/api/v1/parts/{step_of(part)}/preview.png", params={"size": size})).content
        except ApiError as error:
            if error.code != "PREVIEW_NOT_FOUND":
                raise
            return None

    # jobs

    def submit(self, kind: str, given: Json, idempotency_key: str | None = None, **options: Any) -> Json:
        """Ask for a job. Safe to repeat, because of the Idempotency-Key; options without a value are not sent."""
        body = {"kind": kind, "input": given, **{name: value for name, value in options.items() if value}}
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        return self.ask_patiently("POST", "/api/v1/jobs", json=body, headers=headers)

    def job(self, job: str) -> Json:
        return self.ask_patiently("GET", f"/api/v1/jobs/{step_of(job)}")

    def jobs(self, state: str | None, kind: str | None, limit: int) -> list[Json]:
        wanted = {name: value for name, value in (("state", state), ("kind", kind)) if value}
        return list(self.pages("/api/v1/jobs", "jobs", "", wanted, limit))

    def items(self, job: str) -> list[Json]:
        return list(self.pages(f"/api/v1/jobs/{step_of(job)}/items", "items"))

    def cancel(self, job: str) -> Json:
        return self.ask("POST", f"/api/v1/jobs/{step_of(job)}/cancel")

    def retry(self, job: str) -> Json:
        return self.ask("POST", f"/api/v1/jobs/{step_of(job)}/retry")

    def change_job(self, verb: str, job: str, **how: Any) -> Json:
        """Pause, resume or roll back a job."""
        return self.ask("POST", f"/api/v1/jobs/{step_of(job)}/{verb}", **how)

    def migration_preview(self, job: str) -> Json:
        """What the dry run of a migration, with a sample, has found."""
        return self.ask_patiently("GET", "/api/v1/vectors/migrate/preview", params={"job": job})

    def quarantine(self) -> list[Json]:
        return list(self.pages("/api/v1/quarantine", "files"))

    def release(self, sha256: str) -> None:
        self.send("DELETE", f"/api/v1/quarantine/{step_of(sha256)}")

    def bulk(self, verb: str, selection: Json) -> Json:
        """Retry or cancel many jobs; repeating it after a lost answer finds those that are left."""
        return self.ask_patiently("POST", f"/api/v1/jobs/{verb}", json={name: value for name, value in selection.items() if value})

    # duplicates

    def duplicates(self, asked: Json) -> Json:
        """The whole report."""
        report = self.ask_patiently("GET", "/api/v1/duplicates", params={**asked, "limit": 200})
        while cursor := report.pop("next_cursor"):
            page = self.ask_patiently("GET", "/api/v1/duplicates", params={**asked, "limit": 200, "cursor": cursor})
            report |= {"groups": report["groups"] + page["groups"], "next_cursor": page["next_cursor"]}
        return report

    def pairs(self, job: str) -> Iterator[Json]:
        """The pairs of a similarity job, each once."""
        return self.pages(f"/api/v1/jobs/{step_of(job)}/pairs", "pairs")

    def duplicates_as(self, form: str, asked: Mapping[str, Any]) -> Iterator[bytes]:
        """The report as a file: html or csv."""
        return self.stream(f"/api/v1/duplicates.{form}", asked)

    def put_reviews(self, reviews: Sequence[Json]) -> None:
        self.ask_patiently("PUT", "/api/v1/reviews", json={"reviews": list(reviews)})

    def reviews(self, mark: str | None) -> list[Json]:
        return list(self.pages("/api/v1/reviews", "reviews", "", {"mark": mark} if mark else {}))

    def remove_review(self, first: str, second: str) -> None:
        self.send("DELETE", "/api/v1/reviews", params={"first": first, "second": second})

    # schedules

    def schedules(self) -> list[Json]:
        return list(self.pages("/api/v1/schedules", "schedules"))

    def add_schedule(self, schedule: Json) -> Json:
        return self.ask("POST", "/api/v1/schedules", json=schedule)

    def schedule(self, schedule: str) -> Json:
        return self.ask_patiently("GET", f"/api/v1/schedules/{step_of(schedule)}")

    def change_schedule(self, schedule: str, changes: Json) -> Json:
        return self.ask_patiently("PATCH", f"/api/v1/schedules/{step_of(schedule)}", json=changes)

    def remove_schedule(self, schedule: str) -> None:
        self.send("DELETE", f"/api/v1/schedules/{step_of(schedule)}")

    def run_schedule(self, schedule: str) -> Json:
        return self.ask("POST", f"/api/v1/schedules/{step_of(schedule)}/run")

    def follow(self, job: str) -> Iterator[Json]:
        """The job again and again until it has ended: while it waits 0.2 to 2 s apart, with the reason; once it runs, as it is told live,
        or 2 s apart where that is not to be had."""
        pause, live = 0.2, True
        while True:
            state = self.job(job)
            yield state
            if state["state"] in TERMINAL:
                return
            if state["state"] == "running" and live:
                yield from self._followed_live(state)
                live = False  # it has ended, or the stream has: the next look tells
                continue
            self.clock.sleep(pause)
            pause = min(2.0, pause * 1.2)

    def _followed_live(self, state: Json) -> Iterator[Json]:
        """A running job with each of its events, until it is not running any more or the stream breaks."""
        quiet = httpx2.Timeout(30.0, read=60.0)  # a heart beats more often
        try:
            call, asked = guard("client", registry=self.calls), {"channels": f"job:{state['id']}"}
            with call, self.http.stream("GET", "/api/v1/live", params=asked, timeout=quiet) as events:
                for line in events.iter_lines() if events.is_success else ():
                    told = json.loads(line.removeprefix("data: ")) if line.startswith("data: {") else {}
                    if told.get("type") in ("snapshot", "job.state", "job.progress"):
                        state = state | told["data"]
                        if state["state"] != "running":
                            return
                        yield state
        except (httpx2.TransportError, ValueError):
            return  # whoever follows looks for itself then

    def queues(self) -> list[Json]:
        return list(self.ask_patiently("GET", "/api/v1/queues")["queues"])

    def pause(self, queue: str, reason: str, admin_token: str) -> Json:
        return self.ask("POST", f"/api/v1/queues/{step_of(queue)}/pause", admin_token, json={"reason": reason})

    def resume(self, queue: str, admin_token: str) -> Json:
        return self.ask("POST", f"/api/v1/queues/{step_of(queue)}/resume", admin_token)

    # the index and the caches

    def index_health(self) -> Json:
        return self.ask_patiently("GET", "/api/v1/health/faiss/health")

    def recover_index(self, admin_token: str) -> Json:
        return self.ask("POST", "/api/v1/health/faiss/recover", admin_token)

    def cache_tuning(self, admin_token: str) -> Json:
        return self.ask_patiently("GET", f"{_CACHE}/tuning", admin_token)

    def apply_cache(self, change: Json | None, dry_run: bool, admin_token: str) -> Json:
        return self.ask("PATCH", f"{_CACHE}/apply", admin_token, params={"dry_run": dry_run}, json=change)

    def roll_cache_back(self, admin_token: str) -> Json:
        return self.ask("POST", f"{_CACHE}/rollback", admin_token)

    def announce(self, text: str, tenant: str, key: str, admin_token: str) -> Json:
        body = {"text": text, **({"tenant": tenant} if tenant else {}), **({"key": key} if key else {})}
        return self.ask("POST", "/api/v1/announcements", admin_token, json=body)

    def chaos(self, fault: str, seconds: float, admin_token: str) -> Json:
        return self.ask("POST", "/api/v1/chaos", admin_token, json={"fault": fault, "seconds": seconds})

    def repairs(self) -> dict[str, float]:
        """What upkeep has repaired since the stack was started, by kind."""
        lines = self.patiently(lambda: self.send("GET", "/metrics")).text.splitlines()
        name = 'cadmill_repairs_total{what="'
        return {line.removeprefix(name).partition('"')[0]: float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name)}

    # the audit trail

    def audit(self, what: str, asked: Json, admin_token: str) -> Json:
        """What is told of the trail: verify or report."""
        return self.ask_patiently("GET", f"/api/v1/audit/{what}", admin_token, params=asked)

    def audit_lines(self, asked: Json, limit: int, admin_token: str) -> list[Json]:
        return list(self.pages("/api/v1/audit", "lines", admin_token, asked, limit))

    def audit_as(self, form: str, asked: Json, admin_token: str) -> Iterator[bytes]:
        """The trail as a file: jsonl or csv."""
        return self.stream(f"/api/v1/audit/export.{form}", asked, admin_token)

    # webhooks

    def webhook_secret(self) -> str:
        """Of callbacks."""
        return str(self.ask_patiently("GET", "/api/v1/webhooks/secret")["secret"])

    def webhooks(self) -> list[Json]:
        return list(self.pages("/api/v1/webhooks", "webhooks"))

    def webhook(self, method: str, webhook: str = "", verb: str = "", body: Json | None = None) -> Json:
        """What is asked of one endpoint: its routes differ in the verb alone. Reading is patient, anything else is asked once."""
        path = "/".join(["/api/v1/webhooks", *(step_of(part) for part in (webhook, verb) if part)])
        ask = self.ask_patiently if method == "GET" else self.ask
        return ask(method, path, json=body)

    def deliveries(self, webhook: str, state: str | None, limit: int) -> list[Json]:
        wanted = {"state": state} if state else {}
        return list(self.pages(f"/api/v1/webhooks/{step_of(webhook)}/deliveries", "deliveries", "", wanted, limit))

    def delivery(self, delivery: str) -> Json:
        return self.ask_patiently("GET", f"/api/v1/deliveries/{step_of(delivery)}")

    def redeliver(self, delivery: str) -> Json:
        """Asking twice is asking once."""
        return self.ask_patiently("POST", f"/api/v1/deliveries/{step_of(delivery)}/redeliver")


def key_of(directory: Path) -> str:
    """The key `cadmill up` left in a data directory; empty when there is none."""
    file = directory / "key"
    try:
        return file.read_text().strip() if file.is_file() else ""
    except PermissionError as error:
        raise Failure("CONFIG_INVALID", {"key": f"{file} belongs to another user"}, "The key file cannot be read.") from error
