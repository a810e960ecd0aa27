"""Bytes by their hash: whole or not at all."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from foundation.errors import Failure
from ledger.files import FileStore


def test_a_file_is_kept_under_its_hash_and_twice_is_once(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    for _ in range(2):
        with store.receive(100) as incoming:
            incoming.write(b"a part ")
            incoming.write(b"in two pieces")
            sha256 = incoming.keep()
    assert sha256 == hashlib.sha256(b"a part in two pieces").hexdigest()
    assert store.path(sha256).read_bytes() == b"a part in two pieces"
    assert list(store.incoming.iterdir()) == []


def test_what_is_not_kept_is_gone(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    with pytest.raises(RuntimeError), store.receive(100) as incoming:
        incoming.write(b"half")
        raise RuntimeError("the client went away")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_file_past_its_limit_is_refused_while_it_comes_in(tmp_path: Path) -> None:
    with FileStore(tmp_path).receive(10) as incoming:
        incoming.write(b"0123456789")
        with pytest.raises(Failure, match="FILE_TOO_LARGE"):
            incoming.write(b"x")


def test_uploads_abandoned_by_a_dead_process_are_swept(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    old, young = store.incoming / "old", store.incoming / "young"
    old.write_bytes(b"x")
    young.write_bytes(b"x")
    os.utime(old, (0, 0))
    assert store.sweep() == 1
    assert young.exists()
    assert not old.exists()
