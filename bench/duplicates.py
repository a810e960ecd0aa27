"""What the duplicates report finds in real files: `python -m bench.duplicates` (`make duplicates`), `--help` for what it takes.

A stack of its own takes every file over HTTP and runs what `cadmill duplicates` runs. Pairs that are known to be one part must be in one
group; what is in one group without being known as one part is listed, for a reader to judge.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from api.cli import reporting
from api.cli.client import Client
from api.cli.selection import Chosen, batches
from bench.house import ROOT, house
from bench.quality.samples import Sample, data_folder, real

Json = dict[str, Any]
Pair = tuple[str, str]  # paths below the folder of real files, in order
KINDS = ("content", "geometry", "part", "likely", "units", "size")
CLAIMS = KINDS[:5]  # of these a group says that it is one part


_NOTES = """
## Reading the figures

- **One job with size left out** finds all kinds at once: sizes are told with each pair, so that *part* still means equal size (within
  1 %), *units* 25.4 times, and *size* any other. Comparing with size would find only 112 of the 240 planted pairs of drawings.
- **Why releases of one drawing differ.** R12 to R14 know no unit of length, so their numbers count as millimetres; R2000 to R2013 of the
  same drawings say inches. 120 of the planted pairs are therefore told as *units*, which is true: one of the two files has its unit wrong.
  The shape slots agree to float noise, the engine needs no change. Only R12 of `ae` differs in geometry: it knows no SPLINE, so its
  three splines were written as polylines of 33, 64 and 65 points, which makes the drawing 0.08 % longer. That is a stable distance of
  0.00111, beyond the limit of 0.001 for *part*, and leads to *likely* (same unit) or *units* (another unit).
- **likely** widens the stable distance to 0.002 for drawings, and to 0.02 where an exact solid stands beside a mesh of the same size;
  never between two exact solids or two meshes, which do not drift. Both limits were chosen on these very files and there is
  little to choose them by: two drawings in releases (both of them in one half), and 28 pairs of STEP and STL that *part* misses. By halves:
  16 of 16 and 12 of 12 found, 2 and 2 wrong or unknown pairs; at half the limit 14 of 16 and 8 of 12. In drawings the first
  wrong pair would come at 0.0027. Files they were not chosen on: coarse meshes (0.8 rad, 1 % of the diagonal) of 336 KiCad packages
  beside their STEP files; 71 % are told as *part*, 18 % more as *likely*, 11 % as neither, and 2 meshes (0.6 %) have a different part that
  is *likely*.
- **Texts are not compared.** Two drawings that differ only in what is written have equal slots: `text_stacked_*` above.
- **Mirrored parts** have the same vector as the part itself: every slot is made of lengths, areas, volumes and angles without sign.
  127 shapes and their mirror images differ by at most 1e-15 in any slot, so no label can say "mirrored".
- **Groups are transitive**: in a group of three the first and the last may only be joined by the one between. The evidence names the pairs
  that join a group, and says when a pair within was rejected.
- *size* holds what its name says and nothing more: cubes, squares, circles and washers of several sizes.
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the report said of the files, by their paths."""

    files: int
    compared: int
    failed: dict[str, str]  # code, by file
    together: dict[Pair, str]  # the surest kind of group two files are in
    told: dict[Pair, Json]  # pairs that the job told directly
    report: Json
    seconds: float
    version: str


def main() -> None:
    asked = _arguments()
    samples = {str(sample.path.relative_to(asked.data)): sample for sample in real(asked.data).samples}
    measured = _measured(asked.data, samples, asked.feature_version)
    text = _told(measured, samples)
    print(text)
    if asked.write:
        (ROOT / "docs" / "duplicates.md").write_text(text, encoding="utf-8")
    print(f"compared, with the extraction of every file, in {measured.seconds:.0f} s", file=sys.stderr)
    missed = [pair for pair in planted(samples) if pair not in measured.together and not measured.failed.keys() & set(pair)]
    sys.exit(1 if missed or _false_exact(measured) else 0)


def planted(samples: dict[str, Sample]) -> list[Pair]:
    """Pairs that are one part for sure: one drawing in two releases, and STEP and STL of one stem and source."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for path in samples:
        kind, source, category, name = path.split("/", 3)
        if category.startswith("version_set_"):
            groups.setdefault((source, category), []).append(path)
        if kind in ("step", "stl"):
            groups.setdefault(("solid", source, Path(name).stem.lower()), []).append(path)
    pairs = (pair for paths in groups.values() for pair in combinations(sorted(paths), 2))
    return sorted(pair for pair in pairs if pair[0].startswith("dxf/") or pair[0].split("/")[0] != pair[1].split("/")[0])


def _measured(folder: Path, samples: dict[str, Sample], version: str) -> Measured:
    paths = sorted(samples)
    with tempfile.TemporaryDirectory(prefix="cadmill-bench-", ignore_cleanup_errors=True) as directory:
        with house(Path(directory), "", 2) as here, Client(here.url, (Path(directory) / "key").read_text().strip()) as client:
            owner = _uploaded(client, folder, paths)
            started = time.perf_counter()
            job = reporting.compare(client, version, quiet=True)
            seconds = time.perf_counter() - started
            report = client.duplicates({"job": job})
            items = client.items(job)
            told = {_pair(owner[one["first"]["part_id"]], owner[one["second"]["part_id"]]): one for one in client.pairs(job)}
    together: dict[Pair, str] = {}
    for group in report["groups"]:  # the surest kinds come first
        members = [owner[part["id"]] for part in group["parts"]]
        for one, other in combinations(members, 2):
            together.setdefault(_pair(one, other), group["kind"])
    failed = {owner[item["part_id"]]: item["error"]["code"] for item in items if item["error"]}
    return Measured(len(paths), len(items) - len(failed), failed, together, told, report, seconds, version)


def _uploaded(client: Client, folder: Path, paths: Sequence[str]) -> dict[str, str]:
    """The path of each part."""
    chosen = [Chosen(folder / path, Path(path).name, (folder / path).stat().st_size) for path in paths]
    answers = [answer for batch in batches(chosen) for answer in client.upload(batch)]
    return {answer["id"]: path for answer, path in zip(answers, paths, strict=True) if "id" in answer}


def _pair(one: str, other: str) -> Pair:
    return (one, other) if one <= other else (other, one)


def _false_exact(measured: Measured) -> list[Pair]:
    """Pairs told as exact whose contents differ."""
    return [
        pair for pair, told in measured.told.items() if told["label"] == "exact" and told["first"]["sha256"] != told["second"]["sha256"]
    ]


def _unknown(measured: Measured, samples: dict[str, Sample], kind: str) -> list[Pair]:
    """Pairs in groups of this kind, and of no surer one, that nobody knows as one part."""
    return sorted(pair for pair, found in measured.together.items() if found == kind and samples[pair[0]].part != samples[pair[1]].part)


def _told(measured: Measured, samples: dict[str, Sample]) -> str:
    return "\n".join(_lines(measured, samples)) + "\n"


def _lines(measured: Measured, samples: dict[str, Sample]) -> Iterator[str]:
    known = planted(samples)
    drawings = [pair for pair in known if pair[0].startswith("dxf/")]
    solids = [pair for pair in known if not pair[0].startswith("dxf/")]
    yield "# Duplicates"
    yield ""
    yield "Written by `make duplicates ARGS=--write`: a stack of its own takes every real file of the development set and runs what"
    yield f"`cadmill duplicates --feature-version {measured.version}` runs, over HTTP."
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| files | {measured.files}, of which {measured.compared} contents were compared |"
    codes = ", ".join(f"{count} {code}" for code, count in Counter(measured.failed.values()).most_common())
    yield f"| not compared | {codes} |"
    yield f"| planted pairs found: one drawing in two releases of DXF | {_found(measured, drawings)} |"
    yield f"| planted pairs found: STEP and STL of one part | {_found(measured, solids)} |"
    yield f"| told as exact although the bytes differ | {len(_false_exact(measured))} |"
    yield ""
    yield "## By which evidence"
    yield ""
    yield "A pair counts for the surest kind of group that both files are in. *Unknown*: nobody says by name or folder that they are one"
    yield "part; they are listed below."
    yield ""
    yield "| kind | pairs in groups | planted drawings | planted solids | unknown |"
    yield "|---|---|---|---|---|"
    for kind in KINDS:
        pairs = {pair for pair, found in measured.together.items() if found == kind}
        row = (len(pairs), len(pairs & set(drawings)), len(pairs & set(solids)), len(_unknown(measured, samples, kind)))
        yield f"| {kind} | {' | '.join(map(str, row))} |"
    yield ""
    yield "## Misses"
    yield ""
    yield from _misses(measured, known)
    yield ""
    yield "## Unknown pairs of groups that claim one part"
    yield ""
    for kind in CLAIMS:
        for pair in _unknown(measured, samples, kind):
            yield f"- {kind}: `{pair[0]}` and `{pair[1]}`{_evidence(measured, pair)}"
    yield ""
    yield _NOTES.rstrip()


def _found(measured: Measured, pairs: Sequence[Pair]) -> str:
    return f"{sum(pair in measured.together for pair in pairs)} of {len(pairs)}"


def _misses(measured: Measured, known: Sequence[Pair]) -> Iterator[str]:
    missed = [pair for pair in known if pair not in measured.together]
    for pair in missed:
        codes = [f"`{path}` ends {measured.failed[path]}" for path in pair if path in measured.failed]
        yield f"- `{pair[0]}` and `{pair[1]}`: {'; '.join(codes) or 'further apart than the limits'}{_evidence(measured, pair)}"
    if not missed:
        yield "None."


def _evidence(measured: Measured, pair: Pair) -> str:
    told = measured.told.get(pair)
    if told is None:
        return ", not told as a pair but joined by others" if pair in measured.together else ""
    slots = ", ".join(f"{slot['slot']} {slot['share']:.0%}" for slot in told["slots"])
    return f", distance {told['distance']:.5f}, {told['size_ratio']:g} times as large{', ' + slots if slots else ''}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.duplicates", description="What the duplicates report finds in real files.")
    parser.add_argument("--data", type=Path, default=data_folder(), help="folder with manifest.csv (CADMILL_DATA/real)")
    parser.add_argument("--feature-version", default="v4")
    parser.add_argument("--write", action="store_true", help="write docs/duplicates.md")
    asked = parser.parse_args()
    if not (asked.data / "manifest.csv").is_file():
        parser.error(f"{asked.data}/manifest.csv is not there; set CADMILL_DATA to the folder that holds real/")
    return asked


if __name__ == "__main__":
    main()
