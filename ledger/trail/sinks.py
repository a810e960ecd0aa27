"""Where committed lines are handed to besides the database: a file, or the memory of a test.

Nobody writes to a sink in the middle of a commit. The clock hands over what lies behind the position that the sink itself knows, so a
line comes at least once and each chain in its order, whatever was killed: a restart goes on where the file ends.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ledger.session import Ledger
from ledger.trail import reading
from ledger.trail.lines import Appended, Held

_MOST = 20_000  # lines of one handing over


class Taking(Protocol):
    """A sink in the hands of one process. `position`: the number of the last line it has of each chain."""

    @property
    def position(self) -> Mapping[str, int]: ...

    def take(self, lines: Sequence[str]) -> None:
        """Keep lines of JSON for good. Raises OSError."""


class Sink(Protocol):
    def taking(self) -> AbstractContextManager[Taking]:
        """Nobody else hands over meanwhile. Raises OSError."""


@dataclass
class MemorySink:
    """For tests."""

    lines: list[str] = field(default_factory=list)
    position: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def taking(self) -> Iterator[MemorySink]:
        yield self

    def take(self, lines: Sequence[str]) -> None:
        self.lines += lines
        for line in lines:
            _see(line, self.position)


@dataclass
class _OpenFile:
    position: Mapping[str, int]
    held: Held

    def take(self, lines: Sequence[str]) -> None:
        self.held.write(lines)


class FileSink:
    """JSON lines as `cadmill audit export` writes them; `cadmill audit verify --file` proves them."""

    def __init__(self, path: Path) -> None:
        self._file = Appended(path)
        self._position: dict[str, int] = {}

    @contextmanager
    def taking(self) -> Iterator[_OpenFile]:
        with self._file.held() as held:
            if held.begun_anew:
                self._position = {}
            for line in held.news():
                _see(line, self._position)
            yield _OpenFile(self._position, held)


def _see(line: str, position: dict[str, int]) -> None:
    try:
        told = json.loads(line)
        chain, number = str(told["chain"]), int(told["number"])
    except (ValueError, KeyError, TypeError):
        return  # a heading, or not ours
    position[chain] = max(number, position.get(chain, 0))


def hand_over(ledger: Ledger, sink: Sink) -> int:
    """Give a sink what it has not got, up to a limit; how many lines. Raises OSError, DATABASE_UNAVAILABLE."""
    given = 0
    with ledger.read() as tx:
        ends = reading.ends(tx)
    with sink.taking() as open_sink:
        for chain, (head, floor) in sorted(ends.items()):
            known = open_sink.position.get(chain, 0)
            if head.number <= known:
                continue
            if known < floor.number:
                open_sink.take([reading.floor_line(chain, floor)])
            for rows in reading.behind(ledger, chain, max(known, floor.number), head.number):
                open_sink.take([reading.line_of(row) for row in rows])
                given += len(rows)
                if given >= _MOST:
                    return given
    return given
