"""Before the first start: bring the database to its newest shape and give the first tenant a key. `python -m api.setup`"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from foundation import production, sealing
from foundation.errors import Failure
from foundation.settings import Settings, settings
from ledger import keys, tenants
from ledger.migrate import migrate
from ledger.session import open_ledger

_FIRST_TENANT = "default"


def prepare(here: Settings) -> Path:
    """Migrate, and make sure that the key file of the first tenant exists; answers where it is."""
    production.check(here)
    directory = here.storage.directory
    directory.mkdir(parents=True, exist_ok=True)
    key_file = directory / "key"
    ledger = open_ledger(here)
    migrate(ledger, sealing.of(here))
    if not key_file.exists():
        with ledger.write() as tx:
            tenant = tenants.find(tx, _FIRST_TENANT) or tenants.add(tx, _FIRST_TENANT)
            key = keys.add(tx, sealing.of(here).pepper(keys.PEPPER), tenant.id, "first").text
        with os.fdopen(os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(key + "\n")
    ledger.close()
    return key_file


if __name__ == "__main__":
    try:
        prepare(settings())
    except Failure as failure:
        sys.exit(f"{failure.code}: {failure.message} {failure.context} {failure.row.remedy}")
