"""What searching costs, each figure beside its aim: `python -m bench.index [--write]`, a part of `make bench`.

Among 10,000, 100,000 and 1,000,000 solids: how many of the ten nearest are found, what a batch costs beside the bare call of faiss on
the same vectors, how long a gallery takes to be made, and what searching in parallel saves. Vectors are those of real files
(CADMILL_DATA, or `../shared/data` beside the repository; without them the samples), and mixtures of two of them each: between the two,
and a little off. Costs are CPU time of one thread, medians of interleaved rounds, because others may be using the machine; savings are
wall-clock time, which shows what others left. `--write` keeps docs/index.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.quality.extracted import extracted
from bench.reading import DATA, ROOT
from bench.report import facts
from foundation import telemetry
from foundation.engine_settings import IndexSettings
from foundation.settings import Settings
from foundation.telemetry import BatchSearched, Event
from ledger import parts, tenants, vectors
from ledger.epochs import Change, Shelf
from ledger.migrate import migrate
from ledger.parts import NewPart
from ledger.session import Ledger
from ledger.vectors import Vector
from tasks.vocabulary import Family, FeatureVersion
from workers.features.extraction import ENGINE_BUILD
from workers.features.scaling import scaled
from workers.index import snapshot
from workers.index.approximate import ApproximateIndex, faiss_here
from workers.index.contract import Floats32, Hit, Index
from workers.index.exact import ExactIndex, distances
from workers.index.galleries import Galleries, engine, filled
from workers.index.gallery import Content, Gallery, Ranked, Space
from workers.index.health import Health
from workers.index.parallel import Parallel
from workers.index.sameness import nearness
from workers.index.search import DEPTH

PAGE = ROOT / "docs" / "index.md"
SIZES = (10_000, 100_000, 1_000_000)
_FIRST = 10
_QUERIES = 100
_GATED = 50  # of them are compared with all vectors, in float64
_BATCHES = (100, 1_000)
_FROM_LEDGER = 100_000  # vectors written to a database and read again
_OFF = 0.02  # how far a mixture is off the line between its two, in scaled units


@dataclass
class Measured:
    """What was found out at one size."""

    size: int
    lists: str = ""
    recall: float = 0.0
    as_exact: bool | None = None  # whether every hit and distance is that of brute force; none: not promised
    ratio: float = 0.0  # of a batch to the bare call
    spread: tuple[float, float] = (0.0, 0.0)
    bare_ms: float = 0.0  # a query
    exact_ratio: float = 0.0  # of numpy to the bare flat call
    gate: float = 0.0  # share of queries whose first ten are those of comparing with all
    sure: float = 0.0  # share of queries where the first proposals prove it
    build: dict[str, float] = field(default_factory=dict)
    savings: list[tuple[int, float, float, float, str]] = field(default_factory=list)  # queries, serial, parallel, told saving, way


class Mixer:
    """Vectors of real solids and mixtures of them."""

    def __init__(self, real: Floats32) -> None:
        self.real = real
        self._dice = np.random.default_rng(2026)
        self._spread = real.std(axis=0)

    def mixtures(self, count: int) -> Floats32:
        one, other = (self.real[self._dice.integers(len(self.real), size=count)] for _ in range(2))
        share = self._dice.random((count, 1))
        off = self._dice.normal(size=one.shape) * self._spread * _OFF
        return np.asarray(one * share + other * (1 - share) + off, dtype=np.float32)

    def gallery(self, count: int) -> Floats32:
        """Every real vector, as far as there is room, and mixtures."""
        some = self.real[:count]
        return np.concatenate([some, self.mixtures(count - len(some))])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--cache", type=Path, help="keep the vectors of the real files here; a change of the engine is noticed")
    options.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    options.add_argument("--rounds", type=int, default=25)
    options.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="cadmill-index-") as folder:
        where, real = _real(chosen.cache or Path(folder) / "vectors")
        mixer = Mixer(real)
        rows = [_measured(mixer, size, chosen.rounds, Path(folder) / str(size)) for size in chosen.sizes]
        from_ledger = _from_ledger(mixer, min(_FROM_LEDGER, max(chosen.sizes)), Path(folder) / "ledger")
    page = "\n".join(_page(where, len(real), rows, from_ledger, chosen.rounds))
    print(page)
    if chosen.write:
        PAGE.write_text(page + "\n", encoding="utf-8")


def _real(cache: Path) -> tuple[str, Floats32]:
    """Distinct v4 vectors of the solids there are."""
    real = DATA / "real"
    folder = real if real.is_dir() else ROOT / "tests" / "data"
    files = [path for kind in ("stl", "step", "iges") for path in sorted((folder / kind).rglob("*")) if path.is_file()]
    found = [one.vector for one in extracted([(path, "") for path in files], cache) if one.vector and one.family == Family.SOLID]
    return "real files" if folder is real else "the samples, for want of real files", np.unique(np.array(found, dtype=np.float32), axis=0)


def _measured(mixer: Mixer, size: int, rounds: int, folder: Path) -> Measured:
    told = Measured(size)
    print(f"{size} vectors", file=sys.stderr, flush=True)
    raw = mixer.gallery(size)
    asked = np.concatenate([mixer.real[: _QUERIES // 2], mixer.mixtures(_QUERIES - _QUERIES // 2)])
    rows, queries = _seen(raw), _seen(asked)
    keys = [f"{number * 2_654_435_761 % 2**32:064x}" for number in range(size)]
    index, exact = ApproximateIndex(rows.shape[1]), ExactIndex(rows.shape[1])
    told.build["index"] = _seconds(lambda: index.add(keys, rows))
    exact.add(keys, rows)
    _beside_the_bare_call(told, index, exact, rows, queries, rounds)
    told.recall = _recall(index, exact, queries)
    if not index.probes:
        told.as_exact = index.search(queries, _FIRST) == exact.search(queries, _FIRST)
    if size <= SIZES[0]:
        assert exact.search(queries, _FIRST) == _pair_by_pair(keys, rows, queries)
    print(f"recall {told.recall:.4f}, {told.ratio:.2f} of the bare call, numpy {told.exact_ratio:.1f}", file=sys.stderr, flush=True)
    del exact
    gallery = _gallery(told, raw, keys, folder)
    _gated(told, gallery, asked[:: _QUERIES // _GATED])
    _parallel(told, gallery, np.concatenate([mixer.mixtures(max(_BATCHES) - len(asked)), asked]))
    return told


def _seen(raw: Floats32) -> Floats32:
    return scaled(raw, Family.SOLID).astype(np.float32)


def _beside_the_bare_call(
    told: Measured, index: ApproximateIndex, exact: ExactIndex, rows: Floats32, queries: Floats32, rounds: int
) -> None:
    """The same batch by ourselves, by faiss alone and by numpy, in turns."""
    faiss = faiss_here()
    flat = faiss.IndexFlatL2(rows.shape[1])
    flat.add(rows)
    if index.probes:
        lists = faiss.IndexIVFFlat(faiss.IndexFlatL2(rows.shape[1]), rows.shape[1], index.lists, faiss.METRIC_L2)
        lists.cp.min_points_per_centroid = 1
        lists.train(rows[:: max(1, len(rows) // (32 * index.lists))])
        lists.add(rows)
        lists.nprobe = index.probes
        told.lists = f"{index.lists} lists, {index.probes} looked into"
    bare = lists if index.probes else flat
    turns: dict[str, list[float]] = {"ours": [], "bare": [], "flat": [], "exact": []}
    for turn in range(rounds):
        turns["bare"].append(_cpu(lambda: bare.search(queries, _FIRST)))
        turns["ours"].append(_cpu(lambda: index.search(queries, _FIRST)))
        if turn < 3:
            turns["flat"].append(_cpu(lambda: flat.search(queries, _FIRST)))
            turns["exact"].append(_cpu(lambda: exact.search(queries, _FIRST)))
    ratios = sorted(ours / bare for ours, bare in zip(turns["ours"], turns["bare"], strict=True))
    told.ratio, told.spread = statistics.median(ratios), (ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4])
    told.bare_ms = 1000 * statistics.median(turns["bare"]) / len(queries)
    told.exact_ratio = statistics.median(turns["exact"]) / statistics.median(turns["flat"])


def _recall(index: Index, exact: Index, queries: Floats32) -> float:
    """Share of the ten nearest that are found; one as near as the tenth counts."""
    shares = []
    for found, right in zip(index.search(queries, _FIRST), exact.search(queries, _FIRST), strict=True):
        reach = right[-1].distance * (1 + 1e-6)
        shares.append(sum(hit.distance <= reach for hit in found) / len(right))
    return statistics.mean(shares)


def _pair_by_pair(keys: Sequence[str], rows: Floats32, queries: Floats32) -> list[list[Hit]]:
    found = []
    for query in queries:
        apart = distances(query, rows)
        nearest = sorted(zip(apart.tolist(), keys, strict=True))[:_FIRST]
        found.append([Hit(key, distance) for distance, key in nearest])
    return found


def _new_index(_shelf: Shelf, _space: Space, slots: int, content: Content) -> Index:
    return filled(ApproximateIndex(slots), content)


def _gallery(told: Measured, raw: Floats32, keys: Sequence[str], folder: Path) -> Gallery:
    """A gallery made from changes, kept, and made again from what was kept."""
    shelf = Shelf("tenant", FeatureVersion.V4, ENGINE_BUILD)
    first = Gallery(shelf, _new_index)
    for start in range(0, len(raw), 10_000):
        first.apply([Change(1, keys[at], Family.SOLID, raw[at].tobytes()) for at in range(start, min(start + 10_000, len(raw)))])
    told.build["save"] = _seconds(lambda: snapshot.save(folder, shelf, raw.shape[1], 1, first.content()))
    kept: list[snapshot.Snapshot] = []
    told.build["load"] = _seconds(lambda: kept.extend(filter(None, [snapshot.load(folder, shelf, raw.shape[1])])))
    gallery = Gallery(shelf, _new_index, 1, kept[0].content)
    told.build["open"] = _seconds(lambda: gallery.open(Family.SOLID, True, lambda _number: (), 0))
    told.build["bytes"] = float(gallery.bytes)
    return gallery


def _gated(told: Measured, gallery: Gallery, asked: Floats32) -> None:
    """The first ten by what the indexes propose, against comparing with all."""
    everything = gallery.content()[Family.SOLID][1]
    matrix = scaled(everything, Family.SOLID)
    equal, sure = 0, 0
    for query, one in zip(asked, gallery.rank(asked, Family.SOLID, True, DEPTH), strict=True):
        right = np.sort(np.partition(nearness(matrix, scaled(query, Family.SOLID), Family.SOLID).gated, _FIRST)[:_FIRST])
        equal += np.array_equal(one.gated[:_FIRST], right)
        sure += bool(one.gated[_FIRST - 1] < one.surely)
    told.gate, told.sure = equal / len(asked), sure / len(asked)


def _parallel(told: Measured, gallery: Gallery, asked: Floats32) -> None:
    """The same batch one by one and by threads, and what the product says it saved."""
    heard: list[BatchSearched] = []

    def hear(event: Event) -> None:
        if isinstance(event, BatchSearched):
            heard.append(event)

    telemetry.attach(hear)

    def search(queries: Sequence[Floats32]) -> list[Ranked]:
        return gallery.rank(np.stack(queries), Family.SOLID, True, DEPTH)

    for count in _BATCHES:
        batch = list(asked[-count:])
        serial, threaded, saved, answers = [], [], [], []
        for _ in range(3):
            began = time.perf_counter()
            one_by_one = search(batch)
            serial.append(time.perf_counter() - began)
            parallel = Parallel(50, 4)
            began = time.perf_counter()
            answers = parallel.search(batch, search)
            threaded.append(time.perf_counter() - began)
            saved.append(heard[-1].saved or 0.0)
            assert all(np.array_equal(a.gated, b.gated) and a.sha256s == b.sha256s for a, b in zip(one_by_one, answers, strict=True))
        told.savings.append((count, statistics.median(serial), statistics.median(threaded), statistics.median(saved), heard[-1].way))


def _from_ledger(mixer: Mixer, count: int, folder: Path) -> tuple[int, float, float, float]:
    """Vectors written to SQLite as workers do, a gallery read from it, and one that is up to date: how many, and seconds."""
    folder.mkdir(parents=True)
    ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}", Settings().database)
    migrate(ledger)
    raw, version = mixer.gallery(count), FeatureVersion.V4
    with ledger.write() as tx:
        tenant = tenants.add(tx, "bench")
    began = time.perf_counter()
    for start in range(0, count, 1_000):
        names = [f"{number:064x}" for number in range(start, min(start + 1_000, count))]
        with ledger.write() as tx:
            parts.add(tx, tenant.id, [NewPart(name, name[-8:], name, 1, "stl") for name in names], {})
            told = [Vector(name, version, ENGINE_BUILD, Family.SOLID, raw[int(name, 16)].tobytes(), {}) for name in names]
            vectors.put(tx, tenant.id, told)
    written = time.perf_counter() - began
    settings = IndexSettings(snapshot_above=count)
    new_index, shelf = engine(settings, ledger, Health(Settings().recovery)), Shelf(tenant.id, version, ENGINE_BUILD)
    galleries = Galleries(settings, ledger, folder, new_index)

    def take() -> None:
        with galleries.held(shelf) as held:
            assert len(held.gallery) == count

    first, again = _seconds(take), statistics.median(_seconds(take) for _ in range(20))
    ledger.close()
    return count, written, first, again


def _cpu(do: Callable[[], Any]) -> float:
    began = time.thread_time()
    do()
    return time.thread_time() - began


def _seconds(do: Callable[[], Any]) -> float:
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


def _page(where: str, real: int, rows: Sequence[Measured], ledger: tuple[int, float, float, float], rounds: int) -> Iterator[str]:
    yield "# What searching costs\n"
    yield f"Written by `python -m bench.index --write` on {facts()}; load average {os.getloadavg()[0]:.1f}."
    yield f"24 slots; {real} different vectors of {where} and mixtures of them, half of the {_QUERIES} queries of either kind."
    yield f"CPU time of one thread, medians of {rounds} interleaved rounds, their quartiles in brackets.\n"
    yield (
        "| vectors | way | recall@10 | 0.99 | as brute force | a query, bare faiss | batch of 100, of the bare call | 1.1 "
        "| numpy, of flat faiss | 4 |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for row in rows:
        same = "-" if row.as_exact is None else "every hit and distance" if row.as_exact else "**NO**"
        yield (
            f"| {row.size:,} | {row.lists or 'flat'} | {row.recall:.4f} | {_met(row.recall >= 0.99)} | {same} | {row.bare_ms:.3f} ms "
            f"| {row.ratio:.2f} ({row.spread[0]:.2f} to {row.spread[1]:.2f}) | {_met(row.ratio <= 1.1)} "
            f"| {row.exact_ratio:.1f} | {_met(row.exact_ratio <= 4)} |"
        )
    yield "\n## From proposals to the ranking\n"
    yield f"Each space proposes {DEPTH} files, the gate ranks them in float64; where that does not prove the first ten, {10 * DEPTH}.\n"
    yield "| vectors | first ten as by comparing with all | proven by the first proposals |"
    yield "|---|---|---|"
    for row in rows:
        yield f"| {row.size:,} | {row.gate:.1%} | {row.sure:.1%} |"
    yield "\n## Making a gallery\n"
    yield "Seconds of wall-clock time. *Open*: the two spaces of the first search, all slots and stable ones.\n"
    yield "| vectors | one index | snapshot saved | loaded and checked | open | memory |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        told = row.build
        yield (
            f"| {row.size:,} | {told['index']:.2f} | {told['save']:.2f} | {told['load']:.2f} | {told['open']:.2f} "
            f"| {told['bytes'] / 1e6:.0f} MB |"
        )
    count, written, first, again = ledger
    yield f"\nFrom SQLite: {count:,} vectors, written with their parts in {written:.1f} s, are a gallery in {first:.2f} s;"
    yield f"asking whether it is still current takes {1000 * again:.2f} ms."
    yield "\n## In parallel\n"
    yield "Batches through the whole ranking, wall-clock medians of 3 turns, on processors shared with whatever ran beside."
    yield "*Told*: what the product measured on a slice of the same batch. Answers were compared bit for bit. The `summary` of a job"
    yield "counts its queries by how they were searched, and why not in parallel.\n"
    yield "| vectors | queries | serial | parallel | saved | told |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        for queries, serial, threaded, saved, way in row.savings:
            spared = f"{serial - threaded:.3f} s ({1 - threaded / serial:.0%})"
            yield f"| {row.size:,} | {queries:,} | {serial:.3f} s | {threaded:.3f} s | {spared} | {saved:.3f} s, {way} |"


def _met(right: bool) -> str:
    return "met" if right else "**MISSED**"


if __name__ == "__main__":
    main()
