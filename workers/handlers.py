"""One short function a task: the facing page of `tasks/catalogue.py`. `Work.each` records what a handler answers, item by item."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from foundation.errors import Failure
from foundation.telemetry import BatchSearched, FeaturesExtracted, PreviewDrawn, VectorMigrated, emit, logger
from ledger import parts, previews, vectors
from ledger.epochs import Shelf
from ledger.jobs import ClaimedItem
from ledger.vectors import EXTRACTED, Stored, Vector
from tasks.extraction import UnitsAsked
from tasks.recognition import claimed as claimed_format
from tasks.vocabulary import FeatureVersion, Kind
from workers import migration as migrating
from workers import quarantine
from workers.cache.prewarm import prewarm_fleet
from workers.cache.store import VectorKey
from workers.cad.preview.previews import Previews
from workers.cad.sandbox.sandbox import Reading, Sandbox
from workers.cad.shape import Finding, FindingCode
from workers.features.extraction import ENGINE_BUILD, Extraction
from workers.features.packing import packed, unpacked
from workers.index.contract import IndexFailure
from workers.index.process import searching
from workers.index.search import Asked, Query, similar
from workers.work import Work

Result = dict[str, Any]


def extraction(work: Work) -> None:
    """Features of each part; a file already known in this version and in these units is answered from the ledger unless forced."""
    told = work.claimed.input
    version, units = FeatureVersion(told["feature_version"]), UnitsAsked(**told.get("units_asked", {}))
    known = None if told["force"] else _known(work, version)
    expected = _expected(work, version, units, known)
    with Sandbox(work.worker.nursery, work.still_ours, expected, work.claimed.job_id) as box:
        work.each(lambda item: _features(work, box, item, version, units, known))


def _expected(work: Work, version: FeatureVersion, units: UnitsAsked, known: dict[str, Result] | None) -> Iterator[Reading]:
    """The files that will be read, as far as can be told before: each once where answers are reused. None with pictures: drawing takes
    longer than what reading ahead saves."""
    if work.claimed.input.get("previews"):
        return
    done = set(known or ())
    for item in work.claimed.items:
        if item.sha256 and item.name and item.sha256 not in done and item.sha256 not in quarantine.refused(work):
            yield Reading(work.worker.files.path(item.sha256), item.name, version, units=units)
            if known is not None:
                done.add(item.sha256)


def _known(work: Work, version: FeatureVersion) -> dict[str, Result]:
    sha256s = sorted({item.sha256 for item in work.claimed.items if item.sha256})
    with work.worker.ledger.read() as tx:
        return vectors.results(tx, work.claimed.tenant_id, sha256s, version, ENGINE_BUILD)


def _features(
    work: Work, box: Sandbox, item: ClaimedItem, version: FeatureVersion, units: UnitsAsked, known: dict[str, Result] | None
) -> Result:
    sha256, name = _file_of(item)
    stored, asked = None if known is None else known.get(sha256), units.model_dump(mode="json")
    # The name takes part in the answer only by what it claims: a mistaken claim must fail here as it would on its own.
    wanted = bool(work.claimed.input.get("previews"))
    draw = wanted and (known is None or not previews.there(work.worker.files, sha256, ENGINE_BUILD))
    if stored is not None and not draw and claimed_format(name) in (None, stored["format"]) and stored["units_asked"] == asked:
        return stored
    extracted = _read(work, box, item, version, units, draw)
    if extracted.previews is not None:
        _keep_previews(work, sha256, extracted.previews, extracted.result)
    _keep_vector(work, sha256, migrating.cut(extracted.result, extracted.version))
    if known is not None and extracted.version is version:
        known[sha256] = extracted.result
    return extracted.result


def _read(work: Work, box: Sandbox, item: ClaimedItem, version: FeatureVersion, units: UnitsAsked, draw: bool) -> Extraction:
    sha256, name = _file_of(item)
    quarantine.refuse(work, sha256)
    try:
        extracted = box.extract(work.worker.files.path(sha256), name, version, draw, units)
    except Failure as failure:
        if failure.code == "ENGINE_CRASH":
            quarantine.remember(work, sha256)
        raise
    emit(FeaturesExtracted(version.value, str(extracted.result["format"]), float(extracted.result["seconds"])))
    return extracted


def _keep_vector(work: Work, sha256: str, result: Result, provenance: str = EXTRACTED) -> None:
    version, family = FeatureVersion(result["feature_version"]), str(result["family"])
    work.vectors.append(Vector(sha256, version, ENGINE_BUILD, family, packed(result["vector"]), result, provenance))


def _keep_previews(work: Work, sha256: str, drawn: Previews, result: Result) -> None:
    """Pictures are worth less than the vector: where they cannot be kept, that is told with the result, which stands."""
    try:
        previews.keep(work.worker.files, sha256, ENGINE_BUILD, drawn.files)
        emit(PreviewDrawn(str(result["format"]), float(result["preview_seconds"])))
    except (Failure, OSError) as error:
        logger.warning("the previews of a file could not be kept: %s", error)
        result["findings"].append(Finding.of(FindingCode.PREVIEW_MISSING).public())


def _file_of(item: ClaimedItem) -> tuple[str, str]:
    if item.sha256 is None or item.name is None:
        raise Failure("PART_NOT_FOUND", {"id": str(item.part_id)[:64]})
    return item.sha256, item.name


def similarity(work: Work) -> None:
    """Nearest parts of each query. Queries without a vector are extracted first; then all queries of the chunk are searched together."""
    told, tenant_id = work.claimed.input, work.claimed.tenant_id
    version, asked = FeatureVersion(told["feature_version"]), Asked.of(told)
    written, failed = _written(work, version), dict[str, Failure]()
    if told.get("extract") and (lacking := {item.sha256 for item in work.claimed.items if item.sha256} - written.keys()):
        failed = _catch_up(work, version, sorted(lacking))
        written = _written(work, version)
    here, held, ways = searching(work.worker), _vectors(work, written, version), Counter[str]()

    def tell(batch: BatchSearched) -> None:
        ways[f"searched_{'parallel' if batch.way == 'parallel' else 'serially_' + batch.way.replace(' ', '_')}"] += batch.queries
        if batch.saved is not None:
            ways["parallel_saved_milliseconds"] += round(batch.saved * 1000)

    queries = [Query(str(item.part_id), item.sha256, unpacked(held[item.sha256])) for item in work.claimed.items if item.sha256 in held]
    work.still_ours()
    try:
        with here.galleries.held(Shelf(tenant_id, version, ENGINE_BUILD), work.still_ours) as gallery:
            found = similar(gallery, work.worker.ledger, queries, asked, here.parallel.telling(tell))
            epoch = gallery.gallery.number
            engine = "degraded" if gallery.gallery.degraded else work.worker.settings.index.engine
    except IndexFailure as failure:
        raise Failure("INDEX_FAILED", {"reason": failure.reason}) from failure
    with work.worker.ledger.read() as tx:
        unseen = parts.without_vector(tx, tenant_id, asked.filters, version, ENGINE_BUILD)
    hits = {query.part_id: some for query, some in zip(queries, found, strict=True)}
    common = {"engine": engine, "epoch": epoch, "unseen": unseen}

    def answer(item: ClaimedItem) -> Result:
        sha256, _ = _file_of(item)
        if sha256 in failed:
            raise failed[sha256]
        if sha256 not in held:
            raise Failure("DATA_NOT_FOUND", {"part_id": str(item.part_id), "feature_version": version.value})
        work.hits.add((tenant_id, sha256, version, ENGINE_BUILD))
        work.tally |= ways  # told once a chunk
        ways.clear()
        return {"hits": hits[str(item.part_id)], **common}

    work.each(answer)


def _written(work: Work, version: FeatureVersion) -> dict[str, float]:
    """When the vectors of the queries were, by file; those without one are not in it."""
    sha256s = sorted({item.sha256 for item in work.claimed.items if item.sha256})
    with work.worker.ledger.read() as tx:
        return vectors.written(tx, work.claimed.tenant_id, sha256s, version, ENGINE_BUILD)


def _catch_up(work: Work, version: FeatureVersion, lacking: Sequence[str]) -> dict[str, Failure]:
    """Vectors of these files, which have none in this version, from a longer one or from the file; gives the failures, by file.

    They are written down before anything is searched: of two chunks that catch up side by side the one that reads the gallery later
    sees what the other has written, so no pair is missed by both.
    """
    tenant_id, failed = work.claimed.tenant_id, dict[str, Failure]()
    files = {item.sha256: item for item in work.claimed.items if item.sha256}
    with work.worker.ledger.read() as tx:
        known = vectors.in_every_version(tx, tenant_id, lacking, ENGINE_BUILD)
    with Sandbox(work.worker.nursery, work.still_ours) as box:
        for sha256 in lacking:
            work.still_ours()
            there = work.worker.files.path(sha256).exists()
            try:
                _carry_out(work, box, files[sha256], version, migrating.plan(version, version, known.get(sha256, {}), there, False))
            except Failure as failure:
                failed[sha256] = failure
    with work.worker.ledger.write() as tx:
        vectors.put(tx, tenant_id, work.vectors, work.claimed.job_id)
    work.vectors.clear()
    return failed


def _vectors(work: Work, written: Mapping[str, float], version: FeatureVersion) -> dict[str, bytes]:
    """Vectors by file; `written` holds the files and when the vector of each was written."""
    tenant_id = work.claimed.tenant_id

    def fetch(missing: Sequence[VectorKey]) -> Iterable[tuple[VectorKey, bytes]]:
        with work.worker.ledger.read() as tx:
            found = vectors.load(tx, tenant_id, [key.sha256 for key in missing], version, ENGINE_BUILD)
        return [(key, found[key.sha256]) for key in missing if key.sha256 in found]

    keys = [VectorKey(tenant_id, sha256, version, ENGINE_BUILD, time) for sha256, time in sorted(written.items())]
    return {key.sha256: vector for key, vector in work.worker.vectors.get(keys, fetch).items()}


def migration(work: Work) -> None:
    """Each part's vector in another feature version: kept, cut from a longer one, extracted from the file, or projected without it."""
    told, tenant_id = work.claimed.input, work.claimed.tenant_id
    source, target = FeatureVersion(told["from"]), FeatureVersion(told["to"])
    sha256s = sorted({item.sha256 for item in work.claimed.items if item.sha256})
    with work.worker.ledger.read() as tx:
        held = vectors.in_every_version(tx, tenant_id, sha256s, ENGINE_BUILD)
        expected = migrating.expected_seconds(tx, tenant_id, sha256s, held) if told["dry_run"] else {}

    def move(item: ClaimedItem) -> Result:
        sha256, _ = _file_of(item)
        here = held.setdefault(sha256, {})
        there = work.worker.files.path(sha256).exists()
        chosen = migrating.plan(source, target, here, there, told.get("allow_projection", False))
        stored = not told["dry_run"] and chosen.way != "present"
        answer = migrating.told(source, target, here, chosen, stored) | {"engine_build": ENGINE_BUILD}
        work.tally[chosen.way] = 1
        if stored:
            here[target] = _carry_out(work, box, item, target, chosen)  # another part of the same file finds it there
            if answer["delta"] is not None:
                emit(VectorMigrated(chosen.way, answer["delta"]))
        elif chosen.way == "extraction":
            work.tally |= migrating.estimated(expected.get(sha256))
        if (item.payload or {}).get("sample"):
            made = chosen.made.result if chosen.made else _whole(_read(work, box, item, target, chosen.units, False).result, target)
            answer |= migrating.sampled(here.get(source), made)
        return answer

    with Sandbox(work.worker.nursery, work.still_ours) as box:
        work.each(move)


def _carry_out(work: Work, box: Sandbox, item: ClaimedItem, target: FeatureVersion, chosen: migrating.Plan) -> Stored:
    if chosen.made is None:
        return Stored(_whole(_features(work, box, item, target, chosen.units, None), target))
    sha256, _ = _file_of(item)
    _keep_vector(work, sha256, chosen.made.result, chosen.made.provenance)
    return chosen.made


def _whole(result: Result, target: FeatureVersion) -> Result:
    if result["missing_slots"]:
        raise Failure("FEATURES_INCOMPLETE", {"feature_version": target.value, "missing": result["missing_slots"]})
    return result


def prewarm(work: Work) -> None:
    """Load what will be asked for into this process's cache, and have every other process alive do so, too."""
    work.each(lambda item: prewarm_fleet(work, ENGINE_BUILD, item.payload or {}))


def probe(work: Work) -> None:
    """Spend time, and fail or die where told."""
    clock, told = work.worker.clock, work.claimed.input

    def spend(item: ClaimedItem) -> Result:
        fault = (item.payload or {}).get("fault")
        if fault == "die" or (fault == "die_once" and work.claimed.crashes == 0):
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "raise":
            raise RuntimeError("the probe was told to raise")
        seconds = told["ms"] / 1000
        if told["act"] == "sleep":
            work.rest(seconds)
        else:
            end = clock.tick() + seconds
            while clock.tick() < end:
                if told["act"] == "spin":
                    work.still_ours()
        if fault == "fail":
            raise Failure("PROBE_FAILED", {"index": item.index})
        if fault == "unsteady" and work.claimed.attempt == 1:
            raise Failure("PROBE_UNSTEADY", {"index": item.index})
        return {"index": item.index, "pid": os.getpid(), "attempt": work.claimed.attempt}

    work.each(spend)


HANDLERS: dict[str, Callable[[Work], None]] = {
    Kind.EXTRACTION: extraction,
    Kind.SIMILARITY: similarity,
    Kind.MIGRATION: migration,
    Kind.PREWARM: prewarm,
    Kind.PROBE: probe,
}
