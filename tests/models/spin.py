"""Spin over the models of this folder: the edges come from tables in Python, the verbs are written by hand beside them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from foundation.resilience import breaker, retry
from ledger.repair import GIVE_UP_AFTER, SPLIT_AFTER
from ledger.states import BIRTH, TABLES, ended

HERE = Path(__file__).parent
NO_SPIN = "NO SPIN: the models are not checked; apt-get install spin gcc"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What Spin found: how many states it stored, how many errors (0 or 1: it stops at the first), and the error."""

    states: int
    errors: int
    error: str


def missing() -> bool:
    return not (shutil.which("spin") and shutil.which("gcc"))


def edges() -> str:
    """The tables of `ledger/states.py`, of breaker and retry as Promela macros. MOVE_* changes a state and fails where the database
    would refuse."""
    lines = [
        "/* made from ledger/states.py, ledger/repair.py and foundation/resilience/ */",
        f"#define SPLIT_AFTER {SPLIT_AFTER}",
        f"#define GIVE_UP_AFTER {GIVE_UP_AFTER}",
    ]
    for table, moves in TABLES.items():
        word = {"jobs": "JOB", "chunks": "CHUNK", "items": "ITEM", "deliveries": "DELIVERY", "endpoints": "ENDPOINT"}[table]
        lines += [f"#define {word}_{state.upper()} {number}" for number, state in enumerate(moves)]
        legal = [
            f"((o) == {word}_{old.upper()} && (n) == {word}_{new.upper()})" for old, targets in moves.items() for new in sorted(targets)
        ]
        born = [f"((s) == {word}_{state.upper()})" for state in sorted(BIRTH[table])]
        over = [f"((s) == {word}_{state.upper()})" for state in ended(table)]
        first = next(state for state in moves if state in BIRTH[table])
        lines += [
            f"#define {word}_BORN {word}_{first.upper()}",
            f"#define LEGAL_{word}(o, n) ({' || '.join(legal)})",
            f"#define BORN_{word}(s) ({' || '.join(born)})",
            f"#define ENDED_{word}(s) ({' || '.join(over)})",
            f"#define MOVE_{word}(row, n) assert(LEGAL_{word}(row, n)); row = n",
        ]
    lines += _machine("BREAKER", breaker.MOVES) + _machine("STEP", retry.STEPS)
    return "\n".join(lines) + "\n"


def _machine(word: str, table: Mapping[StrEnum, Mapping[StrEnum, StrEnum]]) -> list[str]:
    """A table of states and events: a macro an event, which moves a state and fails where the table has no such move."""
    names = {state: f"{word}_{state.name}" for state in table}
    lines = [f"#define {name} {number}" for number, name in enumerate(names.values())]
    for event in sorted({event for row in table.values() for event in row}):
        ways = {old: row[event] for old, row in table.items() if event in row}
        legal = " || ".join(f"(row) == {names[old]}" for old in ways)
        target = "row"
        for old, new in ways.items():
            target = f"((row) == {names[old]} -> {names[new]} : {target})"
        lines.append(f"#define {word}_{event.name}(row) assert({legal}); row = {target}")
    return lines


@dataclass(frozen=True, slots=True)
class Checker:
    """The checker that Spin made of one model in one scenario."""

    folder: Path

    def claim(self, name: str, fair: bool = True) -> Verdict:
        """Judge every assertion and an LTL claim of the model; `fair`: who can always move will move, as "ends" claims need."""
        told = _run(["./pan", "-m100000", "-w18", "-a", *(["-f"] if fair else []), "-N", name], self.folder)
        errors, states = re.search(r"errors: (\d+)", told), re.search(r"(\d+) states, stored", told)
        assert errors, told
        assert states, told
        found = [line for line in told.splitlines() if re.match(r"pan:\d+: (assertion|acceptance|invalid)", line)]
        # a search that was cut off has proved nothing
        assert found or not re.search(r"max search depth too small|out of memory|aborted", told), told
        return Verdict(int(states[1]), int(errors[1]), found[0] if found else "")


def compile_model(model: str, folder: Path, **defines: int) -> Checker:
    """Make the checker of a model in the scenario and with the mutations that `defines` name.

    Raises `subprocess.CalledProcessError` where the model is not Promela."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{model}.pml").write_text(edges() + (HERE / f"{model}.pml").read_text())
    _run(["spin", *(f"-D{name}={value}" for name, value in defines.items()), "-a", f"{model}.pml"], folder)
    _run(["gcc", "-O0", "-w", "-DNFAIR=3", "-o", "pan", "pan.c"], folder)
    return Checker(folder)


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=170, check=False)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr + done.stdout)
    return done.stdout
