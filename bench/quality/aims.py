"""What a run is held to: each aim beside its figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.quality.classes import Classes
from bench.quality.comparing import Variants
from bench.quality.measured import Quality, Study
from bench.quality.verdict import WRONG_AT_MOST
from tasks.vocabulary import Family

# recall at one in %, size off where the unit changed
_SAME_PART: dict[Family, dict[str, float]] = {
    Family.SOLID: {
        "re-exported: STEP turned, moved": 99.8,
        "re-exported: IGES solid": 99.8,
        "re-exported: IGES faces": 99.5,
        "re-exported: fine STL": 99.5,
        "re-exported: coarse STL": 99.0,
        "re-exported: STEP x 25.4": 99.5,
    },
    Family.FLAT: {"dxf: other release": 99.0, "dxf: moved": 99.0, "dxf: turned, moved": 99.0, "dxf: exploded": 99.0, "dxf: x 25.4": 99.5},
}
VERDICT: dict[Family, dict[str, float]] = {
    Family.SOLID: {"re-exported: STEP turned, moved": 99.0, "re-exported: fine STL": 95.0},
    Family.FLAT: {"dxf: other release": 99.0, "dxf: moved": 99.0, "dxf: turned, moved": 99.0, "dxf: exploded": 99.0},
}
_PACKAGES, _UNSEEN = "KiCad packages", "KiCad packages, unseen classes"
_NEAREST, _PRECISION = (73.0, 75.0), (45.0, 50.0)  # aim, stretch
_PRICE = 1.05
NAMES = {Family.FLAT: "drawings", Family.SOLID: "solids"}


@dataclass(frozen=True, slots=True)
class Aim:
    """`figure` is None where it could not be measured, `of` tells on how much it rests."""

    what: str
    wanted: str
    figure: str | None
    of: str
    met: bool

    @property
    def verdict(self) -> str:
        return "not measured" if self.figure is None else "met" if self.met else "MISSED"


def aims(quality: Quality) -> list[Aim]:
    """In the order of the page."""
    studies = {study.family: study for study in quality.studies}
    rows: list[Aim] = []
    for family in (Family.SOLID, Family.FLAT):
        study = studies.get(family)
        kinds = {kind.name: kind for kind in study.variants} if study else {}
        rows += [_recall(name, wanted, kinds.get(name)) for name, wanted in _SAME_PART[family].items()]
    rows += _classes(studies.get(Family.SOLID))
    for family in (Family.SOLID, Family.FLAT):
        rows += _verdict(family, studies.get(family))
    found = quality.price
    rows.append(
        _at_most("v4 / v3, 95th percentile of CPU time", _PRICE, None, "")
        if found is None
        else _at_most("v4 / v3, 95th percentile of CPU time", _PRICE, found.ratio, f"{found.files} files", 3)
    )
    return rows


def _recall(name: str, wanted: float, kind: Variants | None) -> Aim:
    size = ", size off" if name.endswith("25.4") else ""
    what = f"same part, {name.removeprefix('re-exported: ')}: R@1{size}"
    if kind is None or not kind.count:
        return _at_least(what, wanted, None, "")
    share = kind.recall["gated", not kind.scaled_up]
    return _at_least(what, wanted, 100 * share, f"{kind.count} files, {kind.count * (1 - share):.3g} missed")


def _classes(study: Study | None) -> Iterator[Aim]:
    unseen, all_of_them = ((_row(study.classes.get(name, ())) if study else None) for name in (_UNSEEN, _PACKAGES))
    for name, measure, (wanted, stretch) in (("nearest is of the class", "nearest", _NEAREST), ("mAP", "precision", _PRECISION)):
        figure, of = None, ""
        if unseen and all_of_them:
            figure, rest = (100 * getattr(row.measures, measure) for row in (unseen, all_of_them))
            of = f"{unseen.queries} files, {unseen.labels} classes; stretch {stretch:g}; all {all_of_them.labels} classes: {rest:.1f}"
        yield _at_least(f"{_UNSEEN}, family out: {name}", wanted, figure, of)


def _row(rows: Sequence[Classes]) -> Classes | None:
    """As the search ranks by default."""
    return next((row for row in rows if row.ranking == "gated" and row.sized and row.family_out), None)


def _verdict(family: Family, study: Study | None) -> Iterator[Aim]:
    verdict = study.verdict if study else None
    what = f'verdict "same part", {NAMES[family]}'
    wrong = None if verdict is None or not verdict.parts else 100 * verdict.wrong
    yield _at_most(f"{what}: false alarms", 100 * WRONG_AT_MOST, wrong, f"{verdict.parts} parts" if verdict else "", 2)
    for name, wanted in VERDICT[family].items():
        count, share = verdict.recall.get(name, (0, 0.0)) if verdict else (0, 0.0)
        told = f"{what}: recall of {name.removeprefix('re-exported: ')}"
        yield _at_least(told, wanted, 100 * share if count else None, f"{count} files" if count else "")


def _at_least(what: str, wanted: float, figure: float | None, of: str) -> Aim:
    return Aim(what, f"&ge; {wanted:g}", None if figure is None else f"{figure:.2f}", of, figure is not None and figure >= wanted)


def _at_most(what: str, wanted: float, figure: float | None, of: str, digits: int = 1) -> Aim:
    told = None if figure is None else f"{figure:.{digits}f}"
    return Aim(what, f"&le; {wanted:g}", told, of, figure is not None and figure <= wanted)
