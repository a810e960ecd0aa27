"""The figures of a run as Markdown: the aims first, then what they rest on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple

from bench.quality.aims import NAMES, aims
from bench.quality.comparing import CANDIDATES, RANKINGS, Variants, stable_names
from bench.quality.measured import Quality, Study
from bench.quality.verdict import Verdict
from bench.report import facts
from tasks.vocabulary import Family

_DRIFTS = 3
_EXAMPLES = 10

_INTRODUCTION = """# Retrieval quality

Written by `make quality ARGS=--write`. Percentages unless a unit is given; who is equally near shares ("tie-aware").
A share of 100.0 of 250 files still allows 98.8 (95 % confidence).
"""

_ABOUT_CLASSES = """Every labelled file asks for the others of its label. *Family out*: files whose names differ only in digits (other
sizes, the same part in another format) leave the gallery, and queries that then have nothing to find are left out.
*Unseen classes*: the half of the KiCad folders that the hash of their names draws, alone in the gallery. The slots were chosen
on an earlier draw, so some of these were seen then. A folder of fewer than 14 small files is no class; some folders are brands,
which no geometry can tell apart.
"""

_ABOUT_VARIANTS = f"""Each variant asks all originals for its own, or a twin of it: the same part by name, all slots equal to 0.001, or
stable slots equal to 0.001 and exact area and volume to 1e-6. *Gated* ranks all originals, as exact search does; *candidates*: only
the {CANDIDATES} nearest by all slots and the {CANDIDATES} nearest by the stable ones. x 25.4 is meant to miss with size.
*Re-exported*: written by Open CASCADE; fine STL 0.15 rad and 0.1 % of the diagonal, coarse 0.8 rad and 1 %; poses and draws are
random but fixed. *Published*: files of the collection that hold the same part. Drift: 97th percentile, in units of scale, stable
slots marked *.
"""

_ABOUT_VERDICT = """False alarms: parts that have a *different* part called the same as they. Recall: variants called the same as
their original, size counted. The rule was fitted to one half of the parts (by the hash of the name without digits) by
`bench/quality/fit_sameness.py`; the other half reports, against the whole shelf.
"""


def told(quality: Quality) -> str:
    return "\n".join(_told(quality))


def _told(quality: Quality) -> Iterator[str]:
    yield f"{_INTRODUCTION}Measured on {facts()}.\n"
    rows = [(one.what, one.wanted, one.figure or "-", one.of, one.verdict) for one in aims(quality)]
    yield from _table(("aim", "wanted", "figure", "of", ""), rows)
    yield "## Skipped\n"
    yield from (f"- {line}" for line in quality.skipped or ["nothing"])
    yield ""
    for study in sorted(quality.studies, key=lambda study: study.family is Family.FLAT):
        formats = ", ".join(f"{count} {name.upper()}" for name, count in study.formats.items())
        yield f"## {NAMES[study.family].capitalize()}\n"
        yield f"{formats}; {study.twins} of them equal another file of another name (twins).\n"
        yield from _variants(study)
        yield from _classes(study)
        yield from _verdicts(study)
    if quality.price is not None:
        found = quality.price
        yield "## What v4 costs\n"
        ratios = ", ".join(f"{name.upper()} {ratio:.3f} ({count})" for name, (count, ratio) in found.ratios.items())
        p95 = f"v3 {found.v3:.0f} ms, v4 {found.v4:.0f} ms, ratio {found.ratio:.3f}"
        yield f"CPU time of whole extractions, 95th percentile: {p95}; by format {ratios}.\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def _classes(study: Study) -> Iterator[str]:
    if not study.classes:
        return
    yield f"### Like parts\n\n{_ABOUT_CLASSES}"
    head = ("set", "labels", "ranking", "queries", "nearest", "first tier", "second tier", "mAP", "nDCG@10")
    rows = []
    for name, settings in study.classes.items():
        for row in settings:
            ranking = f"{row.ranking}{'' if row.sized else ', size off'}, {'family out' if row.family_out else 'all'}"
            rows.append((name, str(row.labels), ranking, str(row.queries), *(f"{100 * share:.1f}" for share in astuple(row.measures))))
    yield from _table(head, rows)


def _variants(study: Study) -> Iterator[str]:
    if not study.variants:
        return
    yield f"### The same part in another file: recall at one\n\n{_ABOUT_VARIANTS}"
    rows = [row for kind in study.variants for row in _variant(study.family, kind)]
    yield from _table(("variant", "files", "size", *RANKINGS, "slots that drift most"), rows)
    missing = {kind.name: kind.missing for kind in study.variants if kind.missing}
    if missing:
        yield "Not made or not read: " + "; ".join(
            f"{name}: {', '.join(f'{count} {reason}' for reason, count in counts.items())}" for name, counts in missing.items()
        )
        yield ""


def _variant(family: Family, kind: Variants) -> Iterator[Sequence[str]]:
    stable = stable_names(family)
    steady = [(name, drift) for name, drift in kind.drift if name in stable][:_DRIFTS]
    shown = dict(kind.drift[:_DRIFTS] + steady)
    drifts = ", ".join(f"{name}{'*' * (name in stable)} {drift:.3f}" for name, drift in shown.items())
    for sized in (True, False) if kind.count else ():
        shares = [f"{100 * kind.recall[ranking, sized]:.1f}" for ranking in RANKINGS]
        yield kind.name, str(kind.count), "on" if sized else "off", *shares, drifts if sized else ""


def _verdicts(study: Study) -> Iterator[str]:
    yield f'### The verdict "same part"\n\n{_ABOUT_VERDICT}'
    names = list(study.verdict.recall)
    rows = [_verdict("reporting half", study.verdict, names), _verdict("half it was fitted to", study.fitted, names)]
    yield from _table(("half", "parts", "false alarms", *names), rows)
    if study.verdict.examples:
        some = "; ".join(f"{one} = {other}" for one, other in study.verdict.examples[:_EXAMPLES])
        yield f"False alarms of the reporting half, {len(study.verdict.examples)} pairs: {some}.\n"


def _verdict(half: str, verdict: Verdict, names: Sequence[str]) -> Sequence[str]:
    counted = [verdict.recall.get(name, (0, 0.0)) for name in names]
    shares = [f"{100 * share:.1f} ({count})" if count else "-" for count, share in counted]
    return half, str(verdict.parts), f"{100 * verdict.wrong:.2f}", *shares
