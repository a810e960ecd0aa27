"""Keys, tenants and quotas as their users meet them: over HTTP, and on the command line."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from click.testing import Result
from typer.testing import CliRunner

from api.cli.main import app
from tests.api.conftest import ADMIN_TOKEN
from tests.api.test_parts import assert_problem
from tests.stack import Stack

ADMIN = {"X-Admin-Token": ADMIN_TOKEN}


class Asker:
    """HTTP with one key."""

    def __init__(self, stack: Stack, key: str, **headers: str) -> None:
        self._headers = {"X-API-Key": key, **headers}
        self._url = f"{stack.url}/api/v1"

    def __call__(self, method: str, place: str, **how: Any) -> httpx2.Response:
        return httpx2.request(method, self._url + place, headers=self._headers, trust_env=False, timeout=60, **how)


def new_tenant(stack: Stack, name: str, *scopes: str, **quota: int) -> tuple[str, Asker]:
    """A tenant, and somebody with a key of it."""
    added = stack.http.post("/api/v1/tenants", json={"name": name, "quota": quota}, headers=ADMIN)
    assert added.status_code == 201, added.text
    made = stack.http.post(
        f"/api/v1/tenants/{added.json()['id']}/keys", json={"scopes": scopes or ["read", "submit", "admin"]}, headers=ADMIN
    )
    return added.json()["id"], Asker(stack, made.json()["key"])


def test_a_key_lives_from_the_making_over_the_rotation_to_the_end(stack: Stack) -> None:
    _, ask = new_tenant(stack, "life of a key")
    made = ask("POST", "/keys", json={"name": "shop", "scopes": ["read"], "expires_in_days": 30})
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    shop = Asker(stack, made.json()["key"])
    told = shop("GET", "/keys/self").json()
    assert (told["id"], told["scopes"], told["state"], told["tenant"]["name"]) == (made.json()["id"], ["read"], "active", "life of a key")
    assert "key" not in told
    assert_problem(shop("POST", "/jobs", json={"kind": "probe", "input": {}}), 403, "SCOPE_MISSING")
    assert_problem(shop("GET", "/keys"), 403, "SCOPE_MISSING")

    rotated = ask("POST", f"/keys/{told['id']}/rotate", params={"overlap_days": 1})
    assert rotated.json()["expires_at"] == made.json()["expires_at"], "a rotation makes nothing live longer"
    successor = Asker(stack, rotated.json()["key"])
    assert [one("GET", "/keys/self").status_code for one in (shop, successor)] == [200, 200]
    assert_problem(ask("POST", f"/keys/{told['id']}/rotate"), 409, "KEY_ENDED")
    again = ask("POST", f"/keys/{rotated.json()['id']}/rotate", params={"overlap_days": 0}).json()
    assert_problem(successor("GET", "/keys/self"), 401, "API_KEY_EXPIRED")

    last = Asker(stack, again["key"])
    assert ask("DELETE", f"/keys/{again['id']}").status_code == 204
    assert_problem(last("GET", "/keys/self"), 401, "API_KEY_UNKNOWN")
    assert [one["state"] for one in ask("GET", "/keys").json()["keys"]] == ["revoked", "expired", "rotated", "active"]


def test_nobody_makes_a_key_that_can_do_more_than_their_own(stack: Stack) -> None:
    tenant, ask = new_tenant(stack, "modest", "read", "admin")
    other = stack.http.post(f"/api/v1/tenants/{tenant}/keys", json={"scopes": ["submit"]}, headers=ADMIN).json()
    assert_problem(ask("POST", "/keys", json={"scopes": ["read", "submit"]}), 403, "SCOPE_MISSING")
    assert_problem(ask("POST", f"/keys/{other['id']}/rotate"), 403, "SCOPE_MISSING")
    short = Asker(stack, ask("POST", "/keys", json={"scopes": ["read", "admin"], "expires_in_days": 2}).json()["key"])
    ends = short("GET", "/keys/self").json()["expires_at"]
    for asked in ({"scopes": ["read"]}, {"scopes": ["read"], "expires_in_days": 90}):
        assert short("POST", "/keys", json=asked).json()["expires_at"] == ends
    assert_problem(ask("POST", "/keys", json={"scopes": ["everything"]}), 422, "REQUEST_INVALID")
    assert_problem(ask("POST", "/keys", json={"scopes": []}), 422, "REQUEST_INVALID")


def test_a_disabled_tenant_is_out_at_once_and_in_again(stack: Stack) -> None:
    tenant, ask = new_tenant(stack, "late with the rent")
    for disabled, status in ((True, 403), (False, 200)):
        assert stack.http.patch(f"/api/v1/tenants/{tenant}", json={"disabled": disabled}, headers=ADMIN).status_code == 200
        assert ask("GET", "/parts").status_code == status
    own = stack.http.patch(f"/api/v1/tenants/{stack.tenant_id}", json={"disabled": True}, headers=ADMIN)
    assert_problem(own, 422, "REQUEST_INVALID")
    assert_problem(stack.http.post("/api/v1/tenants", json={"name": "late with the rent"}, headers=ADMIN), 409, "TENANT_NAME_TAKEN")


def test_a_quota_refuses_with_what_is_used_and_lets_in_again_when_there_is_room(stack: Stack) -> None:
    tenant, ask = new_tenant(stack, "frugal", parts=2, bytes=1000)

    def upload(*contents: bytes) -> httpx2.Response:
        return ask("POST", "/parts", files=[("files", (f"{n}.stl", content)) for n, content in enumerate(contents)])

    first = upload(b"a" * 400, b"b" * 400)
    assert first.status_code == 201
    refused = assert_problem(upload(b"c"), 409, "QUOTA_EXCEEDED")
    assert refused["context"] == {"quota": "parts", "used": 2, "asked": 1, "limit": 2}
    assert ask("DELETE", f"/parts/{first.json()['parts'][0]['id']}").status_code == 204
    refused = assert_problem(upload(b"c" * 601), 409, "QUOTA_EXCEEDED")
    assert refused["context"] == {"quota": "bytes", "used": 400, "asked": 601, "limit": 1000}
    assert upload(b"c" * 600).status_code == 201
    usage = {"bytes": {"used": 1000, "limit": 1000}, "parts": {"used": 2, "limit": 2}, "jobs": {"used": 0, "limit": None}}
    assert ask("GET", "/usage").json()["usage"] == usage
    raised = stack.http.patch(f"/api/v1/tenants/{tenant}", json={"quota": {"parts": 0, "jobs": 1}}, headers=ADMIN).json()
    assert raised["quota"] == {"bytes": 1000, "parts": 0, "jobs": 1}
    late = {"kind": "probe", "input": {}, "run_after": 4_000_000_000}
    job = ask("POST", "/jobs", json=late)
    assert_problem(ask("POST", "/jobs", json=late), 409, "QUOTA_EXCEEDED")
    assert ask("POST", f"/jobs/{job.json()['id']}/cancel").status_code == 200
    assert ask("POST", "/jobs", json=late).status_code == 202


def test_an_old_key_is_hinted_at_in_every_answer(stack: Stack) -> None:
    with stack.as_tenant("old hand") as old:
        assert "x-next-rotation-hint" not in old.http.get("/api/v1/parts").headers
        _alter(stack, "UPDATE keys SET created_at = created_at - 7 * 86400 WHERE id = ?", old.key.split("_")[1])
        hint = old.http.get("/api/v1/parts").headers["x-next-rotation-hint"]
        assert old.http.get("/api/v1/keys/self").json()["next_rotation_hint"] == hint
        assert "rotated 7 days ago" in hint


def _alter(stack: Stack, statement: str, *values: str) -> None:
    import sqlite3

    with sqlite3.connect(stack.directory / "cadmill.db", timeout=30) as connection:
        connection.execute(statement, values)
    connection.close()


def cadmill(stack: Stack, *words: str, key: str = "", operator: bool = False) -> Result:
    """The command line, in this process: a start of its own would cost more than all it asks for."""
    where = ["--url", stack.url, "--key", key or stack.key, *(["--admin-token", ADMIN_TOKEN] if operator else [])]
    return CliRunner().invoke(app, [*words, *where])


def test_the_command_line_adds_a_tenant_and_keeps_its_keys(stack: Stack) -> None:
    added = cadmill(stack, "tenants", "add", "by hand", "--jobs", "7", operator=True)
    assert "cadmill keys create --tenant" in added.stdout
    made = cadmill(stack, "keys", "create", "--tenant", "by hand", "--scope", "read", "--scope", "admin", "--quiet", operator=True)
    key = made.stdout.strip()
    assert "jobs   0     7" in cadmill(stack, "usage", key=key).stdout
    new = cadmill(stack, "keys", "rotate", key.split("_")[1], "--overlap-days", "0", "--quiet", key=key).stdout.strip()
    assert getattr(cadmill(stack, "keys", "list", key=key).exception, "code", "") == "API_KEY_EXPIRED"
    listed = cadmill(stack, "keys", "list", key=new).stdout
    assert key.split("_")[2] not in listed
    assert "expired" in listed
    assert "revoked" in cadmill(stack, "keys", "revoke", new.split("_")[1], "--tenant", "by hand", operator=True).stdout
    assert "disabled" in cadmill(stack, "tenants", "disable", "by hand", operator=True).stdout
    assert cadmill(stack, "tenants", "quota", "by hand", "--parts", "many", operator=True).exit_code == 2


def test_whoever_has_the_machine_but_no_key_makes_one(stack: Stack) -> None:
    here = cadmill(stack, "keys", "create", "--local", "--quiet", "--dir", str(stack.directory))
    assert Asker(stack, here.stdout.strip())("GET", "/keys").status_code == 200
    nowhere = cadmill(stack, "keys", "create", "--local", "--dir", str(stack.directory / "nowhere"))
    assert getattr(nowhere.exception, "code", "") == "STORE_NOT_FOUND"


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 256])
def test_a_tenant_needs_a_name_that_can_be_read(stack: Stack, name: str) -> None:
    assert_problem(stack.http.post("/api/v1/tenants", json={"name": name}, headers=ADMIN), 422, "REQUEST_INVALID")
