"""The HTTP API from the client's side: one method a request, errors as the API tells them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar
from urllib.parse import quote

import httpx2

from api.cli.selection import Chosen
from foundation.clock import SYSTEM, Clock
from foundation.errors import CODES, Failure

Json = dict[str, Any]
Answer = TypeVar("Answer")
_CACHE = "/api/v1/health/features/cache"
TERMINAL = frozenset({"succeeded", "partial", "failed", "cancelled"})
_PATIENCE_SECONDS = 30.0
"""How long a request that may be repeated waits for an API that restarts."""
_PASSING = frozenset({429, 502, 503, 504})


@dataclass(eq=False)
class ApiError(Exception):
    """The API refused, or could not be reached."""

    code: str
    message: str
    context: Json = field(default_factory=dict)
    remedy: str = ""
    status: int = 0
    passing: bool = False
    """Asking again may help."""

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


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


class Client:
    """Talks to one API with one key."""

    def __init__(self, url: str, key: str, clock: Clock = SYSTEM) -> None:
        self._clock, self.url = clock, url.rstrip("/")
        # trust_env off: a proxy variable of the shell must not catch calls to this machine's own stack
        self._http = httpx2.Client(
            base_url=self.url, headers={"X-API-Key": key} if key else {}, timeout=httpx2.Timeout(30.0, read=300.0), trust_env=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._http.close()

    # parts

    def upload(self, batch: Sequence[Chosen], sent: Callable[[int], None] = lambda size: None) -> list[Json]:
        """Send one batch as one multipart request; the answer has one entry a file, in order: a part or {"name", "error"}."""
        opened: list[IO[bytes]] = []
        try:
            fields: list[tuple[str, Any]] = []
            for chosen in batch:
                opened.append(chosen.path.open("rb"))
                fields.append(("files", (chosen.name, _Counted(opened[-1], sent), "application/octet-stream")))
            return list(self._ask("POST", "/api/v1/parts", files=fields)["parts"])
        finally:
            for file in opened:
                file.close()

    def preview(self, part: str, size: int) -> bytes | None:
        """The PNG of a part; None when there is none."""
        try:
            return self._patiently(lambda: self._send("GET", f"/api/v1/parts/{step_of(part)}/preview.png", params={"size": size})).content
        except ApiError as error:
            if error.code != "PREVIEW_NOT_FOUND":
                raise
            return None

    # jobs

    def submit(self, kind: str, given: Json, idempotency_key: str | None = None, **options: Any) -> Json:
        """Ask for a job. Safe to repeat, because of the Idempotency-Key; options without a value are not sent."""
        body = {"kind": kind, "input": given, **{name: value for name, value in options.items() if value}}
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        return self._ask_patiently("POST", "/api/v1/jobs", json=body, headers=headers)

    def job(self, job: str) -> Json:
        return self._ask_patiently("GET", f"/api/v1/jobs/{step_of(job)}")

    def jobs(self, state: str | None, kind: str | None, limit: int) -> list[Json]:
        wanted = {name: value for name, value in (("state", state), ("kind", kind)) if value}
        return list(self._pages("/api/v1/jobs", "jobs", wanted, limit))

    def items(self, job: str) -> list[Json]:
        return list(self._pages(f"/api/v1/jobs/{step_of(job)}/items", "items", {}, None))

    def cancel(self, job: str) -> Json:
        return self._ask("POST", f"/api/v1/jobs/{step_of(job)}/cancel")

    def retry(self, job: str) -> Json:
        return self._ask("POST", f"/api/v1/jobs/{step_of(job)}/retry")

    def change_job(self, verb: str, job: str, **how: Any) -> Json:
        """Pause, resume or roll back a job."""
        return self._ask("POST", f"/api/v1/jobs/{step_of(job)}/{verb}", **how)

    def migration_preview(self, job: str) -> Json:
        """What the dry run of a migration, with a sample, has found."""
        return self._ask_patiently("GET", "/api/v1/vectors/migrate/preview", params={"job": job})

    def quarantine(self) -> list[Json]:
        return list(self._pages("/api/v1/quarantine", "files", {}, None))

    def release(self, sha256: str) -> None:
        self._send("DELETE", f"/api/v1/quarantine/{step_of(sha256)}")

    def bulk(self, verb: str, selection: Json) -> Json:
        """Retry or cancel many jobs; repeating it after a lost answer finds those that are left."""
        return self._ask_patiently("POST", f"/api/v1/jobs/{verb}", json={name: value for name, value in selection.items() if value})

    # duplicates

    def duplicates(self, asked: Json) -> Json:
        """The whole report."""
        report = self._ask_patiently("GET", "/api/v1/duplicates", params={**asked, "limit": 200})
        while cursor := report.pop("next_cursor"):
            page = self._ask_patiently("GET", "/api/v1/duplicates", params={**asked, "limit": 200, "cursor": cursor})
            report |= {"groups": report["groups"] + page["groups"], "next_cursor": page["next_cursor"]}
        return report

    def pairs(self, job: str) -> Iterator[Json]:
        """The pairs of a similarity job, each once."""
        return self._pages(f"/api/v1/jobs/{step_of(job)}/pairs", "pairs", {}, None)

    def duplicates_as(self, form: str, asked: Mapping[str, Any]) -> Iterator[bytes]:
        """The report as a file: html or csv."""
        return self._stream(f"/api/v1/duplicates.{form}", asked, "")

    def put_reviews(self, reviews: Sequence[Json]) -> None:
        self._ask_patiently("PUT", "/api/v1/reviews", json={"reviews": list(reviews)})

    def reviews(self, mark: str | None) -> list[Json]:
        return list(self._pages("/api/v1/reviews", "reviews", {"mark": mark} if mark else {}, None))

    def remove_review(self, first: str, second: str) -> None:
        self._send("DELETE", "/api/v1/reviews", params={"first": first, "second": second})

    # schedules

    def schedules(self) -> list[Json]:
        return list(self._pages("/api/v1/schedules", "schedules", {}, None))

    def add_schedule(self, schedule: Json) -> Json:
        return self._ask("POST", "/api/v1/schedules", json=schedule)

    def schedule(self, schedule: str) -> Json:
        return self._ask_patiently("GET", f"/api/v1/schedules/{step_of(schedule)}")

    def change_schedule(self, schedule: str, changes: Json) -> Json:
        return self._ask_patiently("PATCH", f"/api/v1/schedules/{step_of(schedule)}", json=changes)

    def remove_schedule(self, schedule: str) -> None:
        self._send("DELETE", f"/api/v1/schedules/{step_of(schedule)}")

    def run_schedule(self, schedule: str) -> Json:
        return self._ask("POST", f"/api/v1/schedules/{step_of(schedule)}/run")

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
            self._clock.sleep(pause)
            pause = min(2.0, pause * 1.2)

    def _followed_live(self, state: Json) -> Iterator[Json]:
        """A running job with each of its events, until it is not running any more or the stream breaks."""
        quiet = httpx2.Timeout(30.0, read=60.0)  # a heart beats more often
        try:
            with self._http.stream("GET", "/api/v1/live", params={"channels": f"job:{state['id']}"}, timeout=quiet) as events:
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
        return list(self._ask_patiently("GET", "/api/v1/queues")["queues"])

    def pause(self, queue: str, reason: str, admin_token: str) -> Json:
        return self._ask("POST", f"/api/v1/queues/{step_of(queue)}/pause", json={"reason": reason}, headers={"X-Admin-Token": admin_token})

    def resume(self, queue: str, admin_token: str) -> Json:
        return self._ask("POST", f"/api/v1/queues/{step_of(queue)}/resume", headers={"X-Admin-Token": admin_token})

    # the index and the caches

    def index_health(self) -> Json:
        return self._ask_patiently("GET", "/api/v1/health/faiss/health")

    def recover_index(self, admin_token: str) -> Json:
        return self._ask("POST", "/api/v1/health/faiss/recover", headers={"X-Admin-Token": admin_token})

    def cache_tuning(self, admin_token: str) -> Json:
        return self._ask_patiently("GET", f"{_CACHE}/tuning", headers={"X-Admin-Token": admin_token})

    def apply_cache(self, change: Json | None, dry_run: bool, admin_token: str) -> Json:
        how = {"params": {"dry_run": dry_run}, "headers": {"X-Admin-Token": admin_token}}
        return self._ask("PATCH", f"{_CACHE}/apply", **how, **({"json": change} if change else {}))

    def roll_cache_back(self, admin_token: str) -> Json:
        return self._ask("POST", f"{_CACHE}/rollback", headers={"X-Admin-Token": admin_token})

    def announce(self, text: str, tenant: str, key: str, admin_token: str) -> Json:
        body = {"text": text, **({"tenant": tenant} if tenant else {}), **({"key": key} if key else {})}
        return self._ask("POST", "/api/v1/announcements", json=body, headers={"X-Admin-Token": admin_token})

    def chaos(self, fault: str, seconds: float, admin_token: str) -> Json:
        return self._ask("POST", "/api/v1/chaos", json={"fault": fault, "seconds": seconds}, headers={"X-Admin-Token": admin_token})

    # the audit trail

    def audit(self, what: str, asked: Json, admin_token: str) -> Json:
        """What is told of the trail: verify or report."""
        return self._ask_patiently("GET", f"/api/v1/audit/{what}", params=asked, headers=_admin(admin_token))

    def audit_lines(self, asked: Json, limit: int, admin_token: str) -> list[Json]:
        return list(self._pages("/api/v1/audit", "lines", asked, limit, _admin(admin_token)))

    def audit_as(self, form: str, asked: Json, admin_token: str) -> Iterator[bytes]:
        """The trail as a file: jsonl or csv."""
        return self._stream(f"/api/v1/audit/export.{form}", asked, admin_token)

    def repairs(self) -> dict[str, float]:
        """What upkeep has repaired since the stack was started, by kind."""
        lines = self._patiently(lambda: self._send("GET", "/metrics")).text.splitlines()
        name = 'cadmill_repairs_total{what="'
        return {line.removeprefix(name).partition('"')[0]: float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name)}

    def webhook_secret(self) -> str:
        """Of callbacks."""
        return str(self._ask_patiently("GET", "/api/v1/webhooks/secret")["secret"])

    # what has no word of its own here

    def ask(self, method: str, path: str, admin_token: str = "", **how: Any) -> Json:
        """One request, asked once."""
        response = self._send(method, path, headers={"X-Admin-Token": admin_token} if admin_token else {}, **how)
        return dict(response.json()) if response.content else {}

    def pages(self, path: str, name: str, admin_token: str = "") -> Iterator[Json]:
        """Every entry of a list."""
        return self._pages(path, name, {}, None, {"X-Admin-Token": admin_token} if admin_token else {})

    # webhooks

    def webhooks(self) -> list[Json]:
        return list(self._pages("/api/v1/webhooks", "webhooks", {}, None))

    def webhook(self, method: str, webhook: str = "", verb: str = "", body: Json | None = None) -> Json:
        """What is asked of one endpoint: its routes differ in the verb alone. Reading is patient, anything else is asked once."""
        path = "/".join(["/api/v1/webhooks", *(step_of(part) for part in (webhook, verb) if part)])
        if method == "DELETE":
            self._send(method, path)
            return {}
        ask = self._ask_patiently if method == "GET" else self._ask
        return ask(method, path, **({} if body is None else {"json": body}))

    def deliveries(self, webhook: str, state: str | None, limit: int) -> list[Json]:
        wanted = {"state": state} if state else {}
        return list(self._pages(f"/api/v1/webhooks/{step_of(webhook)}/deliveries", "deliveries", wanted, limit))

    def delivery(self, delivery: str) -> Json:
        return self._ask_patiently("GET", f"/api/v1/deliveries/{step_of(delivery)}")

    def redeliver(self, delivery: str) -> Json:
        """Asking twice is asking once."""
        return self._ask_patiently("POST", f"/api/v1/deliveries/{step_of(delivery)}/redeliver")

    # how

    def _stream(self, path: str, asked: Mapping[str, Any], admin_token: str) -> Iterator[bytes]:
        with self._http.stream("GET", path, params=asked, headers=_admin(admin_token)) as response:
            if not response.is_success:
                response.read()
                raise _told(response)
            yield from response.iter_bytes()

    def _pages(self, path: str, name: str, wanted: Json, most: int | None, headers: Mapping[str, str] | None = None) -> Iterator[Json]:
        left, cursor = most, ""
        while left is None or left > 0:
            query = {**wanted, "limit": min(left or 200, 200), **({"cursor": cursor} if cursor else {})}
            page = self._ask_patiently("GET", path, params=query, headers=headers or {})
            rows = page[name][:left]
            yield from rows
            left = None if left is None else left - len(rows)
            cursor, before = page.get("next_cursor") or "", cursor
            if not cursor or cursor == before:
                return

    def _ask_patiently(self, method: str, path: str, **how: Any) -> Json:
        return self._patiently(lambda: self._ask(method, path, **how))

    def _patiently(self, ask: Callable[[], Answer]) -> Answer:
        """Repeat while the API restarts or is too busy. Only for requests that may be repeated."""
        deadline, pause = self._clock.tick() + _PATIENCE_SECONDS, 0.2
        while True:
            try:
                return ask()
            except ApiError as error:
                if not error.passing or self._clock.tick() + pause > deadline:
                    raise
            self._clock.sleep(pause)
            pause = min(3.0, pause * 2)

    def _ask(self, method: str, path: str, **how: Any) -> Json:
        body = self._send(method, path, **how).json()
        return body if isinstance(body, dict) else {"items": body}

    def _send(self, method: str, path: str, **how: Any) -> httpx2.Response:
        try:
            response = self._http.request(method, path, **how)
        except (httpx2.TransportError, httpx2.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            # Nothing listening at all is a wrong address rather than a restart, so that is told at once.
            raise ApiError(
                "API_UNREACHABLE",
                f"No cadmill answers at {self.url}.",
                {"reason": reason},
                "Start one with `cadmill up`, or name its address with --url.",
                passing=not isinstance(error, httpx2.ConnectError),
            ) from error
        if response.is_success:
            return response
        raise _told(response)


def _told(response: httpx2.Response) -> ApiError:
    """The error as the API words it; by its status when something in between answered instead."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or "code" not in body:
        return ApiError(
            "API_UNREACHABLE",
            f"Something else than cadmill answered with status {response.status_code}.",
            {"url": str(response.url)},
            "Check the address given with --url.",
            response.status_code,
            response.status_code in _PASSING,
        )
    code, message = str(body["code"]), str(body.get("message") or body.get("title") or "")
    return ApiError(
        code,
        message,
        body.get("context") or {},
        str(body.get("remedy") or _remedy(code)),
        response.status_code,
        response.status_code in _PASSING,
    )


def _remedy(code: str) -> str:
    """What to do about a code; the server may be newer than this table."""
    return CODES[code].remedy if code in CODES else ""


def _admin(token: str) -> dict[str, str]:
    return {"X-Admin-Token": token} if token else {}


def step_of(name: str) -> str:
    """An id as one step of a path, whatever was typed."""
    return quote(name, safe="")


def key_of(directory: Path) -> str:
    """The key `cadmill up` left in a data directory; empty when there is none."""
    file = directory / "key"
    try:
        return file.read_text().strip() if file.is_file() else ""
    except PermissionError as error:
        raise Failure("CONFIG_INVALID", {"key": f"{file} belongs to another user"}, "The key file cannot be read.") from error
