"""Reading DXF: the scan of all tags and the whole vector, each against `ezdxf.readfile` alone.

    python -m bench.dxf [--data FOLDER] [--megabytes 2] [--rounds 3]

FOLDER holds DXF files at any depth; without it the samples of the tests are taken. All that `ezdxf.readfile` opens are measured as
they are, whichever way they take. Real drawings are seldom large, so the second half of the table repeats the entities of real ones
until they are: those with most of them, some for each kind that most entities of a drawing are of. Repeated handles are the only
thing that is not real about them.
A worker has no other reader in between, so in each round every way reads all files of a set, one after the other, before the next
way does; the best round of each file counts. All is one thread as in the workers, and CPU time is what counts, so what else the
machine does hardly matters.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundation.engine_settings import CadSettings
from foundation.errors import Failure
from tasks.recognition import BINARY_DXF
from tasks.vocabulary import FeatureVersion
from workers.cad.dxf.fast.reader import opened_fast
from workers.cad.dxf.fast.scan import scanned
from workers.cad.dxf.fast.tags import NotCovered
from workers.cad.dxf.reference import DAMAGE
from workers.features.extraction import extract

SAMPLES = Path(__file__).parents[1] / "tests" / "data" / "dxf"
LIMITS = CadSettings()
_LARGE, _GROWN = 100_000, 3
# megabytes
_SIZES = ((0.0, 0.1, "< 100 kB"), (0.1, 1.0, "100 kB to 1 MB"), (1.0, float("inf"), "> 1 MB"))
_ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # read when numpy is loaded


@dataclass(frozen=True, slots=True)
class Row:
    """One file: megabytes, milliseconds of ezdxf, and how many times faster the scan and the whole vector are."""

    name: str
    kind: str
    size: float
    read: float
    scan: float
    vector: float


def main() -> None:
    if os.environ.get("OMP_NUM_THREADS") != "1":
        os.execve(sys.executable, [sys.executable, "-m", "bench.dxf", *sys.argv[1:]], os.environ | _ONE_THREAD)
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, default=SAMPLES)
    options.add_argument("--megabytes", type=float, default=2.0)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--json", type=Path, help="write the figures there")
    chosen = options.parse_args()
    logging.getLogger("ezdxf").setLevel(logging.CRITICAL)
    files = sorted(path for path in chosen.data.rglob("*") if path.suffix.lower() == ".dxf" and path.stat().st_size)
    ways = {path: kind(path.read_bytes()) for path in files}
    covered = {path: most for path, (most, _) in ways.items() if most is not None}
    reasons = Counter(reason for _, reason in ways.values() if reason)
    print(f"{len(covered)} of {len(files)} files take the fast way ({len(covered) / len(files):.1%}); the others:")
    for reason, count in reasons.most_common():
        print(f"{count:>4} {reason}")
    print(f"{'file':<40}{'most are':<14}{'MB':>7}{'ezdxf ms':>10}{'scan x':>8}{'vector x':>10}")
    unchanged = measured({path: most or "left to ezdxf" for path, (most, _) in ways.items() if readable(path)}, chosen.rounds)
    with tempfile.TemporaryDirectory() as folder:
        rows = measured(dict(large(covered, Path(folder), int(chosen.megabytes * 1e6))), chosen.rounds)
    for low, high, title in _SIZES:
        told([row for row in unchanged if low <= row.size < high], f"unchanged, {title}")
    told(unchanged, "unchanged, all")
    for most in sorted({row.kind for row in rows}):
        told([row for row in rows if row.kind == most], f"grown, {most}")
    told(rows, "grown, all")
    if chosen.json and rows:
        told_of = figures(rows, unchanged) | {"covered": len(covered), "of": len(files), "reasons": dict(reasons.most_common())}
        chosen.json.write_text(json.dumps(told_of))


def figures(rows: list[Row], unchanged: list[Row]) -> dict[str, Any]:
    """What `bench.engine` puts beside the aims: how many times faster than `ezdxf.readfile`."""
    by_kind = {most: statistics.median(row.vector for row in rows if row.kind == most) for most in sorted({row.kind for row in rows})}
    scans, wholes = sorted(row.scan for row in rows), sorted(row.vector for row in rows)
    by_size = {title: sorted(row.vector for row in unchanged if low <= row.size < high) for low, high, title in _SIZES}
    return {
        "files": len(rows),
        "scan": scans,
        "vector": wholes,
        "vector_by_kind": by_kind,
        "unchanged": sorted(row.vector for row in unchanged),
        "unchanged_by_size": {title: ratios for title, ratios in by_size.items() if ratios},
    }


def told(rows: list[Row], title: str) -> None:
    if rows:
        scans, wholes = [row.scan for row in rows], [row.vector for row in rows]
        print(
            f"{title}: {len(rows)} files; median scan {statistics.median(scans):.1f}x (least {min(scans):.1f}), "
            f"median vector {statistics.median(wholes):.1f}x (least {min(wholes):.1f})"
        )


def kind(data: bytes) -> tuple[str | None, str]:
    """The kind most entities are of; or None, and why the file is left to ezdxf."""
    try:
        types = opened_fast(data).types
    except NotCovered as reason:
        return None, str(reason)
    return max(types, key=types.__getitem__) if types else "none", ""


def readable(path: Path) -> bool:
    """Whether `ezdxf.readfile` opens the file: what it gives up on says nothing about how long reading takes."""
    import ezdxf

    try:
        ezdxf.readfile(path)
    except (ezdxf.DXFError, OSError, *DAMAGE):
        return False
    return True


def large(covered: dict[Path, str], folder: Path, size: int) -> Iterator[tuple[Path, str]]:
    """The drawings with most bytes of entities, some for each kind, with their entities repeated until they are large."""
    parts = defaultdict(list)
    for path, most in covered.items():
        data = path.read_bytes().replace(b"\r\n", b"\n")
        begin = data.find(b"ENTITIES\n")
        end = data.find(b"ENDSEC", begin)
        if begin >= 0 and not data.startswith(BINARY_DXF):
            begin, end = begin + len(b"ENTITIES\n"), data.rfind(b"\n", 0, data.rfind(b"\n", 0, end)) + 1
            parts[most].append((end - begin, path, data[:begin], data[begin:end], data[end:]))
    for most in sorted(parts.keys() - {"none"}):
        for length, path, head, entities, tail in sorted(parts[most], reverse=True)[:_GROWN]:
            grown = folder / f"{path.stem} repeated.dxf"
            grown.write_bytes(head + entities * (size // length + 1) + tail)
            if kind(grown.read_bytes())[0] is not None:
                yield grown, most


def measured(files: dict[Path, str], rounds: int) -> list[Row]:
    """One row for each file; `files` names the kind most of its entities are of."""
    import ezdxf

    ways: list[Callable[[Path], object]] = [ezdxf.readfile, tags_of, whole]
    best = {path: [float("inf")] * len(ways) for path in files}
    for _ in range(rounds):
        for at, way in enumerate(ways):
            for path, times in best.items():
                started = time.process_time()
                way(path)
                times[at] = min(times[at], time.process_time() - started)
    rows = []
    for path, (read, scan, vector) in best.items():
        row = Row(path.name, files[path], path.stat().st_size / 1e6, read * 1000, read / scan, read / vector)
        rows.append(row)
        if path.stat().st_size > _LARGE:
            print(f"{row.name[:39]:<40}{row.kind[:13]:<14}{row.size:>7.3f}{row.read:>10.1f}{row.scan:>8.1f}{row.vector:>10.1f}")
    return rows


def tags_of(path: Path) -> None:
    with contextlib.suppress(NotCovered):
        scanned(path.read_bytes())


def whole(path: Path) -> None:
    try:
        extract(path, path.name, FeatureVersion.V4, LIMITS)
    except Failure as failure:
        logging.getLogger(__name__).debug("%s ends %s", path.name, failure.code)


if __name__ == "__main__":
    main()
