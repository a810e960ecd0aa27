"""What of the trail lies outside of the database: anchors and sinks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import text

from foundation.sealing import Sealing
from foundation.settings import AuditSettings, Settings, StorageSettings
from ledger import audit
from ledger.session import Ledger
from ledger.trail import anchors, letting_go, proving, reading
from ledger.trail.anchors import AnchorFile, Signer
from ledger.trail.sinks import FileSink, MemorySink, hand_over
from tasks import trail
from tests.ledger.trail.test_chain import tell

SIGNER = Signer(Sealing(b"s" * 32))


def heads(ledger: Ledger) -> dict[str, object]:
    with ledger.read() as tx:
        return {chain: head for chain, (head, _floor) in reading.ends(tx).items()}


def test_heads_that_moved_are_anchored_and_no_more_often_than_asked(ledger: Ledger, tmp_path: Path) -> None:
    file = tmp_path / "outside" / "anchors.jsonl"
    first, second = AnchorFile(file, SIGNER), AnchorFile(file, SIGNER)  # two processes
    tell(ledger)
    tell(ledger, "ten_b")
    assert first.write(heads(ledger), 1000.0, 60.0) == 2  # type: ignore[arg-type]
    assert second.write(heads(ledger), 2000.0, 60.0) == 0, "nothing moved"  # type: ignore[arg-type]
    tell(ledger)
    assert second.write(heads(ledger), 1059.0, 60.0) == 0, "not yet"  # type: ignore[arg-type]
    assert second.write(heads(ledger), 1060.0, 60.0) == 1  # type: ignore[arg-type]
    with file.open("a") as torn:
        torn.write('{"at": "half a li')
    tell(ledger)
    assert first.write(heads(ledger), 1120.0, 60.0) == 1, "what a crash cut off is taken away"  # type: ignore[arg-type]
    known = anchors.read(file, SIGNER.key)
    assert (known.lines, known.breaks) == (3, [])
    verdict = proving.prove(ledger, anchors=known)
    assert verdict.whole
    assert verdict.anchors == 4


@pytest.fixture
def anchored(ledger: Ledger, tmp_path: Path) -> Path:
    file = tmp_path / "anchors.jsonl"
    for now in range(3):
        tell(ledger, times=2)
        AnchorFile(file, SIGNER).write(heads(ledger), 1000.0 + now, 0.0)  # type: ignore[arg-type]
    return file


@pytest.mark.parametrize(
    ("tamper", "expected"),
    [
        (lambda lines: [lines[0], lines[2]], [("anchor_missing", 2)]),
        (lambda lines: [lines[0], lines[1].replace('"at":"1970', '"at":"1971'), lines[2]], [("anchor_forged", 2), ("anchor_missing", 3)]),
        (lambda lines: ["{}", *lines], [("anchor_forged", 1)]),
        (lambda lines: [Signer(Sealing(b"t" * 32)).line(1.0, {}, "0" * 64)], [("anchor_forged", 1)]),
    ],
)
def test_an_anchor_file_that_was_changed_is_found(anchored: Path, tamper: object, expected: list[tuple[str, int]]) -> None:
    lines = anchored.read_text().splitlines()
    anchored.write_text("".join(f"{line}\n" for line in tamper(lines)))  # type: ignore[operator]
    assert [(one.kind, one.number) for one in anchors.read(anchored, SIGNER.key).breaks] == expected


def test_an_anchor_finds_a_chain_that_was_removed_as_a_whole(ledger: Ledger, anchored: Path) -> None:
    with ledger.engine.begin() as on:
        if on.dialect.name == "sqlite":
            for name in on.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").scalars().all():
                on.exec_driver_sql(f"DROP TRIGGER {name}")
        else:
            on.exec_driver_sql("ALTER TABLE audit DISABLE TRIGGER USER; ALTER TABLE audit_heads DISABLE TRIGGER USER")
        on.execute(text("DELETE FROM audit"))
        on.execute(text("DELETE FROM audit_heads"))
    found = proving.prove(ledger, anchors=anchors.read(anchored, SIGNER.key)).breaks
    assert [(one.kind, one.number, one.through) for one in found] == [("cut", 1, 6)]


def test_a_file_gets_every_line_once_whoever_writes_and_whatever_was_cut_off(ledger: Ledger, tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    tell(ledger, times=3)
    assert hand_over(ledger, FileSink(file)) == 3
    with file.open("a") as torn:
        torn.write('{"chain": "ten_a", "num')
    tell(ledger, times=2)
    tell(ledger, "ten_b")
    again = FileSink(file)  # a restart
    assert hand_over(ledger, again) == 3
    assert hand_over(ledger, again) == 0
    tell(ledger)
    assert hand_over(ledger, FileSink(file)) == 1
    assert hand_over(ledger, again) == 0
    verdict = proving.prove_lines(file.read_text().splitlines())
    assert (verdict.whole, verdict.lines) == (True, 7)


def test_a_sink_that_comes_late_begins_at_the_floor(ledger: Ledger) -> None:
    tell(ledger, times=3)
    with ledger.write() as tx:
        assert letting_go.raise_floor(tx, "ten_a", tx.now + 1) == 3
    with ledger.write() as tx:
        letting_go.drop(tx)
    sink = MemorySink()
    assert hand_over(ledger, sink) == 1
    assert "floor" in json.loads(sink.lines[0])
    assert proving.prove_lines(sink.lines).whole


def test_the_clock_writes_both_files_and_a_full_disk_does_not_stop_it(ledger: Ledger, tmp_path: Path) -> None:
    tell(ledger)
    outside = AuditSettings(file=tmp_path / "audit.jsonl", anchor_file=tmp_path / "anchors.jsonl")
    settings = Settings().model_copy(update={"audit": outside, "storage": StorageSettings(directory=tmp_path)})
    trail.tell_outside(ledger, settings)
    trail.tell_outside(ledger, settings)
    assert len((tmp_path / "audit.jsonl").read_text().splitlines()) == 1
    assert len((tmp_path / "anchors.jsonl").read_text().splitlines()) == 1
    (tmp_path / "no folder").write_text("")
    trail.tell_outside(ledger, settings.model_copy(update={"audit": AuditSettings(file=tmp_path / "no folder" / "x")}))
    with ledger.write() as tx:
        audit.record(tx, "ten_a", "somebody", "thing.done", "goes on")
