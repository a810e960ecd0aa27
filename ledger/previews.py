"""Pictures of files, kept beside them: `files/previews/ab/<sha256>.<engine build>.<kind>`.

The path says all there is to know, so no table holds them; a lost picture is drawn again by a forced extraction.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from foundation.mapping import Provider, failure_of
from foundation.resilience.protection import protect
from ledger.files import FileStore

PNG_SIZES = (128, 512)
SVG = "svg"


def png(size: int) -> str:
    """The kind of the square PNG of `size` pixels."""
    return f"{size}.png"


KINDS = (*map(png, PNG_SIZES), SVG)


def path(store: FileStore, sha256: str, build: str, kind: str) -> Path:
    return store.directory / "previews" / sha256[:2] / f"{sha256}.{build}.{kind}"


def there(store: FileStore, sha256: str, build: str) -> bool:
    """Whether every kind is kept."""
    return all(path(store, sha256, build, kind).is_file() for kind in KINDS)


def keep(store: FileStore, sha256: str, build: str, pictures: Mapping[str, bytes]) -> None:
    """Keep pictures by kind; each is there whole or not at all. Raises STORAGE_FULL, STORAGE_FAILED."""
    for kind, data in pictures.items():
        target = path(store, sha256, build, kind)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _replace(store.incoming, target, data)
        except OSError as error:
            raise failure_of(error, Provider.STORAGE) from error


@protect("files")
def _replace(folder: Path, target: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            # the name alone may get lost with the power; a name without its bytes would stay wrong for ever
            os.fsync(handle)
        os.replace(name, target)
    finally:
        Path(name).unlink(missing_ok=True)


def load(store: FileStore, sha256: str, builds: Iterable[str], kind: str) -> bytes | None:
    """The picture by the first of these engine builds that drew one."""
    drawn = (path(store, sha256, build, kind) for build in builds)
    found = next((file for file in drawn if file.is_file()), None)
    return found.read_bytes() if found else None
