"""What a person sees: tables, progress and failures. On a terminal with colour and live bars, elsewhere plain lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from json import dumps
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

from foundation.clock import SYSTEM

OUT = Console(highlight=False, soft_wrap=True)
_PLAIN_EVERY_SECONDS = 1.0


def clean(value: object) -> str:
    """Text that cannot steer a terminal: names come from files, and a file name may hold escape codes."""
    return "".join(letter if letter.isprintable() else "?" for letter in str("" if value is None else value))


def line(text: str = "", style: str = "") -> None:
    OUT.print(Text(text, style=style))


def json(value: object) -> None:
    """For programs: as it is, without colour or folding."""
    print(dumps(value, indent=2, ensure_ascii=True))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Rows under headings; for programs and files as aligned plain columns, never cut to a width."""
    texts = [[clean(cell) for cell in row] for row in rows]
    line(f"\n{title}", "bold")
    if OUT.is_terminal:
        drawn = Table(header_style="bold")
        for column in columns:
            drawn.add_column(column, overflow="fold")
        for row in texts:
            drawn.add_row(*[Text(cell, style=_COLOURS.get(cell, "")) for cell in row])
        Console(highlight=False).print(drawn)
        return
    widths = [max(len(cell) for cell in column) for column in zip(columns, *texts, strict=True)]
    for row in [list(columns), *texts]:
        line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


_COLOURS = {"succeeded": "green", "failed": "red", "partial": "yellow", "cancelled": "yellow", "running": "cyan"}


def failure(code: str, message: str, context: Mapping[str, Any], remedy: str) -> None:
    """One red line on the error stream: code, sentence, context, what to do. The last lines of a log come below it."""
    stream = Console(stderr=True, highlight=False, soft_wrap=True)
    told = "; ".join(f"{name}: {clean(value)}" for name, value in context.items() if name != "last_lines")
    stream.print(Text(f"{code}: {clean(message)}{f' ({told})' if told else ''} {clean(remedy)}".rstrip(), style="bold red"))
    for text in context.get("last_lines") or ():
        stream.print(Text(f"  | {clean(text)}"))


def summary(job: Mapping[str, Any]) -> None:
    """How a job ended, in one line, and its own error if it has one."""
    counts = job["counts"]
    parts = [f"{counts['succeeded']} succeeded", f"{counts['failed']} failed"]
    if counts.get("cancelled"):
        parts.append(f"{counts['cancelled']} cancelled")
    line(f"job {job['id']} {job['state']}: {', '.join(parts)} of {counts['total']}", _COLOURS.get(str(job["state"]), ""))
    if error := job.get("error"):
        line(f"  {clean(told(error))}")


def told(error: object) -> str:
    """A failure as an item or job carries it: code and sentence."""
    return f"{error.get('code', '')}: {error.get('message', '')}" if isinstance(error, Mapping) else str(error)


class Watched:
    """The progress of one job."""

    def __init__(self, bar: Progress | None) -> None:
        self._bar = bar
        self._task = None if bar is None else bar.add_task("waiting", total=None, rate="")
        self._begun: float | None = None
        self._last, self._printed = "", 0.0

    def update(self, job: Mapping[str, Any]) -> None:
        counts, now = job["counts"], SYSTEM.tick()
        done = counts["total"] - counts["pending"]
        if job["state"] != "queued" and self._begun is None:
            self._begun = now
        rate = done / (now - self._begun) if self._begun is not None and now > self._begun else 0.0
        text = f"{job['state']}: {counts['succeeded']} succeeded, {counts['failed']} failed"
        waits = job.get("waiting") if not done else None  # what has begun shows its own progress
        if waits:
            text = f"{job['state']}: {clean(waits['sentence'])}"
        speed = f"{rate:.1f}/s" if rate else ""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=text, completed=done, total=counts["total"], rate=speed)
            return
        eta = f", {counts['pending'] / rate:.0f} s left" if rate and counts["pending"] else ""
        plain = text if waits else f"{text} of {counts['total']}{f', {speed}' if speed else ''}{eta}"
        ended = not counts["pending"]
        if text != self._last and (ended or now - self._printed >= _PLAIN_EVERY_SECONDS):
            line(plain)
            self._last, self._printed = text, now


@contextmanager
def watching() -> Iterator[Watched]:
    """A live bar on a terminal; elsewhere a line a second at most, when something changed."""
    if not OUT.is_terminal:
        yield Watched(None)
        return
    text, rate = TextColumn("{task.description}"), TextColumn("{task.fields[rate]}")
    with Progress(text, BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn(), console=OUT) as bar:
        yield Watched(bar)


@contextmanager
def uploading(files: int, size: int) -> Iterator[Any]:
    """Gives the function that is told of each piece sent."""
    if not OUT.is_terminal:
        line(f"uploading {files} file(s), {size / 1e6:.1f} MB")
        yield lambda sent: None
        return
    text = TextColumn("uploading {task.fields[files]} file(s)")
    with Progress(text, BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(), console=OUT) as bar:
        task = bar.add_task("", total=size, files=files)
        yield lambda sent: bar.advance(task, sent)
