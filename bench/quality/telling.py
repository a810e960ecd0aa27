"""The figures of a run as Markdown: the aims first, then what they rest on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple

from bench.quality.aims import NAMES, aims
from bench.quality.comparing import CANDIDATES, RANKINGS, Variants, stable_names
from bench.quality.measured import Quality, Study
from bench.quality.verdict import Verdict
from bench.report import facts
from tasks.vocabulary import Family
from workers.index.sameness import SAME_PART

_DRIFTS = 3
_EXAMPLES = 6

_INTRODUCTION = """# Retrieval quality

Written by `make quality ARGS=--write`. Percentages unless a unit is given; who is equally near shares ("tie-aware").
"""

_ABOUT = f"""## What was measured

- **Files.** The real files of the development set, and of Debian's kicad-packages3d at most 24 STEP files below 0.9 MB of each folder,
  drawn by the hash of their names; a folder with fewer than 14 is no class.
- **Halves.** The first bit of the SHA-256 of a name draws them: of a KiCad folder for *unseen classes*, of a file name without digits
  for the verdict. Unseen classes stand alone in the gallery. The slots were chosen on an earlier draw, so some were seen then.
- **Same part.** Each variant asks all originals for its own, or a twin of it: the same part by name (files of one source with one
  stem in different formats are one part, whichever folder each stands in), all slots equal to 0.001, or
  stable slots equal to 0.001 and exact area and volume to 1e-6. *Gated* ranks all originals, as exact search does; *candidates*:
  only the {CANDIDATES} nearest by all slots and the {CANDIDATES} nearest by the stable ones. x 25.4 is meant to miss with size.
  *Re-exported*: read and written by Open CASCADE, fine STL 0.15 rad and 0.1 % of the diagonal, coarse 0.8 rad and 1 %; poses and
  draws are random but fixed. *Published*: files of the collection that hold the same part. A variant that could not be written or
  read is left out and listed.
- **Like parts.** Leave-one-out over labels. *Family out*: files whose names differ only in digits (other sizes, the same part in
  another format) leave the gallery, and queries that then have nothing to find are left out. Some KiCad folders are brands, which
  no geometry tells apart.
- **Verdict.** False alarms: parts that have a *different* part called the same as they, on the whole shelf. Recall: variants called
  the same as their original, size counted. The limit was chosen on one half (`python -m bench.quality.fit_sameness`), the other
  half reports.
- **Chance.** 100.0 of 250 files still allows 98.8, and 0.7 of 965 allows 1.5 (95 % confidence).
"""

# ranking, whether size counts, whether families are out
_CLASS_ROWS = {("gated", True, False), ("gated", True, True), ("plain", True, True), ("stable", True, True), ("gated", False, True)}


def told(quality: Quality) -> str:
    return "\n".join(_told(quality))


def _told(quality: Quality) -> Iterator[str]:
    yield f"{_INTRODUCTION}Measured on {facts()}.\n"
    rows = [(one.what, one.wanted, one.figure or "-", one.of, one.verdict) for one in aims(quality)]
    yield from _table(("aim", "wanted", "figure", "of", ""), rows)
    yield "Skipped: " + "; ".join(quality.skipped or ["nothing"]) + ".\n"
    yield _ABOUT
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
        yield f"CPU time of whole extractions, medians of rounds that take turns, 95th percentile: {p95}; by format {ratios}.\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def _variants(study: Study) -> Iterator[str]:
    if not study.variants:
        return
    yield "### The same part in another file: recall at one\n"
    head = ("variant", "files", *RANKINGS, "gated, size off", "stable slots that drift most (97 % drift less, in units of scale)")
    yield from _table(head, (_variant(study.family, kind) for kind in study.variants if kind.count))
    missing = {kind.name: kind.missing for kind in study.variants if kind.missing}
    if missing:
        yield "Not made or not read: " + "; ".join(
            f"{name}: {', '.join(f'{count} {reason}' for reason, count in counts.items())}" for name, counts in missing.items()
        )
        yield ""


def _variant(family: Family, kind: Variants) -> Sequence[str]:
    steady = [(name, drift) for name, drift in kind.drift if name in stable_names(family)][:_DRIFTS]
    shares = [f"{100 * kind.recall[ranking, True]:.1f}" for ranking in RANKINGS]
    drifts = ", ".join(f"{name} {drift:.4f}" for name, drift in steady)
    return kind.name, str(kind.count), *shares, f"{100 * kind.recall['gated', False]:.1f}", drifts


def _classes(study: Study) -> Iterator[str]:
    if not study.classes:
        return
    yield "### Like parts\n"
    rows = []
    for name, settings in study.classes.items():
        for row in (row for row in settings if (row.ranking, row.sized, row.family_out) in _CLASS_ROWS):
            ranking = f"{row.ranking}{'' if row.sized else ', size off'}{', family out' if row.family_out else ''}"
            rows.append((name, str(row.labels), ranking, str(row.queries), *(f"{100 * share:.1f}" for share in astuple(row.measures))))
    yield from _table(("set", "labels", "ranking", "queries", "nearest", "first tier", "second tier", "mAP", "nDCG@10"), rows)


def _verdicts(study: Study) -> Iterator[str]:
    yield f'### The verdict "same part": stable distance below {SAME_PART[study.family]:g}\n'
    halves = (study.verdict, study.fitted)
    rows = [("false alarms", *(f"{100 * half.wrong:.2f} ({half.parts})" for half in halves))]
    rows += [(f"recall of {kind.name}", *(_recall(half, kind.name) for half in halves)) for kind in study.variants if not kind.scaled_up]
    yield from _table(("", "reporting half", "half it was fitted to"), rows)
    if study.verdict.examples:
        some = "; ".join(f"{one} = {other}" for one, other in study.verdict.examples[:_EXAMPLES])
        yield f"False alarms of the reporting half, {len(study.verdict.examples)} pairs, the first: {some}.\n"


def _recall(verdict: Verdict, name: str) -> str:
    count, share = verdict.recall.get(name, (0, 0.0))
    return f"{100 * share:.1f} ({count})" if count else "-"
