"""The planted duplicates of the real files, those of some of them: `make duplicates` asks a whole stack for all."""

from __future__ import annotations

from pathlib import Path

from workers.index.wanted import Wanted

from bench.duplicates import planted
from bench.quality.samples import real
from foundation.settings import CadSettings
from ledger.vectors import PartVector
from tasks.duplicates import COMPARISON, rank
from tasks.grouping import Grouping
from tasks.vocabulary import FeatureVersion
from workers.features.extraction import extract
from workers.features.packing import packed
from workers.index.exact import Gallery


def test_every_release_of_a_drawing_and_both_formats_of_a_washer_come_together_and_nothing_else(cad_data: Path) -> None:
    folder = cad_data / "real"
    samples = {str(sample.path.relative_to(folder)): sample for sample in real(folder).samples}
    chosen = [path for path in samples if "/version_set_" in path or "DIN127_CLASS_B" in path]
    known = [pair for pair in planted(samples) if pair[0] in chosen]
    assert len(known) > 240
    parts, held = [], {}
    for path in chosen:
        found = extract(folder / path, Path(path).name, FeatureVersion.V4, CadSettings())
        parts.append(PartVector(path, Path(path).name, path, found.family, found.result["format"], 0.0))
        held[path] = packed(found.vector)
    gallery = Gallery(parts, held, Wanted.of({"threshold": 0.0, **COMPARISON}, None))
    grouping = Grouping(6)
    for path in chosen:
        for place, hit in enumerate(gallery.search(path, path)):
            level = rank(hit)
            assert level is not None, "every hit of this job shows something"
            grouping.join(path, hit["part_id"], (level, 0, place))
    groups = [set(group.members) for group in grouping.groups()]
    assert [pair for pair in known if not any(set(pair) <= group for group in groups)] == []
    for group in groups:
        assert len({samples[path].part for path in group}) == 1
