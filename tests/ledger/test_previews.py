"""Pictures beside their files: whole or not at all, by file, engine build and kind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from foundation.errors import Failure
from ledger import previews
from ledger.files import FileStore

SHA = "ab" * 32
PICTURES = {kind: kind.encode() for kind in previews.KINDS}


def test_pictures_are_kept_by_file_build_and_kind_and_leave_nothing_else_behind(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    assert not previews.there(store, SHA, "1")
    previews.keep(store, SHA, "1", PICTURES)
    assert previews.there(store, SHA, "1")
    assert not previews.there(store, SHA, "2")
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {f"files/previews/ab/{SHA}.1.{kind}" for kind in ("128.png", "512.png", "svg")}


def test_the_first_build_that_has_a_picture_answers(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    previews.keep(store, SHA, "1", PICTURES)
    assert previews.load(store, SHA, ["2", "1"], "svg") == b"svg"
    previews.keep(store, SHA, "2", {"svg": b"newer"})
    assert previews.load(store, SHA, ["2", "1"], "svg") == b"newer"
    assert previews.load(store, SHA, ["2", "1"], "128.png") == b"128.png"
    assert previews.load(store, SHA, [], "svg") is None
    assert previews.load(store, "cd" * 32, ["1"], "svg") is None


def test_pictures_are_not_all_there_until_each_kind_is(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    previews.keep(store, SHA, "1", {"svg": b"x"})
    assert not previews.there(store, SHA, "1")


def test_a_full_disk_is_told_and_what_was_there_stays_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileStore(tmp_path)
    previews.keep(store, SHA, "1", PICTURES)

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Failure, match="STORAGE_FULL"):
        previews.keep(store, SHA, "1", {"svg": b"half"})
    assert previews.load(store, SHA, ["1"], "svg") == b"svg"
    assert list(store.incoming.iterdir()) == []
