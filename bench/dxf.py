"""Reading DXF: the scan of all tags and the whole vector, each against `ezdxf.readfile` alone.

    python -m bench.dxf [--data FOLDER] [--megabytes 2] [--rounds 3]

FOLDER holds DXF files at any depth; without it the samples of the tests are taken. Real drawings are seldom large, so the second
half of the table repeats the entities of real ones until they are: repeated handles are the only thing that is not real about them.
All three ways take turns on one file after the other, so what else the machine does hits all of them; the best round counts.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from foundation.errors import Failure
from foundation.settings import CadSettings
from tasks.recognition import BINARY_DXF
from tasks.vocabulary import FeatureVersion
from workers.cad.dxf.fast.reader import opened_fast
from workers.cad.dxf.fast.scan import scanned
from workers.cad.dxf.fast.tags import NotCovered
from workers.features.extraction import extract

SAMPLES = Path(__file__).parents[1] / "tests" / "data" / "dxf"
LIMITS = CadSettings()
_LARGE, _GROWN = 100_000, 12


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, default=SAMPLES)
    options.add_argument("--megabytes", type=float, default=2.0)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    logging.getLogger("ezdxf").setLevel(logging.CRITICAL)
    files = sorted(path for path in chosen.data.rglob("*") if path.suffix.lower() == ".dxf" and path.stat().st_size)
    covered = [path for path in files if reason(path.read_bytes()) is None]
    print(f"{len(covered)} of {len(files)} files take the fast way ({len(covered) / len(files):.1%})")
    rows = [measured(path, chosen.rounds) for path in covered if path.stat().st_size > _LARGE]
    with tempfile.TemporaryDirectory() as folder:
        for path in large(covered, Path(folder), int(chosen.megabytes * 1e6)):
            rows.append(measured(path, chosen.rounds))
    print(f"{'file':<40}{'MB':>8}{'ezdxf ms':>10}{'scan x':>8}{'vector x':>10}")
    for name, size, read, scan, vector in rows:
        print(f"{name[:39]:<40}{size:>8.3f}{read * 1000:>10.1f}{scan:>8.1f}{vector:>10.1f}")
    for low, high, title in ((0.0, 1.0, f"> {_LARGE // 1000} kB"), (1.0, float("inf"), "> 1 MB (repeated)")):
        some = [row for row in rows if low <= row[1] < high]
        if some:
            scans, wholes = [row[3] for row in some], [row[4] for row in some]
            print(
                f"{title}: {len(some)} files; median scan {statistics.median(scans):.1f}x (least {min(scans):.1f}), "
                f"median vector {statistics.median(wholes):.1f}x (least {min(wholes):.1f})"
            )


def reason(data: bytes) -> str | None:
    """Why a file is left to ezdxf, None where it is not."""
    try:
        opened_fast(data)
    except NotCovered as error:
        return str(error)
    except Failure:
        return None
    return None


def large(covered: list[Path], folder: Path, size: int) -> Iterator[Path]:
    """The drawings with most bytes of entities, with their entities repeated until they are large."""
    parts = []
    for path in covered:
        data = path.read_bytes().replace(b"\r\n", b"\n")
        begin = data.find(b"ENTITIES\n")
        end = data.find(b"ENDSEC", begin)
        if begin >= 0 and not data.startswith(BINARY_DXF):
            begin, end = begin + len(b"ENTITIES\n"), data.rfind(b"\n", 0, data.rfind(b"\n", 0, end)) + 1
            parts.append((end - begin, path, data[:begin], data[begin:end], data[end:]))
    for length, path, head, entities, tail in sorted(parts, reverse=True)[:_GROWN]:
        grown = folder / f"{path.stem} repeated.dxf"
        grown.write_bytes(head + entities * (size // length + 1) + tail)
        if reason(grown.read_bytes()) is None:
            yield grown


def measured(path: Path, rounds: int) -> tuple[str, float, float, float, float]:
    import ezdxf

    data = path.read_bytes()
    ways: list[Callable[[], object]] = [lambda: ezdxf.readfile(path), lambda: scanned(path.read_bytes()), lambda: whole(path)]
    best = [float("inf")] * len(ways)
    for _ in range(rounds):
        for at, way in enumerate(ways):
            started = time.perf_counter()
            way()
            best[at] = min(best[at], time.perf_counter() - started)
    return path.name, len(data) / 1e6, best[0], best[0] / best[1], best[0] / best[2]


def whole(path: Path) -> None:
    try:
        extract(path, path.name, FeatureVersion.V4, LIMITS)
    except Failure as failure:
        logging.getLogger(__name__).debug("%s ends %s", path.name, failure.code)


if __name__ == "__main__":
    main()
