"""A gallery on disk, so that a new process need not ask the ledger for all of it: made only by us, checked before use, never trusted.

Under `index/` of the storage directory: a header in JSON that names plain .npy files with the SHA-256 of each. Data is written under names
of its own, then the header takes the place of the one before, so a reader finds a whole snapshot or none. Nothing is unpickled.
Whatever is not as it was written is an `IndexFailure` "corruption", and the gallery is read from the ledger instead.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ledger.epochs import Shelf
from tasks.vocabulary import Family
from workers.index.contract import Floats32, IndexFailure
from workers.index.places import KEY, Keys

FORMAT = 1
_HEADER_BYTES = 65_536
_ABANDONED_SECONDS = 24 * 3600.0
_UNUSED_SECONDS = 30 * 24 * 3600.0
_DTYPES = {"keys": KEY, "rows": np.dtype("<f4")}

Content = Mapping[Family, tuple[Keys, Floats32]]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Keys, ascending, and their rows by family, as of a number. Both are mapped, written to they stay with this process."""

    number: int
    content: Content


def header(directory: Path, shelf: Shelf) -> Path:
    """Where the header of a shelf is, or would be."""
    name = hashlib.sha256("/".join(shelf).encode()).hexdigest()[:32]
    return directory / "index" / f"{name}.json"


def save(directory: Path, shelf: Shelf, width: int, number: int, content: Content) -> None:
    """Keep a gallery. Raises OSError where the disk does not take it."""
    target = header(directory, shelf)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    before = _files(target)
    mark, families = uuid.uuid4().hex, {}
    for family, (keys, rows) in content.items():
        written = {name: _write(target, f"{family.value}.{name}.{mark}", array) for name, array in (("keys", keys), ("rows", rows))}
        families[family.value] = {"count": len(keys), **written}
    told = {"format": FORMAT, **shelf._asdict(), "number": number, "width": width, "families": families}
    part = target.with_suffix(f".{mark}.part")
    with part.open("w", encoding="utf-8") as stream:
        json.dump(told, stream)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(part, target)
    _tidy(target, before - _files(target))
    for other in target.parent.glob("*.json"):  # of tenants, versions and builds that nobody has asked for
        with suppress(FileNotFoundError):  # somebody else was faster
            if time.time() - other.stat().st_mtime > _UNUSED_SECONDS:
                _discard(other)


def load(directory: Path, shelf: Shelf, width: int) -> Snapshot | None:
    """The snapshot of a shelf, or None if there is none. Raises `IndexFailure` "corruption"."""
    source = header(directory, shelf)
    try:
        with source.open("rb") as stream:
            told = json.loads(stream.read(_HEADER_BYTES))
        if told["format"] != FORMAT:
            return None  # of another release of ours
        wanted = {**shelf._asdict(), "width": width}
        if {name: told[name] for name in wanted} != wanted:
            raise IndexFailure("corruption", "the header is of another shelf or width")
        content = {Family(name): _read(source, told["families"][name], width) for name in told["families"]}
        os.utime(source)
        return Snapshot(int(told["number"]), content)
    except FileNotFoundError as error:
        if not source.exists():
            return None
        raise IndexFailure("corruption", "a file is missing") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise IndexFailure("corruption", f"{type(error).__name__}: {error}"[:200]) from error


def discard(directory: Path, shelf: Shelf) -> None:
    """Forget the snapshot of a shelf."""
    _discard(header(directory, shelf))


def _discard(target: Path) -> None:
    files = _files(target)
    target.unlink(missing_ok=True)
    _tidy(target, files)


def _write(target: Path, name: str, array: Keys | Floats32) -> dict[str, str]:
    path = target.with_suffix(f".{name}.npy")
    with path.open("wb") as stream:
        np.save(stream, array, allow_pickle=False)
        stream.flush()
        os.fsync(stream.fileno())
    return {"file": path.name, "sha256": _digest(path)}


def _read(source: Path, told: dict[str, Any], width: int) -> tuple[Keys, Floats32]:
    arrays: dict[str, Any] = {}
    for name, shape in (("keys", (told["count"],)), ("rows", (told["count"], width))):
        path = source.with_name(Path(told[name]["file"]).name)
        if not path.name.startswith(f"{source.stem}."):
            raise IndexFailure("corruption", "the header names a file that is none of its own")
        if _digest(path) != told[name]["sha256"]:
            raise IndexFailure("corruption", f"{name} are not as they were written")
        arrays[name] = np.load(path, mmap_mode="c", allow_pickle=False) if told["count"] else np.load(path, allow_pickle=False)
        if arrays[name].dtype != _DTYPES[name] or arrays[name].shape != shape:
            raise IndexFailure("corruption", f"{name} have another shape")
    keys, rows = np.asarray(arrays["keys"]), np.asarray(arrays["rows"])
    if not (keys[:-1] < keys[1:]).all():
        raise IndexFailure("corruption", "keys are not in their order")
    return keys, rows


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _files(target: Path) -> set[str]:
    """The files that a header names; none if it cannot be read."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        told = json.loads(target.read_text(encoding="utf-8"))
        return {str(family[name]["file"]) for family in told["families"].values() for name in _DTYPES}
    return set()


def _tidy(target: Path, replaced: set[str]) -> None:
    """Remove what was replaced, and what a process that died left behind. Who has it mapped keeps it."""
    here = _files(target)
    for path in target.parent.glob(f"{target.stem}.*"):
        with suppress(OSError):
            old = time.time() - path.stat().st_mtime > _ABANDONED_SECONDS
            if path != target and path.name not in here and (path.name in replaced or old):
                path.unlink()
