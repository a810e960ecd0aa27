"""The figures of `bench.quality` as Markdown, aims beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING

from bench.comparing import CANDIDATES, Variants, stable_names
from bench.report import facts
from bench.verdict import WRONG_AT_MOST, Verdict
from tasks.vocabulary import Family

if TYPE_CHECKING:
    from bench.quality import Judgement, Quality, Study

_NAMES = {Family.FLAT: "drawings", Family.SOLID: "solids"}
# recall at one of the original, in %: meshes are held to the aim for meshes, whatever they were written from (Q1, Q7)
_AIMS = {Family.FLAT: {"x 25.4": 99.5, "": 99.5}, Family.SOLID: {"turned, moved": 99.8, "coarser": 99.0, "": 99.5}}
_CLASS_AIMS = "Q4: nearest 75, mAP 50, nDCG 60"
_VERDICT_AIMS = {Family.FLAT: 99.0, Family.SOLID: 95.0}
_DRIFTS = 3

_INTRODUCTION = """# Retrieval quality

Written by `make quality ARGS=--write`. All figures are percentages unless a unit is given; "equal distances share" everywhere.
The limits of the verdict were chosen on the files that are told here, and the rules that say which files are one part (releases of
a drawing, revisions, colours) were completed after looking at false alarms. So these rates describe this set; others will see others.
A rate that rests on few files is coarse: none of 171 still allows 1.7 %, two of 302 allow 2.4 % (95 % confidence).
"""

_ABOUT_CLASSES = """Leave-one-out: every labelled file asks for the others of its label. *Family out*: files whose names differ only in
digits (other sizes of one standard part, the same part in another format) leave the gallery, and queries that then have nothing
to find are left out.
"""

_ABOUT_VARIANTS = f"""Each variant asks the shelf of all originals for its own original, or a twin of it (all 24 scaled slots equal to
0.001, or the same part by name; without size, the first slot does not count). *Gated* sees all originals, as exact search does;
*candidates*: the gate sees only the {CANDIDATES} nearest by all slots and the {CANDIDATES} nearest by the stable ones.
x 25.4 has its aim without size; with size it is meant to miss. *Published* rows are no variants of ours: files of the collection
that hold the same part. Drift: 97th percentile, in units of scale.
Made without a CAD kernel: what meshing curved faces anew or writing STEP and IGES changes is only seen in published rows.
"""

_ABOUT_VERDICT = f"""A false alarm is a part that has a *different* part within the limit of the stable distance; the aim is
{WRONG_AT_MOST:.0%} or less. Recall is the share of variants within the limit of their original, size counted.
"""


def told(quality: Quality) -> str:
    return "\n".join(_told(quality))


def _told(quality: Quality) -> Iterator[str]:
    yield _INTRODUCTION
    yield f"Measured on {facts()}.\n"
    for study in quality.studies:
        formats = ", ".join(f"{count} {name.upper()}" for name, count in study.formats.items())
        yield f"## {study.collection}: {_NAMES[study.family]}\n"
        yield f"{formats}; {study.twins} of them equal another file of another name (twins).\n"
        if study.classes:
            yield from _classes(study)
        if study.variants:
            yield from _variants(study)
        if study.judgement:
            yield from _judgement(study.family, study.judgement)
    if quality.price is not None:
        verdict = "met" if quality.price <= 1.05 else "MISSED"
        yield "## What v4 costs\n"
        files = f"{quality.timed} DXF and STL files"
        yield f"95th percentile of whole extractions, v4 by v3, over {files}: {quality.price:.3f} (aim 1.05: {verdict}).\n"
    yield "## Skipped\n"
    yield from (f"- {line}" for line in quality.skipped or ["nothing"])
    yield ""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def _classes(study: Study) -> Iterator[str]:
    aims = f" Aims for the KiCad packages, family out ({_CLASS_AIMS}); other collections have none." if study.family is Family.SOLID else ""
    yield f"### Like parts\n\n{_ABOUT_CLASSES}{study.classes[0].labels} labels.{aims}\n"
    yield from _table(
        ("ranking", "queries", "nearest", "first tier", "second tier", "mAP", "nDCG@10"),
        [(row.setting, str(row.queries), *(f"{100 * share:.1f}" for share in astuple(row.measures))) for row in study.classes],
    )


def _variants(study: Study) -> Iterator[str]:
    yield f"### The same part in another file: recall at one\n\n{_ABOUT_VARIANTS}"
    rows = [row for kind in study.variants for row in _variant(study.family, kind)]
    yield from _table(
        ("variant", "files", "size", "plain", "stable", "candidates", "gated", "aim", "", "slots that drift most (* stable)"), rows
    )
    missing = {kind.name: kind.missing for kind in study.variants if kind.missing}
    if missing:
        yield "Not made or not read: " + "; ".join(
            f"{name}: {', '.join(f'{count} {reason}' for reason, count in counts.items())}" for name, counts in missing.items()
        )
        yield ""


def _variant(family: Family, kind: Variants) -> Iterator[Sequence[str]]:
    stable = stable_names(family)
    leading = kind.drift[:_DRIFTS]
    steady = [(name, drift) for name, drift in kind.drift if name in stable][:_DRIFTS]
    shown = dict(leading + steady)
    drifts = ", ".join(f"{name}{'*' * (name in stable)} {drift:.3f}" for name, drift in shown.items())
    for sized in (True, False) if kind.count else ():
        shares = [100 * kind.recall[ranking, sized] for ranking in ("plain", "stable", "candidates", "gated")]
        aim = _aim(family, kind) if sized != kind.scaled_up else None
        reached = "" if aim is None else "met" if shares[-1] >= aim else "MISSED"
        numbers = [f"{share:.1f}" for share in shares]
        yield (
            kind.name,
            str(kind.count),
            "on" if sized else "off",
            *numbers,
            "" if aim is None else str(aim),
            reached,
            drifts if sized else "",
        )


def _aim(family: Family, kind: Variants) -> float:
    aims = _AIMS[family]
    return aims.get(kind.name.partition(": ")[2], aims[""])


def _judgement(family: Family, judgement: Judgement) -> Iterator[str]:
    yield f'### The verdict "same part" (Q6)\n\n{_ABOUT_VERDICT}'
    names = list(judgement.now.recall)
    rows = [_verdict(f"{verdict.limit:g}", verdict, names) for verdict in judgement.curve]
    rows.append(_verdict(f"**{judgement.now.limit:g}** in force", judgement.now, names))
    rows.append(_verdict(f"{judgement.widest.limit:g} widest for {WRONG_AT_MOST:.0%}", judgement.widest, names))
    yield from _table(("limit", f"false alarms of {judgement.parts}", *names), rows)
    right = judgement.now.wrong <= WRONG_AT_MOST
    low = [name for name in names if 100 * judgement.now.recall[name] < _VERDICT_AIMS[family]]
    yield (
        f"In force: false alarms {'met' if right else 'MISSED'}; recall {_VERDICT_AIMS[family]:.0f} or more "
        + (f"MISSED by {'; '.join(low)}" if low else "met by every variant")
        + ".\n"
    )


def _verdict(limit: str, verdict: Verdict, names: Sequence[str]) -> Sequence[str]:
    return limit, f"{100 * verdict.wrong:.2f}", *(f"{100 * verdict.recall[name]:.1f}" for name in names)
