"""v4 vectors of many files and variants, by two processes, remembered in a folder.

A file that kills its process costs one process and gets no vector; so does one that takes longer than a minute.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import exports
from bench.house import ROOT
from foundation.errors import Failure
from foundation.settings import CadSettings
from tasks.vocabulary import FeatureVersion
from workers.features.extraction import extract

PROCESSES = 2
_SECONDS = 60
# a death takes along what its pool was doing: few enough that doing it again, one by one, is quick
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Found:
    """What came of one file: a vector, or why there is none."""

    family: str = ""
    format: str = ""
    vector: tuple[float, ...] = ()
    missing: str = ""


Task = tuple[Path, str]  # a file, and the name of its variant or "" for the file itself


def extracted(tasks: Sequence[Task], cache: Path) -> list[Found]:
    """What came of each task, in their order."""
    cache.mkdir(parents=True, exist_ok=True)
    engine = _engine()
    files = [cache / f"{_key(task, engine)}.json" for task in tasks]
    todo = [at for at, file in enumerate(files) if not file.exists()]
    for start in range(0, len(todo), _BATCH):
        batch = todo[start : start + _BATCH]
        for at, found in zip(batch, _batch([tasks[at] for at in batch]), strict=True):
            files[at].write_text(json.dumps(asdict(found)))
    return [_loaded(file) for file in files]


def _loaded(path: Path) -> Found:
    row = json.loads(path.read_text())
    return Found(**row | {"vector": tuple(row["vector"])})


def _key(task: Task, engine: str) -> str:
    path, variant = task
    made = hashlib.sha256(f"{engine}{path.name}/{variant}".encode() + path.read_bytes())
    if variant:
        made.update(Path(exports.__file__).read_bytes())
    return made.hexdigest()


def _engine() -> str:
    """A hash of everything that can change a number, which is more than ENGINE_BUILD promises while one works on it."""
    made = hashlib.sha256()
    for folder in ("cad", "features"):
        for path in sorted((ROOT / "workers" / folder).glob("*.py")):
            made.update(path.read_bytes())
    return made.hexdigest()


def _batch(tasks: Sequence[Task]) -> list[Found]:
    found = _together(tasks, PROCESSES)
    return [one or _together([task], 1)[0] or Found(missing="process died") for task, one in zip(tasks, found, strict=True)]


def _together(tasks: Sequence[Task], processes: int) -> list[Found | None]:
    """None where the process died, its own or that of a neighbour."""
    with ProcessPoolExecutor(processes) as pool:
        futures: list[Future[Found]] = []
        with contextlib.suppress(BrokenProcessPool):
            for task in tasks:
                futures.append(pool.submit(_work, *task))
        found = [_awaited(future) for future in futures]
    return found + [None] * (len(tasks) - len(found))


def _awaited(future: Future[Found]) -> Found | None:
    try:
        return future.result()
    except BrokenProcessPool:
        return None


def _work(path: Path, variant: str) -> Found:
    os.environ["OMP_NUM_THREADS"] = "1"
    signal.alarm(_SECONDS)  # unhandled on purpose: only the death of the process stops a kernel
    try:
        with tempfile.TemporaryDirectory(prefix="cadmill-quality-") as folder:
            file = exports.write_variant(path, variant, Path(folder) / "variant") if variant else path
            found = extract(file, file.name, FeatureVersion.V4, CadSettings())
    except Failure as failure:
        return Found(missing=failure.code)
    except exports.NotApplicable as reason:
        return Found(missing=str(reason))
    except Exception as error:  # noqa: BLE001 - ezdxf fails in many ways on odd files; each is counted and told
        return Found(missing=f"{type(error).__name__} while {'writing or ' if variant else ''}reading")
    finally:
        signal.alarm(0)
    return Found(found.family.value, found.result["format"], tuple(found.vector))
