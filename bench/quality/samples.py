"""Files with labels: the real files with their manifest, and the KiCad packages of Debian. Halves of them, and draws from them."""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

from bench.house import ROOT
from tasks.vocabulary import Format
from workers.cad.readers import READERS

KICAD = Path("/usr/share/kicad/3dmodels")
KICAD_INSTALL = "apt-get update && apt-get install -y --no-install-recommends kicad-packages3d"
# a class with fewer files is none, its files stand in the gallery only
_KICAD_LEAST, _KICAD_BYTES = 14, 900_000
_REDRAWN_BYTES = 500_000
_TRUSTED = ("strong", "medium")
_LEAST_MEMBERS = 4
# the same component in another colour is the same part: geometry is all that a vector can tell
_COLOURS = re.compile("_(amber|black|blue|clear|green|opaque|orange|pink|purple|red|white|yellow)(?=_|$)")


@dataclass(frozen=True, slots=True)
class Sample:
    """A file and what is known of it."""

    path: Path
    label: str  # what counts as relevant to it; empty: unknown, only for the gallery
    part: str  # files of one part (versions, revisions, other formats) share this
    sure: bool = False  # the files of this part were surely meant to hold the same geometry

    @property
    def kin(self) -> str:
        """Shared by files whose names differ only in digits; they leave the gallery when families are out."""
        return re.sub(r"\d+", "#", self.part)

    @property
    def held(self) -> bool:
        """Of the half on which the verdict is reported; it was fitted to the other one. Families stand on one side."""
        return held(self.kin)


def held(name: str) -> bool:
    """Whether this name belongs to the half that only reports: the first bit of its SHA-256."""
    return hashlib.sha256(name.encode()).digest()[0] >= 128


@dataclass(frozen=True, slots=True)
class Collection:
    name: str
    samples: list[Sample]
    skipped: list[str]  # in words
    unseen: bool = False  # half of its classes were never looked at while the slots were chosen


def real(folder: Path) -> Collection:
    """Every file of the manifest in a format that can be read. One drawing in many releases is one part."""
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    readable = [row for row in rows if Format(row["format"]) in READERS]
    skipped = [
        f"{count} {name.upper()} real files: no reader in this build"
        for name, count in sorted(Counter(row["format"] for row in rows).items())
        if Format(name) not in READERS
    ]
    samples, homes = [], _homes(readable)
    for row in readable:
        group, stem = _group(row), Path(row["path"]).stem.lower()
        home = homes.get((row["source"], stem), group)
        label, part = group if row["label"] in _TRUSTED else "", _part(row, group, home)
        sure = bool(label) and part in (group, f"{home}/{stem}")
        samples.append(Sample(folder / row["path"], label, part, sure))
    return Collection("real files", _labelled(samples, _LEAST_MEMBERS), skipped)


def _group(row: dict[str, str]) -> str:
    return f"{row['source']}/{row['category']}"


def _homes(rows: Sequence[dict[str, str]]) -> dict[tuple[str, str], str]:
    """Of each source and stem that come in several formats the group of the first file: one source names one part once, whichever
    folder each format of it stands in.
    """
    files: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        files[row["source"], Path(row["path"]).stem.lower()].append(row)
    return {name: _group(some[0]) for name, some in files.items() if len({row["format"] for row in some}) > 1}


def _part(row: dict[str, str], group: str, home: str) -> str:
    """Which files show one part. What is alike without our knowledge counts as different, to the harm of our figures."""
    stem = Path(row["path"]).stem.lower()
    if row["category"].startswith("version_set_"):
        return group
    if row["source"] == "libredwg":  # its folders are releases of the same drawings: entities, entities-2d, Constraints_12
        return f"libredwg/{re.split('[-_]', stem)[0]}"
    stem = stem.partition("~")[0]  # name~hash is a revision of name
    if row["source"] == "sparkfun-kicad":  # its models are KiCad's, now and then of another release
        return _package(stem)
    return f"{home}/{_COLOURS.sub('', stem)}"


def _package(stem: str) -> str:
    return f"kicad/{_COLOURS.sub('', stem)}"


def _labelled(samples: list[Sample], least: int) -> list[Sample]:
    """Labels with too few members are no labels."""
    members = Counter(sample.label for sample in samples)
    return [sample if members[sample.label] >= least else replace(sample, label="") for sample in samples]


def kicad(folder: Path = KICAD, per_class: int = 24) -> Collection:
    """At most so many small STEP files of each folder, chosen by the hash of their names so that no maker prevails."""
    name = "KiCad packages"
    if Format.STEP not in READERS:
        return Collection(name, [], [f"{name}: no reader for STEP in this build"])
    classes: dict[str, list[Path]] = defaultdict(list)
    for path in folder.rglob("*") if folder.is_dir() else ():
        if path.suffix.lower() in (".step", ".stp") and path.stat().st_size < _KICAD_BYTES:
            classes[path.parent.name].append(path)
    if not classes:
        return Collection(name, [], [f"{name}: NOT INSTALLED in {folder} (5.3 GB); as root: {KICAD_INSTALL}"])
    samples = [
        Sample(path, label, _package(path.stem.lower()))
        for label, paths in sorted(classes.items())
        for path in sorted(paths, key=lot)[:per_class]
    ]
    return Collection(name, _labelled(samples, min(per_class, _KICAD_LEAST)), [], unseen=True)


def redrawn(collections: Sequence[Sequence[Sample]], parts: int) -> list[Sample]:
    """STEP files to be written anew: drawn by the hash of their names, from each collection in turn as long as it has any."""
    lots = [sorted((sample for sample in samples if _is_step(sample.path)), key=lambda sample: lot(sample.path)) for samples in collections]
    return [sample for row in zip_longest(*lots) for sample in row if sample is not None][:parts]


def _is_step(path: Path) -> bool:
    return path.suffix.lower() in (".step", ".stp") and path.stat().st_size < _REDRAWN_BYTES


def lot(path: Path) -> bytes:
    """Files are drawn in this order."""
    return hashlib.sha256(path.name.encode()).digest()


def data_folder() -> Path:
    """Where the development set is kept; it is too large and too mixed in licence to be part of the house."""
    return Path(os.environ.get("CADMILL_DATA", ROOT.parent / "shared" / "data")) / "real"
