"""Which files a command means: folders walked, known extensions picked, batches cut."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

EXTENSIONS = frozenset({".dxf", ".stl", ".step", ".stp", ".iges", ".igs", ".zip", ".stpz"})
BATCH_FILES = 200
BATCH_BYTES = 50_000_000


@dataclass(frozen=True, slots=True)
class Chosen:
    """A file to send, under the name it shall have."""

    path: Path
    name: str
    size: int


def choose(paths: Sequence[Path]) -> list[Chosen]:
    """Files as they are, whatever their extension; of folders every file below with a known one, hidden folders left out."""
    chosen: dict[Path, Chosen] = {}
    for path in paths:
        for file in _below(path) if path.is_dir() else [path]:
            chosen.setdefault(file.absolute(), Chosen(file, file.name, file.stat().st_size))
    return list(chosen.values())


def _below(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(place, name)
            if path.suffix.lower() in EXTENSIONS and path.is_file():
                yield path


def batches(chosen: Sequence[Chosen]) -> Iterator[list[Chosen]]:
    """Cut into upload requests of at most 200 files or 50 MB; a larger file travels alone."""
    batch: list[Chosen] = []
    size = 0
    for file in chosen:
        if batch and (len(batch) == BATCH_FILES or size + file.size > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.size
    if batch:
        yield batch
