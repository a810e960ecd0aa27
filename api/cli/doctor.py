"""`cadmill doctor`: what a stack needs on this machine, and whether one answers. `store_doctor.py` looks into its store."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from api.cli import show
from api.cli.client import Client
from api.cli.connection import ApiError
from api.cli.redis_server import find_binary
from api.cli.up import project_root
from foundation.errors import Failure
from foundation.settings import environment, settings

_ROOM_BYTES = 1_000_000_000


def examine(directory: Path, url: str, key: str) -> bool:
    """Print one line a check; True when nothing is wrong."""
    checks: list[tuple[str, Callable[[], str]]] = [
        ("python", _python),
        ("project", lambda: _project(project_root())),
        ("settings", lambda: f"{sum(1 for _ in settings().table())} settings are valid"),
        ("walls", lambda: _walls(project_root())),
        ("redis", _redis),
        ("directory", lambda: _directory(directory)),
        ("api", lambda: _api(url, key)),
    ]
    fine = [_told(name, check) for name, check in checks]
    return all(fine)


def _told(name: str, check: Callable[[], str]) -> bool:
    try:
        show.line(f"ok    {name}: {check()}", "green")
        return True
    except (Failure, ApiError) as error:
        remedy = error.row.remedy if isinstance(error, Failure) else error.remedy
        context = "; ".join(f"{field}: {show.clean(value)}" for field, value in error.context.items())
        show.line(f"wrong {name}: {show.clean(error.message)} ({context}) {remedy}", "red")
        return False


def _python() -> str:
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        raise Failure("CONFIG_INVALID", {"python": platform.python_version()}, "cadmill runs on Python 3.11 to 3.13.")
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def _project(root: Path) -> str:
    if not (root / "celeryconfig.py").is_file():
        raise Failure("CONFIG_INVALID", {"tasks": str(root / "tasks")}, "Another package named `tasks` hides cadmill's.")
    return str(root)


def _walls(root: Path) -> str:
    # asked of a process of its own: the doors may not import the engine
    asked = [sys.executable, "-m", "workers.cad.sandbox.walls"]
    told = subprocess.run(asked, cwd=root, capture_output=True, text=True, timeout=60, check=False)
    if told.returncode:
        raise Failure("SANDBOX_WEAK", {"missing": (told.stdout or told.stderr).strip()[-500:]})
    return f"around the engine {told.stdout.strip()}"


def _redis() -> str:
    if "CADMILL_REDIS_URL" in environment({}):
        return "CADMILL_REDIS_URL names one"
    return f"`cadmill up` would start {find_binary()}"


def _directory(directory: Path) -> str:
    place = directory.absolute()
    while not place.exists():
        place = place.parent
    if shutil.disk_usage(place).free < _ROOM_BYTES:
        raise Failure("STORAGE_FULL", {"directory": str(place), "free": f"{shutil.disk_usage(place).free / 1e6:.0f} MB"})
    return f"{directory.absolute()}, {shutil.disk_usage(place).free / 1e9:.0f} GB free"


def _api(url: str, key: str) -> str:
    with Client(url, key) as client:
        client.jobs(None, None, 1)
    return f"{url} answers and knows the key"
