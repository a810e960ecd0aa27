"""The planted duplicates of the real files, those of some of them: `make duplicates` asks a whole stack for all."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from bench.duplicates import planted
from bench.quality.samples import real
from foundation.engine_settings import CadSettings
from tasks.duplicates import COMPARISON, rank
from tasks.grouping import Grouping
from tasks.vocabulary import FeatureVersion
from tests.workers.index.conftest import Sample, Shop
from workers.features.extraction import extract
from workers.features.packing import packed, unpacked
from workers.index.search import Asked, Query


def test_every_release_of_a_drawing_and_both_formats_of_a_washer_come_together_and_nothing_else(
    cad_data: Path, new_shop: Callable[..., Shop]
) -> None:
    folder = cad_data / "real"
    samples = {str(sample.path.relative_to(folder)): sample for sample in real(folder).samples}
    chosen = [path for path in samples if "/version_set_" in path or "DIN127_CLASS_B" in path]
    known = [pair for pair in planted(samples) if pair[0] in chosen]
    assert len(known) > 240
    files: list[Sample] = []
    for path in chosen:
        found = extract(folder / path, Path(path).name, FeatureVersion.V4, CadSettings())
        files.append(Sample(sha256(path.encode()).hexdigest(), found.family, found.result["format"], packed(found.vector)))
    shop = new_shop()
    shop.add(files)
    paths = {shop.ids[one.name]: path for one, path in zip(files, chosen, strict=True)}
    wanted = Asked.of({"threshold": 0.0, **COMPARISON})
    queries = [Query(shop.ids[one.name], one.name, unpacked(one.vector)) for one in files]
    with shop.galleries.held(shop.shelf) as held:
        hits = shop.similar(held, queries, wanted)
    grouping = Grouping(6)
    for path, some in zip(chosen, hits, strict=True):
        for place, hit in enumerate(some):
            level = rank(hit)
            assert level is not None, "every hit of this job shows something"
            grouping.join(path, paths[hit["part_id"]], (level, 0, place))
    groups = [set(group.members) for group in grouping.groups()]
    assert [pair for pair in known if not any(set(pair) <= group for group in groups)] == []
    for group in groups:
        assert len({samples[path].part for path in group}) == 1
