"""The route matrix: what every route is asked with. Whoever adds a route adds its samples here, or `test_route_matrix.py` fails.

A door that is not in the OpenAPI document (WebSocket, gRPC) takes the same `World` and `REFUSED`: whom it must refuse, and how.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

from foundation.settings import Settings
from ledger import quarantine
from ledger.session import Ledger
from tests.stack import Stack

ADMIN_TOKEN = "the token of whoever runs this"
ALL = ("read", "submit", "admin")
Ids = dict[str, str]

# Whom every door refuses, by the name of their key in `World.keys`, and with which code (all of them 401).
REFUSED = {
    "none": "API_KEY_MISSING",
    "malformed": "API_KEY_UNKNOWN",
    "unknown": "API_KEY_UNKNOWN",
    "revoked": "API_KEY_UNKNOWN",
    "expired": "API_KEY_EXPIRED",
}

# Routes without a key.
OPEN = {"GET /health/live", "GET /health/ready", "GET /metrics", "GET /versions"}

# What a parameter of a path names: a key of `World.mine` and `World.unknown`. Queues are everybody's.
PATH = {name: name for name in ("part_id", "job_id", "schedule_id", "key_id", "tenant_id", "webhook_id", "delivery_id", "sha256", "name")}
SHARED = {"name"}

# Parameters of queries: what each names, or None when it names nothing; first as it is in one route, then as in all.
QUERY: dict[str, str | None] = {
    "GET /vectors/migrate/preview job": "migration_id", "job": "similarity_id", "first": "first", "second": "second",
    "channels": "channel", "subject": "part_id",
    **dict.fromkeys(
        ("limit", "cursor", "name", "format", "size", "state", "kind", "from", "to", "sample", "keep_changed", "label", "threshold",
         "reviewed", "mark", "dry_run", "overlap_days",
         "last_event_id", "actor", "action", "outcome", "request_id", "since", "until", "days", "chain", "code")
    ),
}  # fmt: skip

# Bodies by route, made from the ids of somebody (`World.mine`) or of nobody (`World.unknown`).
BODIES: dict[str, Callable[[Ids], dict[str, Any]]] = {
    "POST /parts": lambda ids: {"files": [("files", ("a.stl", b"solid a\nendsolid a\n"))]},
    "POST /jobs": lambda ids: {"json": {"kind": "extraction", "input": {"parts": [ids["part_id"]]}}},
    "POST /jobs/retry": lambda ids: {"json": {}},
    "POST /jobs/cancel": lambda ids: {"json": {"dry_run": True}},
    "POST /vectors/migrate/preview": lambda ids: {"json": {"from": "v3", "to": "v4", "selector": {"parts": [ids["part_id"]]}}},
    "PUT /reviews": lambda ids: {"json": {"reviews": [{"first": ids["first"], "second": ids["second"], "mark": "rejected"}]}},
    "POST /schedules": lambda ids: {"json": {"name": "new", "cron": "0 0 1 1 *", "job": {"kind": "prewarm", "input": {}}}},
    "PATCH /schedules/{schedule_id}": lambda ids: {"json": {"enabled": False}},
    "POST /webhooks": lambda ids: {"json": {"url": "https://example.com/another"}},
    "PATCH /webhooks/{webhook_id}": lambda ids: {"json": {"description": "changed"}},
    "POST /webhooks/{webhook_id}/enable": lambda ids: {"json": {"redeliver": True}},
    "POST /webhooks/{webhook_id}/rotate": lambda ids: {"json": {"overlap_hours": 1}},
    "POST /webhooks/{webhook_id}/redeliver": lambda ids: {"json": {"since": "2020-01-01T00:00:00Z"}},
    "POST /webhooks/secret/rotate": lambda ids: {"json": {}},
    "POST /announcements": lambda ids: {"json": {"text": "hello"}},
    "POST /queues/{name}/pause": lambda ids: {"json": {}},
    "PATCH /health/features/cache/apply": lambda ids: {"params": {"dry_run": "true"}},
    "POST /health/features/cache/prewarm": lambda ids: {"json": {}},
    "POST /keys": lambda ids: {"json": {"name": "another", "scopes": ["read"]}},
    "POST /tenants": lambda ids: {"json": {"name": f"new beside {ids['tenant_id']}"}},
    "PATCH /tenants/{tenant_id}": lambda ids: {"json": {"quota": {"parts": 1000}}},
    "POST /tenants/{tenant_id}/keys": lambda ids: {"json": {"scopes": ["read"]}},
}

# Where the owner of everything gets a 404 all the same, and why: no worker runs beside the matrix.
OWN_404 = {"GET /parts/{part_id}/preview.png": "PREVIEW_NOT_FOUND", "GET /parts/{part_id}/preview.svg": "PREVIEW_NOT_FOUND"}

# Streams that do not end: only their head and what comes first are looked at.
ENDLESS = {"GET /live"}


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of the OpenAPI document. `name` is without the version, so that v1 and v2 share their samples."""

    method: str
    path: str
    name: str
    query: tuple[str, ...]
    scope: str  # empty: open to all
    operator: bool
    body: bool

    @property
    def names_somebody(self) -> bool:
        """Whether it can be asked for what is somebody else's."""
        in_path = {PATH[name] for name in re.findall(r"{(\w+)}", self.path)} - SHARED
        told = self.body and str(BODIES[self.name]({name: f"<{name}>" for name in PATH} | {"first": "<1>", "second": "<2>"}))
        return bool(in_path) or any(map(self.named_by, self.query)) or "<" in str(told or "")

    def named_by(self, parameter: str) -> str | None:
        return QUERY.get(f"{self.name} {parameter}", QUERY[parameter])


def routes(document: Mapping[str, Any]) -> Iterator[Route]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            given = operation.get("parameters", [])
            ways = operation.get("security", [])  # each is one set of what is to be shown; the first is the least
            verb = method.upper()
            yield Route(
                verb,
                path,
                f"{verb} {re.sub(r'^/api/v[0-9]+', '', path)}",
                tuple(one["name"] for one in given if one["in"] == "query"),
                ways[0]["ApiKey"][0] if ways else "",
                bool(ways) and "AdminToken" in ways[0],
                "requestBody" in operation,
            )


def forgotten(known: Iterable[Route]) -> list[str]:
    """What the tables above do not say of the routes there are."""
    told = []
    for route in known:
        told += [f"{route.name}: PATH of {name!r}" for name in re.findall(r"{(\w+)}", route.path) if name not in PATH]
        told += [f"{route.name}: QUERY of {name!r}" for name in route.query if name not in QUERY]
        told += [f"{route.name}: BODIES"] if route.body and route.name not in BODIES else []
        told += [f"{route.name}: it asks for no key, and is not OPEN"] if not route.scope and route.name not in OPEN else []
    return told


@dataclass
class World:
    """Two tenants, one of whom has everything; keys of every kind, by what they are."""

    stack: Stack
    mine: Ids = field(default_factory=dict)
    unknown: Ids = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    canaries: set[str] = field(default_factory=set)  # what nobody else may ever read

    def ask(self, route: Route, key: str, ids: Ids, token: str = "", **more: Any) -> httpx2.Response:
        """Ask a route by the name of a key, with somebody's ids where it takes some."""
        how = dict(BODIES[route.name](ids)) if route.body else {}
        query = {name: ids[which] for name in route.query if (which := route.named_by(name))}
        how["params"] = query | how.get("params", {}) | more.pop("params", {})
        headers = ({"X-API-Key": self.keys[key]} if self.keys.get(key) else {}) | ({"X-Admin-Token": token} if token else {})
        path = re.sub(r"{(\w+)}", lambda match: ids[PATH[match[1]]], route.path)
        with self.client.stream(route.method, path, headers=headers | more.pop("headers", {}), **how, **more) as answer:
            if route.name in ENDLESS and answer.is_success:
                return httpx2.Response(answer.status_code, headers=answer.headers, content=next(answer.iter_raw()))
            answer.read()
        return answer

    def __post_init__(self) -> None:
        self.client = httpx2.Client(base_url=self.stack.url, trust_env=False, timeout=60)
        self._operator = {"X-API-Key": self.stack.key, "X-Admin-Token": ADMIN_TOKEN}
        for name in ("mine", "other"):
            self.mine |= {"tenant_id" if name == "mine" else "other_id": self._post("tenants", {"name": f"canary {name}"})["id"]}
        me, other = self.mine["tenant_id"], self.mine["other_id"]
        self.keys |= {"mine": self._key(me, ALL), "other": self._key(other, ALL)}
        for left_out in ALL:
            self.keys[f"mine without {left_out}"] = self._key(me, [scope for scope in ALL if scope != left_out])
        spare, revoked = (self._post(f"tenants/{me}/keys", {"name": "canary", "scopes": ALL}) for _ in range(2))
        assert self.client.delete(f"/api/v1/tenants/{me}/keys/{revoked['id']}", headers=self._operator).status_code == 204
        self.keys |= {
            "none": "",
            "malformed": "nonsense",
            "unknown": self._unknown(spare["key"]),
            "revoked": revoked["key"],
            "expired": self._post(f"tenants/{me}/keys", {"scopes": ALL, "expires_in_days": 1e-9})["key"],
        }
        self.mine["key_id"] = spare["id"]
        self._belongings()
        self.unknown = {name: re.sub("[0-9]", "x", id) if name != "name" else id for name, id in self.mine.items()}
        self.unknown |= {"sha256": "0" * 64, "channel": f"job:{self.unknown['job_id']}"}
        self.canaries = {value for name, value in self.mine.items() if name not in SHARED | {"other_id"}}
        self.canaries |= {"canary mine", "canary.stl", "canary.example", *self.secrets}

    def _belongings(self) -> None:
        """One of everything a tenant can have."""
        mine = {"X-API-Key": self.keys["mine"]}
        files = [("files", ("canary.stl", f"solid {n}\nendsolid\n".encode())) for n in range(3)]
        one, two, three = self.client.post("/api/v1/parts", files=files, headers=mine).json()["parts"]
        self.mine |= {"part_id": one["id"], "first": two["id"], "second": three["id"], "sha256": one["sha256"], "name": "prewarm"}
        for name, kind, given in (
            ("job_id", "extraction", {"parts": [one["id"]]}),
            ("similarity_id", "similarity", {"queries": "all"}),
            ("migration_id", "migration", {"from": "v3", "to": "v4", "selector": {"parts": [one["id"]]}, "dry_run": True, "sample": 1}),
        ):
            self.mine[name] = self._mine("jobs", {"kind": kind, "input": given, "labels": {"canary mine": "x"}})["id"]
        self._mine("reviews", {"reviews": [{"first": two["id"], "second": three["id"], "mark": "ignored", "note": "canary mine"}]}, "PUT")
        schedule = {"name": "canary mine", "cron": "0 0 1 1 *", "job": {"kind": "prewarm", "input": {}}}
        self.mine["schedule_id"] = self._mine("schedules", schedule)["id"]
        self.mine["channel"] = f"job:{self.mine['job_id']}"
        webhook = self._mine("webhooks", {"url": "https://canary.example/mine", "description": "canary mine"})
        self.mine |= {"webhook_id": webhook["id"], "delivery_id": self._mine(f"webhooks/{webhook['id']}/test", {})["id"]}
        self.secrets = {webhook["secret"], self.client.get("/api/v1/webhooks/secret", headers=mine).json()["secret"]}
        url = self.stack.environment["CADMILL_DATABASE_URL"] or f"sqlite:///{self.stack.directory / 'cadmill.db'}"
        ledger = Ledger(url, Settings().database)
        with ledger.write() as tx:
            for _ in range(quarantine.CRASHES_MAX):
                quarantine.crashed(tx, self.mine["tenant_id"], one["sha256"], "1", 3600.0, "upkeep", self.mine["job_id"])
        ledger.close()

    def _post(self, place: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self.client.post(f"/api/v1/{place}", json=body, headers=self._operator)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def _key(self, tenant: str, scopes: Any) -> str:
        return str(self._post(f"tenants/{tenant}/keys", {"scopes": list(scopes)})["key"])

    def _mine(self, place: str, body: dict[str, Any], method: str = "POST") -> dict[str, Any]:
        answer = self.client.request(method, f"/api/v1/{place}", json=body, headers={"X-API-Key": self.keys["mine"]})
        assert answer.is_success, answer.text
        return dict(answer.json())

    @staticmethod
    def _unknown(text: str) -> str:
        """A key in good form whose id nobody has."""
        from ledger.keys import _checksum

        prefix, key_id, secret, _ = text.split("_")
        body = f"{prefix}_{key_id[::-1]}_{secret}"
        return f"{body}_{_checksum(body)}"


_VARYING = re.compile(r"[a-z]+_[0-9a-z]{26}|\d{4}-\d\d-\d\dT[\d:.]+Z?(\+00:00)?|\b[0-9a-z]{26}\b")


def told(answer: httpx2.Response, ids: Ids) -> str:
    """Status and body of an answer, but for the ids that were asked for, other ids and times."""
    text = answer.text
    for value in sorted(ids.values(), key=len, reverse=True):
        text = text.replace(value, "ID")
    return f"{answer.status_code} {_VARYING.sub('ID', text)}"
