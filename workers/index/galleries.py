"""The galleries of a worker process: made when first asked for, as new as the ledger at each use, the least recently used ones leave."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from foundation.engine_settings import IndexSettings
from foundation.telemetry import GalleryMade, emit, logger
from ledger import epochs
from ledger.epochs import Change, Shelf
from ledger.session import Ledger
from tasks.vocabulary import Family, FeatureVersion
from workers.index import snapshot
from workers.index.approximate import ApproximateIndex
from workers.index.contract import Index, IndexFailure
from workers.index.exact import ExactIndex
from workers.index.gallery import Content, Gallery, NewIndex, Space
from workers.index.health import Health
from workers.index.pgvector import PgvectorIndex
from workers.index.serving import index_for

_DRIFT = 0.1  # share of a gallery that may change before its snapshot is written anew


def engine(settings: IndexSettings, ledger: Ledger, health: Health) -> NewIndex:
    """What CADMILL_INDEX_ENGINE names; where faiss fails the exact one serves. Raises PGVECTOR_MISSING without pgvector."""

    def new(shelf: Shelf, space: Space, slots: int, content: Content) -> Index:
        def exact() -> Index:
            return filled(ExactIndex(slots), content)

        if settings.engine == "exact":
            return exact()
        if settings.engine == "approximate":
            return index_for(health, lambda: filled(ApproximateIndex(slots, settings.flat_max), content), exact)
        words = (space.family.value, "sized" if space.sized else "unsized", "stable" if space.stable else "all")
        return PgvectorIndex(ledger, "/".join((*shelf, *words)), slots, settings.hnsw_above)

    return new


def filled(index: Index, content: Content) -> Index:
    for keys, rows in content():
        index.add(keys, rows)
    return index


class Held:
    """A gallery in the hands of one chunk: as new as the ledger was when it was taken."""

    def __init__(self, gallery: Gallery, ledger: Ledger, floor: int) -> None:
        self.gallery, self._ledger, self._floor = gallery, ledger, floor

    def open(self, family: Family, sized: bool) -> None:
        """Make ready to rank. Raises `IndexFailure`, PGVECTOR_MISSING."""
        self.gallery.open(family, sized, self.changes_since, self._floor)

    def catch_up(self) -> None:
        self.gallery.catch_up(self.changes_since, self._floor)

    def changes_since(self, number: int) -> Iterator[Sequence[Change]]:
        with self._ledger.read() as tx:
            yield from epochs.since(tx, self.gallery.shelf, number)


class _Slot:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.gallery: Gallery | None = None
        self.kept = 0  # vectors changed since the snapshot was written


@dataclass(frozen=True, slots=True)
class _Followed:
    """How a gallery came to follow the ledger."""

    changed: int  # files
    complete: bool  # false: something may be missing, or be there that is gone
    floor: int
    count: int | None  # vectors in the ledger; none: it was not asked, or has moved on since


class Galleries:
    """`told` hears of every failure that is mended here, such as a snapshot that is not as it was written."""

    def __init__(
        self,
        settings: IndexSettings,
        ledger: Ledger,
        directory: Path,
        new_index: NewIndex,
        told: Callable[[IndexFailure], None] | None = None,
    ) -> None:
        self._settings, self._ledger, self._directory, self._new_index = settings, ledger, directory, new_index
        self._told = told or (lambda failure: logger.warning("a snapshot cannot be used: %s", failure))
        self._slots: OrderedDict[Shelf, _Slot] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def held(self, shelf: Shelf, still_wanted: Callable[[], None] = lambda: None) -> Iterator[Held]:
        """A shelf's gallery, brought up to date; for one chunk at a time. `still_wanted` is called now and then, and may raise."""
        with self._lock:
            slot = self._slots.setdefault(shelf, _Slot())
            self._slots.move_to_end(shelf)
        with slot.lock:
            try:
                floor = self._refresh(shelf, slot, still_wanted)
            except BaseException:
                slot.gallery = None  # half of a commit may be in it
                raise
            assert slot.gallery is not None
            held = Held(slot.gallery, self._ledger, floor)
            held.catch_up()
            held.gallery.degraded = False
            yield held
        self._leave(shelf)

    def forget(self) -> None:
        """Let all galleries go; the next use makes them anew."""
        with self._lock:
            self._slots.clear()

    # -- keeping them new

    def _refresh(self, shelf: Shelf, slot: _Slot, still_wanted: Callable[[], None]) -> int:
        """Bring the gallery up to date, or make it; up to where the ledger has forgotten what was removed."""
        if slot.gallery is not None:
            followed = self._follow(slot.gallery, still_wanted)
            slot.kept += followed.changed
            if followed.complete:
                self._keep(slot)
                return followed.floor
            self._told(IndexFailure("corruption", "the ledger has gone back, or forgotten what was removed since"))
            slot.gallery = None
        slot.gallery, followed = self._made(shelf, still_wanted)
        slot.kept = followed.changed
        self._keep(slot)
        return followed.floor

    def _made(self, shelf: Shelf, still_wanted: Callable[[], None]) -> tuple[Gallery, _Followed]:
        """From the snapshot and what changed since, if it can be used; else from the ledger."""
        kept = self._loaded(shelf)
        if kept is not None:
            gallery = Gallery(shelf, self._new_index, kept.number, kept.content)
            followed = self._follow(gallery, still_wanted, counted=True)
            if followed.complete and followed.count in (None, len(gallery)):
                emit(GalleryMade("snapshot", len(gallery), gallery.number))
                return gallery, followed
            self._told(IndexFailure("corruption", "a snapshot does not agree with the ledger"))
        gallery = Gallery(shelf, self._new_index)
        followed = self._follow(gallery, still_wanted)
        emit(GalleryMade("ledger", len(gallery), gallery.number))
        return gallery, followed

    def _follow(self, gallery: Gallery, still_wanted: Callable[[], None], counted: bool = False) -> _Followed:
        changed, before, count = 0, gallery.number, None
        with self._ledger.read() as tx:
            now = epochs.current(tx, gallery.shelf)
            if now.number == before and not counted:
                return _Followed(0, True, now.floor, None)
            for changes in epochs.since(tx, gallery.shelf, before):
                gallery.apply(changes)
                changed += len(changes)
                still_wanted()
            count = epochs.count(tx, gallery.shelf) if counted else None
            now = epochs.current(tx, gallery.shelf)  # after the changes: it may have forgotten some before they were read
        complete = not before or (before >= now.floor and gallery.number <= now.number)
        return _Followed(changed, complete, now.floor, count if gallery.number == now.number else None)

    def _loaded(self, shelf: Shelf) -> snapshot.Snapshot | None:
        try:
            return snapshot.load(self._directory, shelf, FeatureVersion(shelf.feature_version).width)
        except IndexFailure as failure:
            self._told(failure)
            return None

    def _keep(self, slot: _Slot) -> None:
        """Write a snapshot where one is worth it. Without one everything works, only later."""
        gallery = slot.gallery
        assert gallery is not None
        if len(gallery) <= self._settings.snapshot_above or slot.kept <= _DRIFT * len(gallery):
            return
        try:
            width = FeatureVersion(gallery.shelf.feature_version).width
            snapshot.save(self._directory, gallery.shelf, width, gallery.number, gallery.content())
            slot.kept = 0
        except OSError as error:
            logger.warning("the snapshot of a gallery could not be kept: %s", type(error).__name__)

    def _leave(self, used: Shelf) -> None:
        with self._lock:
            total = sum(slot.gallery.bytes for slot in self._slots.values() if slot.gallery is not None)
            for shelf in list(self._slots):
                if total <= self._settings.memory_bytes or shelf == used:
                    break
                slot = self._slots[shelf]
                if not slot.lock.locked():
                    total -= slot.gallery.bytes if slot.gallery is not None else 0
                    del self._slots[shelf]
