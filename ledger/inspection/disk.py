"""Files and previews on disk beside the rows that name them, both walked in bites, and how they are mended."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import exists, select

from ledger.files import FileStore
from ledger.inspection.findings import Finding, Patience
from ledger.parts import in_bites
from ledger.retention import remove_stray
from ledger.rows import files, parts
from ledger.session import Ledger

_BITE = 500
_SHA256 = re.compile(r"[0-9a-f]{64}")


def stored(ledger: Ledger, store: FileStore, deep: bool) -> Iterator[tuple[int, list[Finding]]]:
    """The bytes of every file that a part names: there, of their size and, with `deep`, of their hash. Bites of (files, findings)."""
    named = exists().where(parts.c.sha256 == files.c.sha256, parts.c.deleted_at.is_(None))
    after = ""
    while True:
        with ledger.read() as tx:
            query = select(files.c.sha256, files.c.bytes).where(files.c.sha256 > after, named).order_by(files.c.sha256).limit(_BITE)
            rows = tx.execute(query).all()
        if not rows:
            return
        after = rows[-1].sha256
        yield len(rows), [found for row in rows if (found := _judge(store, row.sha256, row.bytes, deep)) is not None]


def _judge(store: FileStore, sha256: str, size: int, deep: bool) -> Finding | None:
    path = store.path(sha256)
    try:
        found = path.stat().st_size
        if found == size and (not deep or _hash(path) == sha256):
            return None
    except FileNotFoundError:
        return Finding("file_missing", sha256)
    return Finding("file_damaged", sha256, detail={"bytes": size, "found": found, "deep": deep})


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unnamed(ledger: Ledger, store: FileStore, patience: Patience) -> Iterator[tuple[int, list[Finding]]]:
    """What lies on disk and no row names, when it is older than the patience. Bites of (files on disk, findings), a folder each."""
    for kind, top in (("file_unnamed", store.directory), ("preview_of_no_file", store.directory / "previews")):
        for folder in sorted(top.glob("[0-9a-f][0-9a-f]")):
            with os.scandir(folder) as entries:
                here = {entry.name: entry.stat().st_mtime for entry in entries if _SHA256.match(entry.name)}
            with ledger.read() as tx:
                known = set(_known(tx, sorted({name[:64] for name in here})))
                old = tx.clock.now() - patience.left_over
            yield len(here), [Finding(kind, name) for name, written in sorted(here.items()) if name[:64] not in known and written < old]


def _known(tx: Any, hashes: list[str]) -> Iterator[str]:
    for row in in_bites(tx, hashes, lambda bite: select(files.c.sha256).where(files.c.sha256.in_(bite))):
        yield row.sha256


# -- mending -----------------------------------------------------------------------------------------------------------


def _move(old: Path, new: Path) -> None:
    os.replace(old, new)


def set_aside(_ledger: Ledger, store: FileStore, finding: Finding, _patience: Patience) -> bool:
    """Move damaged bytes into `files/damaged`, so that uploading the true ones again heals every part that names them."""
    if _judge(store, finding.subject, finding.detail["bytes"], finding.detail["deep"]) is None:
        return False
    aside = store.directory / "damaged"
    aside.mkdir(exist_ok=True)
    _move(store.path(finding.subject), aside / finding.subject)
    return True


def remove_file(ledger: Ledger, store: FileStore, finding: Finding, patience: Patience) -> bool:
    """Remove a file that no row names, as upkeep does; an upload of the same bytes at this moment gets them back."""
    return remove_stray(ledger, store, finding.subject, ledger.clock.now() - patience.left_over)


def remove_preview(ledger: Ledger, store: FileStore, finding: Finding, _patience: Patience) -> bool:
    with ledger.read() as tx:
        if list(_known(tx, [finding.subject[:64]])):
            return False
    (store.directory / "previews" / finding.subject[:2] / finding.subject).unlink(missing_ok=True)
    return True
