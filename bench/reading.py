"""Every file of the development set through the sandbox, as a worker reads it: `python -m bench.reading [--write]`.

Judged: each ends in an answer; the answer of a hostile file is one its table allows; counts agree with those of independent readers,
or the deviation has its reason here; nothing is left behind. `--write` puts the figures into docs/reading.md. The set lies in the
folder named by CADMILL_DATA, or in `../shared/data` beside the repository.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.report import facts
from foundation.errors import Failure
from foundation.settings import Settings
from tasks.recognition import claimed
from tasks.vocabulary import FeatureVersion
from workers.cad.sandbox.nursery import Nursery
from workers.cad.sandbox.sandbox import Sandbox

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("CADMILL_DATA") or ROOT.parent / "shared" / "data")
PAGE = ROOT / "docs" / "reading.md"

# our codes, by the classes of expected.csv
CLASSES = {
    "FILE_EMPTY": "EMPTY_FILE",
    "FORMAT_MISMATCH": "FORMAT_MISMATCH",
    "FORMAT_UNSUPPORTED": "UNSUPPORTED_FORMAT",
    "ENCODING_UNSUPPORTED": "UNSUPPORTED_ENCODING",
    "FILE_CORRUPT": "CORRUPT",
    "GEOMETRY_MISSING": "NO_GEOMETRY",
    "GEOMETRY_INVALID": "INVALID_GEOMETRY",
    "CAD_LIMIT": "LIMIT_EXCEEDED",
    "CAD_EXPANSION_LIMIT": "LIMIT_EXCEEDED",
    "CAD_CYCLIC_REFERENCE": "LIMIT_EXCEEDED",
}
# what is told of a good mesh, and of units that were not named or look odd: no warnings about the file
HARMLESS = {"UNITS_ASSUMED", "UNITS_DOUBTFUL", "MESH_OPEN", "MESH_BRANCHING", "MESH_TURNED"}
# files, or folders of files, whose counts or answers differ from those of reference.csv, and why that is right
_NO_AREA = "faces of zero area cannot be meshed: told as FACES_MISSING; the count of faces agrees"
_MIXED = "R12 with entities of R2000, which ezdxf refuses: read after a repair, told as FILE_REPAIRED"
DEVIATIONS = {
    "iges/pygeo/": "whole numbers where IGES wants reals: repaired here, told as FILE_REPAIRED",
    "dxf/trimesh/laser_parts/cycloidal.dxf": _MIXED,
    "dxf/trimesh/laser_parts/spline_1.dxf": _MIXED,
    "dxf/libredwg/r1.4/entities.dxf": "a release before R9, which no reader here knows",
    "step/sparkfun-kicad/misc_electronic/FlexyPin_0.4mm.step": _NO_AREA,
    "step/sparkfun-kicad/package_dfn_son/DFN-8_3x2mm.step": _NO_AREA,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one file: OK or a code, the result if there is one, and how long it took."""

    path: Path
    code: str
    result: dict[str, Any] | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Left:
    """What the sandbox left behind: children while it still lived, files, and the zygote itself."""

    children: int
    entries: int
    zygote: bool


def rows(table: str) -> list[dict[str, str]]:
    """A table of the development set, empty where that is not at hand."""
    path = DATA / table
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    chosen = options.parse_args()
    bad, real = rows("bad/expected.csv"), rows("real/reference.csv")
    if not real:
        sys.exit(f"the development set is not at {DATA}: set CADMILL_DATA to its folder")
    hostile, first = answered([DATA / "bad" / row["file"] for row in bad])
    known, second = answered([DATA / "real" / row["path"] for row in real])
    refused = [(row["file"], answer.code) for row, answer in zip(bad, hostile, strict=True) if not allowed(row, answer)]
    odd = [told for row, answer in zip(real, known, strict=True) if (told := deviation(row, answer))]
    page = "\n".join(_page(hostile, known, refused, odd, (first, second)))
    print(page)
    if chosen.write:
        PAGE.write_text(page + "\n", encoding="utf-8")
    unexplained = [told for told in odd if why(told[0]) is None]
    sys.exit(1 if refused or unexplained or any(left.children or left.entries or left.zygote for left in (first, second)) else 0)


def answered(paths: list[Path]) -> tuple[list[Answer], Left]:
    """Each file in a child of its own chunk of 50, and what is left when all is closed."""
    nursery, found = Nursery(Settings()), list[Answer]()
    with Sandbox(nursery) as box:  # so that no file waits for the engine to load
        _answer(box, paths[0])
    for at in range(0, len(paths), 50):
        with Sandbox(nursery) as box:
            found += [_answer(box, path) for path in paths[at : at + 50]]
    zygote, folder = nursery._zygote, Path(nursery._directory)
    assert zygote is not None
    children, entries = _children(zygote.pid), len(list(folder.iterdir()))
    nursery.close()
    return found, Left(children, entries, folder.exists() or zygote.returncode is None)


def _answer(box: Sandbox, path: Path) -> Answer:
    begun = time.perf_counter()
    try:
        result = box.extract(path, path.name, FeatureVersion.V4).result
    except Failure as failure:
        return Answer(path, failure.code, None, time.perf_counter() - begun)
    return Answer(path, "OK", result, time.perf_counter() - begun)


def _children(parent: int) -> int:
    return len(Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="utf-8").split())


def allowed(row: dict[str, str], answer: Answer) -> bool:
    """Whether expected.csv allows this answer to a hostile file."""
    may = set(row["allowed"].split("|"))
    if answer.result is None:
        return CLASSES.get(answer.code, answer.code) in may
    told = {finding["code"] for finding in answer.result["findings"]} - HARMLESS
    # a finding more than the table asks for is no fault where the file may be read without any
    return "OK" in may or (bool(told) and "OK_WITH_WARNINGS" in may)


def why(path: str) -> str | None:
    """The reason of a deviation, None where it has none."""
    return next((reason for place, reason in DEVIATIONS.items() if path.startswith(place)), None)


def deviation(row: dict[str, str], answer: Answer) -> tuple[str, str, str] | None:
    """(path, ours, theirs) where answer or counts differ from those of an independent reader."""
    path, result = row["path"], answer.result
    if result is None:
        holds_nothing = "0" in (row["modelspace_entities"], row["faces"], row["triangles"])
        theirs = "nothing in it" if holds_nothing else "unreadable" if row["read"] == "no" else "read"
        # entities without an outline, and triangles without extent, are counted by a counter but are no geometry
        agree = answer.code in ("GEOMETRY_MISSING", "GEOMETRY_INVALID") or (row["read"] == "no" and answer.code == "FILE_CORRUPT")
        return None if agree or (holds_nothing and answer.code != "ENGINE_DEFECT") else (path, answer.code, theirs)
    told = result["facts"]
    ours = {
        "modelspace_entities": told.get("entities"),
        "faces": sum(told["faces"].values()) if "faces" in told else None,
        "triangles": None if "faces" in told else told.get("triangles"),
        "solids": told.get("solids"),
    }
    if told.get("closed") and row["solids"] == "0":
        ours["solids"] = None  # loose faces that close become a solid here
    wrong = {name: count for name, count in ours.items() if row[name] and count is not None and count != int(row[name])}
    if "edges" in told and row["edge_uses"] and sum(told["edges"].values()) > int(row["edge_uses"]):
        wrong["edge_uses"] = sum(told["edges"].values())
    if wrong:
        return path, str(wrong), str({name: row[name] for name in wrong})
    if any(finding["code"] == "FACES_MISSING" for finding in result["findings"]):
        return path, "FACES_MISSING", ""
    return (path, f"read: {ours['faces'] or ours['modelspace_entities']}", "unreadable") if row["read"] == "no" else None


def _page(
    hostile: list[Answer], known: list[Answer], refused: list[tuple[str, str]], odd: list[tuple[str, str, str]], left: tuple[Left, ...]
) -> Iterator[str]:
    yield "# Reading every file of the development set\n"
    yield f"Written by `python -m bench.reading --write`, measured on {facts()}. Every file goes through the sandbox with default limits.\n"
    yield "| files | answers | longest answer | most memory of a good file |"
    yield "|---|---|---|---|"
    groups = {f"real {kind}": [answer for answer in known if answer.path.relative_to(DATA / "real").parts[0] == kind] for kind in _KINDS}
    for name, some in {**groups, "bad": hostile}.items():
        codes = Counter(answer.code for answer in some)
        told = ", ".join(f"{count} {code}" for code, count in sorted(codes.items(), key=lambda pair: (pair[0] != "OK", -pair[1])))
        slowest = max(some, key=lambda answer: answer.seconds)
        memory = max((answer.result["memory_bytes"] for answer in some if answer.result), default=0)
        yield f"| {name}: {len(some)} | {told} | {slowest.seconds:.2f} s, {slowest.path.name[:40]} | {memory / 1e6:.0f} MB |"
    limits = Settings().sandbox
    yield f"\nLimits: wall {limits.wall_seconds:g} s, memory {limits.memory_bytes / 1e6:.0f} MB beyond the loaded engine.\n"
    deaths = sum(answer.code in ("ENGINE_CRASH", "ENGINE_TIMEOUT", "MEMORY_ERROR", "ENGINE_DEFECT") for answer in (*hostile, *known))
    processes, entries = sum(each.children for each in left), sum(each.entries for each in left)
    yield f"Children that died, hung, or failed in a way they should not: {deaths}. Of the process that stands for the worker: 0. Left"
    yield f"over: {processes} processes, {entries} temporary files or folders.\n"
    yield "## Hostile files\n"
    if refused:
        yield "Answers that `expected.csv` does not allow: " + "; ".join(f"`{name}` {code}" for name, code in refused) + "\n"
    else:
        yield f"All {len(hostile)} answers are ones that `expected.csv` allows.\n"
    yield "## Counts beside those of independent readers\n"
    yield f"Entities, faces, solids, triangles of {len(known)} files; {len(known) - len(odd)} agree. The others:\n"
    yield "| file | ours | theirs | why |"
    yield "|---|---|---|---|"
    for path, ours, theirs in odd:
        yield f"| `{path}` | {ours} | {theirs} | {why(path) or '**not explained**'} |"


_KINDS = sorted({kind.value for name in ("a.dxf", "a.stl", "a.step", "a.igs") if (kind := claimed(name))})


if __name__ == "__main__":
    main()
