"""What an answer to a mutant must be, and what else is worth telling."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from random import Random
from typing import Any

from foundation.engine_settings import SandboxSettings
from foundation.errors import CODES, Stage
from tasks.vocabulary import Format

SLACK = 2.0  # seconds beyond the limit within which an answer must be there
_KERNEL = (Format.STEP, Format.IGES)  # Open CASCADE may die, which costs the file alone; what is ours may not
_FRAME = re.compile(r'File "([^"]+)", line \d+,? in (\S+)')
_ERROR = re.compile(r"^[\w.]+(?:Error|Exception|Disagreement|Iteration|Failure)\b.*", re.MULTILINE)
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+\.?\d*(?:e[-+]?\d+)?")


@dataclass(frozen=True, slots=True)
class Look:
    """How a mutant is asked about."""

    draw: bool = False
    both_ways: bool = False
    named: bool = True

    @classmethod
    def at(cls, number: int, fmt: Format) -> Look:
        """Pictures cost ten times the vector and the reference is slow, so these are asked for now and then."""
        chance = Random(number)
        both = fmt is Format.DXF and chance.random() < 0.4
        return cls(draw=not both and chance.random() < 0.05, both_ways=both, named=chance.random() < 0.5)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a mutant, as seen by the worker."""

    code: str  # OK, a code of the table, or WORKER_DEATH
    context: dict[str, Any] = field(default_factory=dict)
    reader: str = ""
    findings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    zygote_lost: bool = False
    left_over: list[str] = field(default_factory=list)
    memory: int = 0  # bytes the child took
    words: str = ""  # what it printed


def broken(fmt: Format, answer: Answer, limits: SandboxSettings) -> list[str]:
    """The promises that this answer to a mutant of a `fmt` file breaks, each with what tells it from other slips."""
    wrong = []
    row = CODES.get(answer.code)
    if answer.code == "WORKER_DEATH":
        return [f"the worker died: {signature(answer.words)}"]
    if answer.code != "OK" and (row is None or row.stage not in (Stage.READ, Stage.FEATURES) or row.retryable):
        wrong.append(f"no answer of a file: {answer.code}")
    if answer.zygote_lost:
        wrong.append("the zygote was lost")
    if answer.seconds > limits.wall_seconds + SLACK:
        wrong.append("too late")
    if answer.memory > limits.memory_bytes:
        wrong.append("more memory than allowed")
    wrong += [f"left over: {_NUMBER.sub('N', name)}" for name in answer.left_over]
    if answer.code == "ENGINE_DEFECT":
        wrong.append(f"defect: {signature(answer.words) or answer.context}")
    if answer.code == "ENGINE_CRASH" and fmt not in _KERNEL:
        wrong.append(f"crash: {answer.context.get('signal')} {signature(answer.words)}")
    return wrong


def notable(fmt: Format, answer: Answer) -> list[str]:
    """What breaks no promise and is still worth a look: deaths of the kernel, limits, warnings, pictures that failed."""
    told = []
    if answer.code == "ENGINE_CRASH" and fmt in _KERNEL:
        told.append(f"kernel crash: {answer.context.get('signal')} {signature(answer.words)}")
    if answer.code in ("ENGINE_TIMEOUT", "MEMORY_ERROR"):
        told.append(f"{answer.code} {fmt.value} {answer.reader}")
    if "Warning: " in answer.words:
        told.append(f"warning: {_NUMBER.sub('N', next(line for line in answer.words.splitlines() if 'Warning: ' in line))}")
    if "no preview of a" in answer.words:
        told.append(f"no preview: {signature(answer.words)}")
    return told


def signature(words: str) -> str:
    """The innermost place of all and the innermost of ours in the last traceback, and the error without its numbers."""
    crash = words.rpartition("Fatal Python error")[2] if "Fatal Python error" in words else ""
    frames = _FRAME.findall(crash or words.rpartition("Traceback")[2])
    lines = [line for line in words.splitlines() if line.strip()]
    if not frames:
        return _NUMBER.sub("N", lines[-1])[:120] if lines else ""
    frames = frames if crash else frames[::-1]  # a crash is told from the inside out
    ours = next((frame for frame in frames if "/workers/" in frame[0]), frames[0])
    places = dict.fromkeys(f"{path.rpartition('/')[2]}:{name}" for path, name in (frames[0], ours))
    error = "" if crash else next(iter(_ERROR.findall(words)[-1:]), "")
    # the values of a disagreement would make each its own kind
    error = ":".join(error.split(":")[:2]) if "Disagreement" in error else error
    return f"{' < '.join(places)} {_NUMBER.sub('N', error)[:100]}".strip()
