"""`cadmill demo`: a stranger sees in a minute what cadmill does, on a stack that is gone afterwards."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from types import FrameType

from api.cli import contact_sheet as page
from api.cli import reporting, show, work
from api.cli.client import Client, key_of
from api.cli.connection import Json
from api.cli.guardian import die_with_parent
from api.cli.receiver import Receiver
from api.cli.selection import choose
from api.cli.up import project_root
from foundation.clock import SYSTEM
from foundation.errors import Failure
from foundation.settings import environment

_READY = "cadmill is ready at "
_STOP_SECONDS = 45.0
_WEBHOOK_SECONDS = 30.0
_FOLDERS = ("dxf", "stl", "step", "iges", "bad")
_RELEASE = re.compile(r"[._-](r\d+|ac\d+|\d{4})[a-z]?\.dxf$", re.IGNORECASE)


def run(contact_sheet: Path) -> int:
    """The whole demo; exit code 0 when everything that should be seen was seen."""
    begun = SYSTEM.tick()
    signal.signal(signal.SIGTERM, _interrupt)
    with tempfile.TemporaryDirectory(prefix="cadmill-demo-") as name:
        folder = Path(name).resolve()
        with _stack(folder) as url, Client(url, key_of(folder)) as client:
            missing = _tour(client, contact_sheet)
        left = left_behind(folder)
    if left:
        missing.append(f"processes were left behind: {', '.join(str(pid) for pid in left)}")
    for sentence in missing:
        show.line(f"missing: {sentence}", "bold red")
    if not missing:
        seconds = SYSTEM.tick() - begun
        show.line(f"\nAll done in {seconds:.0f} s: stack started, parts read, duplicates found, webhook delivered, all stopped.", "green")
        show.line("Next: `cadmill up` keeps a stack running, `cadmill submit FILES... --wait` gives it work.")
    return 1 if missing else 0


def _tour(client: Client, contact_sheet: Path) -> list[str]:
    """Show each thing; gives sentences of what should have been there and was not."""
    missing: list[str] = []
    samples = choose([project_root() / "tests" / "data" / folder for folder in _FOLDERS])
    with Receiver(client.webhook_secret()) as receiver:
        _heading("1. Upload the sample files, good and bad ones")
        parts, refused = work.upload(client, samples)

        _heading("2. Extract features (v4)")
        job = work.extract(client, parts, "v4", previews=True, callback_url=receiver.url)
        ended = work.wait(client, job["id"])
        items = client.items(job["id"])
        work.features_table(items, parts, refused)
        if ended["state"] not in ("succeeded", "partial"):
            missing.append(f"the extraction ended {ended['state']}")

        _heading("3. Find duplicates")
        report = client.duplicates({"job": reporting.compare(client, "v4")})
        reporting.groups_table(report)
        if not any(same_drawing(*names) for names in _together(report)):
            missing.append("the drawing that is there in two DXF versions was not found to be one")

        _heading("4. Receive the webhook of the extraction")
        receipt = receiver.wait(_WEBHOOK_SECONDS)
        if receipt is None:
            missing.append(f"no verified webhook arrived within {_WEBHOOK_SECONDS:g} s")
        else:
            kind, message, when = (show.clean(receipt[name]) for name in ("type", "id", "timestamp"))
            show.line(f"received {kind}, message {message}, of {when}: signature verified")

        _heading("5. Look at the parts")
        if not page.write(contact_sheet, client, parts, items):
            missing.append("the contact sheet has no pictures")
    return missing


def _together(report: Json) -> Iterator[tuple[str, str]]:
    """Names of the parts that are in one group, two by two."""
    for group in report["groups"]:
        yield from combinations([part["name"] for part in group["parts"]], 2)


def same_drawing(first: str, second: str) -> bool:
    """True for `plate.r14.dxf` and `plate.r2010.dxf`: one drawing, saved as two releases of DXF."""
    one, other = _RELEASE.sub("", first), _RELEASE.sub("", second)
    return first != second and one == other and one != first and other != second


@contextmanager
def _stack(folder: Path) -> Iterator[str]:
    """A stack of its own in `folder`, on free ports; gives the address of its API, and stops it whatever happens."""
    variables = environment(
        {
            # a demo must not write into a database or Redis that was configured for real work
            "CADMILL_DATABASE_URL": None,
            "CADMILL_REDIS_URL": None,
            "CADMILL_API_KEY": None,
            "CADMILL_API_URL": None,
            "CADMILL_WEBHOOK_ALLOW_PRIVATE": 1,
        }
    )
    show.line("Starting Redis, database, API, workers, clock and Flower in a temporary folder ...")
    stack = subprocess.Popen(
        [sys.executable, "-m", "api.cli.main", "up", "--dir", str(folder), "--port", "0"],
        env=variables,
        cwd=project_root(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C reaches us alone, and we stop it in order
        preexec_fn=die_with_parent(signal.SIGTERM),
    )
    try:
        yield _address(stack)
        show.line("\nStopping everything ...")
    finally:
        _stop(stack)


def _address(stack: subprocess.Popen[str]) -> str:
    """Read until the stack says it is ready. `up` limits its own start, so this ends."""
    assert stack.stdout is not None
    for text in stack.stdout:
        show.line(f"  {show.clean(text.rstrip())}")
        if text.startswith(_READY):
            return text.removeprefix(_READY).strip()
    raise Failure("PROCESS_FAILED", {"process": "cadmill up", "exit code": stack.wait(timeout=_STOP_SECONDS)})


def _stop(stack: subprocess.Popen[str]) -> None:
    stack.terminate()
    try:
        told, _ = stack.communicate(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        stack.kill()  # its guardian takes the rest
        told, _ = stack.communicate()
    lines: Sequence[str] = told.splitlines()
    show.line(f"  {show.clean(lines[-1])}" if lines else "  (it had ended already)")


def left_behind(folder: Path) -> list[int]:
    """Processes whose environment names this folder as their storage (Linux; elsewhere nothing can be seen)."""
    mark = f"CADMILL_STORAGE_DIRECTORY={folder}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            variables = entry.read_bytes().split(b"\0")
        except (PermissionError, FileNotFoundError, ProcessLookupError):
            continue  # another user's, or gone in between: neither is ours to count
        if mark in variables:
            found.append(int(entry.parent.name))
    return found


def _heading(text: str) -> None:
    show.line(f"\n{text}", "bold cyan")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
