"""v4 vectors of many files and of variants of them, by two threads, remembered in a folder.

Variants are written by a child process (`writing`), and every file is read as the product reads it, in its sandbox: what kills, hangs
or devours gets a code instead of a vector.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import groupby
from pathlib import Path

from bench.house import ROOT
from bench.quality import exports
from bench.quality.writing import Writer
from foundation.errors import Failure
from foundation.settings import settings
from tasks.vocabulary import FeatureVersion
from workers.cad.sandbox.nursery import Nursery
from workers.cad.sandbox.sandbox import Sandbox

THREADS = 2
_TELL_SECONDS = 15.0
LATE = "not begun in time"


@dataclass(frozen=True, slots=True)
class Found:
    """What came of one file: a vector, or why there is none. `body`: what a boundary representation exactly knows of itself."""

    family: str = ""
    format: str = ""
    vector: tuple[float, ...] = ()
    body: tuple[float, ...] = ()  # area and volume in mm; empty for others
    missing: str = ""


Task = tuple[Path, str]  # a file, and the name of its variant or "" for the file itself
_Unit = list[tuple[Task, Path]]  # all that is asked of one file, and where what came of each is kept


def extracted(tasks: Sequence[Task], cache: Path, until: float = float("inf")) -> list[Found]:
    """What came of each task, in their order; tasks of one file should stand together. What is not begun until that time
    (monotonic seconds) is missing, and not remembered.
    """
    cache.mkdir(parents=True, exist_ok=True)
    engine = _engine()
    files = [cache / f"{_key(task, engine)}.json" for task in tasks]
    todo = [(task, file) for task, file in zip(tasks, files, strict=True) if not file.exists()]
    if todo:
        _Crew(todo, until).work()
    return [_loaded(file) for file in files]


@cache
def _nursery() -> Nursery:
    """One zygote for all threads and runs: starting it takes more than a second."""
    nursery = Nursery(settings())
    atexit.register(nursery.close)
    return nursery


class _Crew:
    """Threads that share a list of files; each has a writer and a child of the sandbox."""

    def __init__(self, todo: Sequence[tuple[Task, Path]], until: float) -> None:
        self._units: Iterator[_Unit] = iter([list(unit) for _, unit in groupby(todo, key=lambda row: row[0][0])])
        self._until = until
        self._total, self._done = len(todo), 0
        self._lock = threading.Lock()
        self._begun = self._told = time.monotonic()

    def work(self) -> None:
        faults: list[BaseException] = []
        with tempfile.TemporaryDirectory(prefix="cadmill-quality-") as folder:
            _nursery()  # before the threads, which would start one each
            threads = [threading.Thread(target=self._thread, args=(Path(folder) / str(at), faults), daemon=True) for at in range(THREADS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        if faults:
            raise faults[0]

    def _thread(self, target: Path, faults: list[BaseException]) -> None:
        try:
            with Writer() as writer:
                while not faults and time.monotonic() < self._until and (unit := self._next()):
                    with Sandbox(_nursery()) as box:
                        for (path, variant), file in unit:
                            _keep(_found(path, variant, writer, target, box), file)
                    self._count(len(unit))
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            faults.append(error)

    def _next(self) -> _Unit | None:
        with self._lock:
            return next(self._units, None)

    def _count(self, more: int) -> None:
        with self._lock:
            self._done += more
            now = time.monotonic()
            if now - self._told >= _TELL_SECONDS or self._done == self._total:
                self._told = now
                print(f"{self._done} of {self._total} vectors, {now - self._begun:.0f} s", file=sys.stderr, flush=True)


def _found(path: Path, variant: str, writer: Writer, target: Path, box: Sandbox) -> Found:
    file = path
    try:
        if variant:
            file = writer.write(path, variant, target)
        result = box.extract(file, file.name, FeatureVersion.V4).result
    except exports.NotApplicable as reason:
        return Found(missing=str(reason))
    except Failure as failure:
        if failure.code == "SANDBOX_UNAVAILABLE":
            raise  # that is no property of the file
        return Found(missing=failure.code)
    finally:
        if variant:
            for written in target.parent.glob(f"{target.name}.*"):
                written.unlink()
    facts = result["facts"]
    body = (facts["area"], facts["volume"]) if "faces" in facts else ()
    return Found(result["family"], result["format"], tuple(result["vector"]), body)


def _keep(found: Found, file: Path) -> None:
    """Whole or not at all: an interrupted run leaves no half of an answer to the next one."""
    part = file.with_suffix(".part")
    part.write_text(json.dumps(asdict(found)))
    part.replace(file)


def _loaded(path: Path) -> Found:
    if not path.exists():
        return Found(missing=LATE)
    row = json.loads(path.read_text())
    return Found(**row | {"vector": tuple(row["vector"]), "body": tuple(row["body"])})


def _key(task: Task, engine: str) -> str:
    path, variant = task
    made = hashlib.sha256(f"{engine}{path.name}/{variant}".encode() + path.read_bytes())
    if variant:
        for module in ("exports", "reexports"):
            made.update(Path(exports.__file__).with_stem(module).read_bytes())
    return made.hexdigest()


def _engine() -> str:
    """A hash of everything that can change a number, which is more than ENGINE_BUILD promises while one works on it."""
    made = hashlib.sha256()
    for folder in ("cad", "features"):
        for path in sorted((ROOT / "workers" / folder).rglob("*.py")):
            made.update(path.read_bytes())
    return made.hexdigest()
