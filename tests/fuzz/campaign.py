"""Mutant after mutant through the sandbox, as long as there is time; what came of it is kept in a folder and can be gone on with."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tasks.vocabulary import Format
from tests.fuzz.corpus import Corpus, Mutant
from tests.fuzz.judge import Answer, Look, broken, notable
from tests.fuzz.supervisor import Supervisor

_KEPT = 3  # mutants saved of one kind of slip
_SAVE_SECONDS = 20.0


@dataclass(slots=True)
class Tally:
    """What a campaign saw so far."""

    seed: int
    next: int = 0  # the number of the next mutant
    seconds: float = 0.0
    worker_deaths: int = 0
    memory: int = 0  # most a child took, in bytes
    slowest: float = 0.0
    outcomes: dict[str, dict[str, int]] = field(default_factory=dict)  # by format, then by code
    fast: int = 0  # drawings that the fast reader answered
    both_ways: int = 0  # of these, compared with the reference
    broken: dict[str, int] = field(default_factory=dict)
    notable: dict[str, int] = field(default_factory=dict)

    def count(self, mutant: Mutant, look: Look, answer: Answer) -> None:
        table = self.outcomes.setdefault(mutant.format.value, {})
        table[answer.code] = table.get(answer.code, 0) + 1
        self.memory, self.slowest = max(self.memory, answer.memory), max(self.slowest, answer.seconds)
        self.fast += answer.reader == "fast"
        self.both_ways += look.both_ways and answer.reader == "fast"

    @property
    def mutants(self) -> int:
        return sum(sum(table.values()) for table in self.outcomes.values())


class Campaign:
    """A corpus, a seed, a folder for what is found (none: nothing is kept)."""

    def __init__(self, corpus: Corpus, supervisor: Supervisor, seed: int, folder: Path | None = None) -> None:
        self._corpus, self._supervisor, self._folder = corpus, supervisor, folder
        state = folder / "progress.json" if folder else None
        self.tally = Tally(seed)
        if state is not None and state.is_file():
            self.tally = Tally(**json.loads(state.read_text()))
            if self.tally.seed != seed:
                raise SystemExit(f"{folder} holds a campaign with seed {self.tally.seed}: go on with that seed, or name another folder")

    def run(self, seconds: float, mutants: int | None = None, only: Format | None = None) -> Tally:
        """Go on for so many seconds, or until so many mutants were asked about."""
        started = saved = time.monotonic()
        before = self.tally.seconds
        asked = 0
        try:
            while time.monotonic() - started < seconds and asked != mutants:
                self._ask(self._corpus.mutant(self.tally.seed, self.tally.next, only))
                self.tally.next += 1
                asked += 1
                self.tally.seconds = before + time.monotonic() - started
                if time.monotonic() - saved > _SAVE_SECONDS:
                    saved = time.monotonic()
                    self._save()
        finally:
            self._save()
        return self.tally

    def _ask(self, mutant: Mutant) -> None:
        look = Look.at(mutant.number, mutant.format)
        answer = self._supervisor.answer(mutant, look)
        self.tally.count(mutant, look, answer)
        self.tally.worker_deaths += answer.code == "WORKER_DEATH"
        for kind, counts, told in (
            ("broken", self.tally.broken, broken(mutant.format, answer, self._supervisor.limits)),
            ("notable", self.tally.notable, notable(mutant.format, answer)),
        ):
            for what in told:
                counts[what] = counts.get(what, 0) + 1
                if counts[what] <= _KEPT:
                    self._keep(kind, what, mutant, look, answer)

    def _keep(self, kind: str, what: str, mutant: Mutant, look: Look, answer: Answer) -> None:
        if self._folder is None:
            return
        folder = self._folder / kind
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{hashlib.sha256(what.encode()).hexdigest()[:8]}-{mutant.name}"
        (folder / name).write_bytes(mutant.data)
        origin = {"what": what, "seed": self.tally.seed, "number": mutant.number, "source": mutant.source}
        (folder / f"{name}.json").write_text(json.dumps({**origin, "look": asdict(look), "answer": asdict(answer)}, indent=1))

    def _save(self) -> None:
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            state = self._folder / "progress.json"
            new = state.with_suffix(".new")
            new.write_text(json.dumps(asdict(self.tally), indent=1))
            new.replace(state)


def told(tally: Tally) -> str:
    """A campaign on one screen."""
    pace = tally.mutants / max(tally.seconds, 1e-9)
    lines = [f"seed {tally.seed}: {tally.mutants} mutants in {tally.seconds / 60:.1f} min, {pace:.1f} a second"]
    for fmt, table in sorted(tally.outcomes.items()):
        codes = ", ".join(f"{code} {count}" for code, count in Counter(table).most_common())
        lines.append(f"  {fmt:<5}{sum(table.values()):>7}  {codes}")
    lines.append(f"  drawings read the fast way {tally.fast}, compared with the reference {tally.both_ways}")
    lines.append(f"  slowest answer {tally.slowest:.1f} s, most memory {tally.memory / 1e6:.0f} MB, worker deaths {tally.worker_deaths}")
    for title, counts in (("worth a look", tally.notable), ("PROMISES BROKEN", tally.broken)):
        if counts:
            lines.append(f"{title}: {sum(counts.values())}, of {len(counts)} kinds")
            lines += [f"  {count:>5} x {what[:150]}" for what, count in Counter(counts).most_common(12)]
    if not tally.broken:
        lines.append("no promise was broken")
    return "\n".join(lines)
