"""Routes of whoever runs the server ask for more than a key."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api import house, problems
from api.auth import TheAdmin
from foundation.sealing import Sealing
from foundation.settings import ApiSettings, DatabaseSettings, ProcessSettings, Settings, StorageSettings
from ledger import keys, tenants
from ledger.migrate import migrate
from ledger.session import Ledger

SECRET = "what keys are kept with, 32 characters and more"
PEPPER = Sealing(SECRET.encode()).pepper(keys.PEPPER)
TOKEN = "a long random text, ä"


@pytest.fixture
def address(tmp_path: Path) -> tuple[str, str]:
    """The address of a database and a key in it."""
    url = f"sqlite:///{tmp_path}/cadmill.db"
    here = Ledger(url, DatabaseSettings())
    migrate(here)
    with here.write() as tx:
        key = keys.add(tx, PEPPER, tenants.add(tx, "default").id).text
    here.close()
    return url, key


@pytest.mark.parametrize(
    ("set_to", "sent", "status", "code"),
    [
        ("", TOKEN, 403, "ADMIN_TOKEN_UNSET"),
        ("", "", 403, "ADMIN_TOKEN_UNSET"),
        (TOKEN, "", 401, "ADMIN_TOKEN_MISSING"),
        (TOKEN, TOKEN[:-1], 403, "ADMIN_TOKEN_UNKNOWN"),
        (TOKEN, TOKEN, 200, None),
    ],
)
def test_only_the_token_that_was_set_opens_an_admin_route(
    address: tuple[str, str], tmp_path: Path, set_to: str, sent: str, status: int, code: str | None
) -> None:
    url, key = address
    app = FastAPI()
    problems.install(app)
    app.state.house = house.build(
        Settings(
            database=DatabaseSettings(url=url),
            storage=StorageSettings(directory=tmp_path),
            process=ProcessSettings.model_validate({"secret": SECRET}),
            api=ApiSettings.model_validate({"admin_token": set_to}),
        )
    )

    @app.get("/admin")
    def answer(admin: TheAdmin) -> str:
        return admin.name

    with TestClient(app) as client:
        told = client.get("/admin", headers={"X-API-Key": key, "X-Admin-Token": sent.encode()})
        assert (told.status_code, told.json() if code is None else told.json()["code"]) == (status, "default" if code is None else code)
        assert client.get("/admin", headers={"X-Admin-Token": TOKEN.encode()}).status_code == 401, "the token alone names no tenant"
    app.state.house.doorbell.close()
    app.state.house.ledger.close()
