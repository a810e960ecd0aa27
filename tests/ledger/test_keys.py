"""Keys: who they open for, until when, and what is left of them in the database."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

import pytest
from sqlalchemy import event, insert, select

from foundation.errors import Failure
from ledger import keys, prepared, tenants
from ledger.keys import Scope, Uses
from ledger.rows import keys as rows
from tests.ledger.conftest import Desk

PEPPER, DAY = b"p" * 32, 86_400.0


def test_a_key_opens_for_its_tenant_and_nothing_else_does(desk: Desk) -> None:
    with desk.ledger.write() as tx:
        key = keys.add(tx, PEPPER, desk.tenant.id, "shop", {Scope.READ}).text
        other = keys.add(tx, PEPPER, tenants.add(tx, "other").id).text
        found = keys.of_key(tx, PEPPER, key)
        assert (found.id, found.scopes, key.split("_")[1]) == (desk.tenant.id, {"read"}, found.key_id)
        prefix, key_id, secret, _ = key.split("_")
        body = f"{prefix}_{other.split('_')[1]}_{secret}"
        wrong = [
            "", "x", key[:-1], key + "0", key.replace("cadmill", "other"), "cadmill__", "cadmill_unknown_" + "0" * 64, "ä" * 90, "_" * 300,
            f"{prefix}_{key_id}_{secret}",  # the checksum left off
            f"{body}_{keys._checksum(body)}",  # the secret of another key
            key.swapcase(),
        ]  # fmt: skip
        for text in wrong:
            with pytest.raises(Failure, match="API_KEY_UNKNOWN"):
                keys.of_key(tx, PEPPER, text)
        with pytest.raises(Failure, match="API_KEY_UNKNOWN"):
            keys.of_key(tx, b"q" * 32, key)


def test_a_typing_error_is_told_without_a_look_up(desk: Desk) -> None:
    with desk.ledger.write() as tx:
        key = keys.add(tx, PEPPER, desk.tenant.id).text
    asked: list[str] = []
    event.listen(desk.ledger.engine, "before_cursor_execute", lambda *told: asked.append(told[2]))
    prepared.watchers.append(lambda statement, _values: asked.append(statement))
    with desk.ledger.read() as tx:
        before = len(asked)
        for place in (12, 40, 80, len(key) - 1):
            typed = key[:place] + ("0" if key[place] != "0" else "1") + key[place + 1 :]
            with pytest.raises(Failure, match="API_KEY_UNKNOWN"):
                keys.of_key(tx, PEPPER, typed)
        assert len(asked) == before
        keys.of_key(tx, PEPPER, key)
        assert len(asked) == before + 1, "one statement finds a key"
    prepared.watchers.clear()


def test_nothing_in_the_database_opens_a_door(desk: Desk) -> None:
    with desk.ledger.write() as tx:
        text = keys.add(tx, PEPPER, desk.tenant.id).text
        (row,) = tx.execute(select(rows)).all()
    secret = text.split("_")[2]
    dump = repr(row).encode() + bytes(row.secret_hash)
    for trace in (secret.encode(), bytes.fromhex(secret), hashlib.sha256(secret.encode()).digest()):
        assert trace not in dump


def test_a_key_from_before_the_pepper_goes_on_until_it_is_rotated(desk: Desk) -> None:
    secret = secrets.token_hex(32)
    with desk.ledger.write() as tx:
        old = {"id": "old", "tenant_id": desk.tenant.id, "secret_hash": hashlib.sha256(secret.encode()).digest(), "created_at": tx.now}
        tx.execute(insert(rows).values(old))
        found = keys.of_key(tx, PEPPER, f"cadmill_old_{secret}")
        assert (found.id, found.scopes) == (desk.tenant.id, set(Scope))
        new = keys.rotate(tx, PEPPER, desk.tenant.id, "old", 0)
        assert keys.of_key(tx, PEPPER, new.text).key_id == new.id
        with pytest.raises(Failure, match="API_KEY_EXPIRED"):
            keys.of_key(tx, PEPPER, f"cadmill_old_{secret}")
        with pytest.raises(Failure, match="API_KEY_UNKNOWN"):
            keys.of_key(tx, PEPPER, f"cadmill_{new.id}_{new.text.split('_')[2]}")


def test_only_who_holds_the_secret_hears_that_a_key_has_ended(desk: Desk) -> None:
    with desk.ledger.write() as tx:
        expiring = keys.add(tx, PEPPER, desk.tenant.id, expires_at=tx.now + 60)
        revoked = keys.add(tx, PEPPER, desk.tenant.id, expires_at=tx.now + 60)
        keys.revoke(tx, desk.tenant.id, revoked.id)
        keys.revoke(tx, desk.tenant.id, revoked.id)
        assert keys.of_key(tx, PEPPER, expiring.text).key_id == expiring.id
    desk.hand.time += 60
    guess = f"cadmill_{expiring.id}_{'0' * 64}"
    with desk.ledger.read() as tx:
        for text, code in (
            (expiring.text, "API_KEY_EXPIRED"),
            (f"{guess}_{keys._checksum(guess)}", "API_KEY_UNKNOWN"),
            (revoked.text, "API_KEY_UNKNOWN"),
        ):
            with pytest.raises(Failure, match=code):
                keys.of_key(tx, PEPPER, text)


def test_a_rotated_key_lives_beside_its_successor_for_the_overlap_and_no_longer(desk: Desk) -> None:
    tenant = desk.tenant.id
    with desk.ledger.write() as tx:
        old = keys.add(tx, PEPPER, tenant, "shop", {Scope.READ}, tx.now + 30 * DAY)
        new = keys.rotate(tx, PEPPER, tenant, old.id, 7 * DAY)
        successor = keys.get(tx, tenant, new.id, 7)
        assert (successor["name"], successor["scopes"], successor["state"]) == ("shop", ["read"], "active")
        told = keys.get(tx, tenant, old.id, 7)
        assert (told["state"], told["successor_id"]) == ("rotated", new.id)
        with pytest.raises(Failure, match="KEY_ENDED"):
            keys.rotate(tx, PEPPER, tenant, old.id, 0)
    desk.hand.time += 7 * DAY - 1
    with desk.ledger.read() as tx:
        assert {keys.of_key(tx, PEPPER, key.text).key_id for key in (old, new)} == {old.id, new.id}
    desk.hand.time += 1
    with desk.ledger.read() as tx:
        with pytest.raises(Failure, match="API_KEY_EXPIRED") as caught:
            keys.of_key(tx, PEPPER, old.text)
        assert caught.value.context["successor"] == new.id
        assert keys.of_key(tx, PEPPER, new.text).key_id == new.id
    desk.hand.time += 23 * DAY
    with desk.ledger.read() as tx, pytest.raises(Failure, match="API_KEY_EXPIRED"):
        keys.of_key(tx, PEPPER, new.text)  # a rotation makes no key live longer


def test_a_key_hints_at_rotation_from_the_seventh_day_on(desk: Desk) -> None:
    with desk.ledger.write() as tx:
        key = keys.add(tx, PEPPER, desk.tenant.id).id
    for seconds, hinted in ((0.0, False), (7 * DAY - 1, False), (1.0, True), (30 * DAY, True)):
        desk.hand.time += seconds
        with desk.ledger.read() as tx:
            hint = keys.get(tx, desk.tenant.id, key, 7)["next_rotation_hint"]
        assert (hint is not None) is hinted
    assert f"/api/v1/keys/{key}/rotate" in hint
    with desk.ledger.write() as tx:
        keys.revoke(tx, desk.tenant.id, key)
        assert keys.get(tx, desk.tenant.id, key, 7)["next_rotation_hint"] is None


def test_a_tenant_finds_lists_and_ends_its_own_keys_only(desk: Desk) -> None:
    with desk.ledger.write() as tx:
        mine = keys.add(tx, PEPPER, desk.tenant.id).id
        other = tenants.add(tx, "other")
        theirs = keys.add(tx, PEPPER, other.id).id
        assert [key["id"] for key in keys.page(tx, other.id, 10, None, 7)] == [theirs]
        for verb in (keys.revoke, lambda *asked: keys.rotate(asked[0], PEPPER, *asked[1:], 0), lambda *asked: keys.get(*asked, 7)):
            with pytest.raises(Failure, match="KEY_NOT_FOUND"):
                verb(tx, other.id, mine)


def test_a_disabled_tenant_is_told_so_and_let_in_again(desk: Desk) -> None:
    with desk.ledger.write() as tx:
        key = keys.add(tx, PEPPER, desk.tenant.id).text
        tenants.change(tx, desk.tenant.id, disabled=True)
        with pytest.raises(Failure, match="TENANT_DISABLED"):
            keys.of_key(tx, PEPPER, key)
    with pytest.raises(Failure, match="TENANT_DISABLED"):
        desk.add(1)
    with desk.ledger.write() as tx:
        tenants.change(tx, desk.tenant.id, disabled=False)
        assert keys.of_key(tx, PEPPER, key).id == desk.tenant.id
    desk.add(1)


def test_the_use_of_a_key_is_written_once_a_minute_by_however_many_processes(desk: Desk) -> None:
    with desk.ledger.write() as tx:
        key = keys.add(tx, PEPPER, desk.tenant.id).id
    written: list[Any] = []
    event.listen(desk.ledger.engine, "after_cursor_execute", lambda *told: written.append(told[1].rowcount) if "keys" in told[2] else None)
    processes = [Uses(), Uses()]
    for _ in range(120):
        desk.hand.time += 1
        for process in processes:
            process.note(key, desk.hand.time)
            process.write(desk.ledger)
    assert sum(written) == 2
    desk.hand.time += 60
    assert processes[0].write(desk.ledger) == 1
    with desk.ledger.read() as tx:
        told = tx.execute(select(rows.c.last_used_at)).scalar_one()
    assert desk.hand.time - 120 < told <= desk.hand.time - 60, "right to the minute"


def test_a_use_that_could_not_be_written_is_written_later(desk: Desk) -> None:
    uses = Uses()
    uses.note("gone", desk.hand.time)
    event.listen(desk.ledger.engine, "before_cursor_execute", refuse := lambda *_told: (_ for _ in ()).throw(RuntimeError))
    with pytest.raises(RuntimeError):
        uses.write(desk.ledger)
    event.remove(desk.ledger.engine, "before_cursor_execute", refuse)
    assert uses.write(desk.ledger) == 1
