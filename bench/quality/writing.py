"""Variants of files are written in a child process that may die or hang; the next order starts another one.

The child measures its own time: SIGALRM, which nothing catches, ends it wherever the kernel is, and so does the end of its parent.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from bench.house import ROOT
from bench.quality.exports import REEXPORTS, NotApplicable, write_variant

_SECONDS = 60


class Writer:
    """The child of one thread. An order may take so many seconds."""

    def __init__(self, seconds: int = _SECONDS) -> None:
        self._seconds = seconds
        self._child: subprocess.Popen[str] | None = None

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def write(self, source: Path, variant: str, target: Path) -> Path:
        """Write the variant beside `target`, with the ending of its format, and tell where. Raises NotApplicable."""
        child = self._child if self._child and self._child.poll() is None else self._born()
        assert child.stdin is not None
        assert child.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it died since the last order: its answer will be missing
            child.stdin.write(json.dumps([str(source), variant, str(target)]) + "\n")
            child.stdin.flush()
        line = child.stdout.readline()
        if not line:
            status = child.wait()
            self.close()
            if status > 0:
                raise RuntimeError(f"the writer of variants is broken, it ended with {status}: python -m bench.quality.writing 60")
            late = f"not written within {self._seconds} s"
            raise NotApplicable(late if status == -signal.SIGALRM else f"the writer died of {signal.Signals(-status).name}")
        told = json.loads(line)
        if "missing" in told:
            raise NotApplicable(told["missing"])
        return Path(told["written"])

    def _born(self) -> subprocess.Popen[str]:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "bench.quality.writing", str(self._seconds)],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        return self._child

    def close(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            for stream in (self._child.stdin, self._child.stdout):
                if stream:
                    with contextlib.suppress(BrokenPipeError):  # an order that nobody read
                        stream.close()
            self._child = None


def serve(seconds: int) -> None:
    """Carry out the orders of the standard input, one line each."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the kernel prints is no answer
    shapes: dict[str, Any] = {}  # the last source: all its variants are asked for in a row
    for line in sys.stdin:
        source, variant, target = json.loads(line)
        signal.alarm(seconds)
        answers.write(json.dumps(_answer(Path(source), variant, Path(target), shapes)) + "\n")
        signal.alarm(0)
        answers.flush()


def _answer(source: Path, variant: str, target: Path, shapes: dict[str, Any]) -> dict[str, str]:
    try:
        if variant not in REEXPORTS:
            return {"written": str(write_variant(source, variant, target))}
        from bench.quality.reexports import WRITERS, step_shape

        if str(source) not in shapes:
            shapes.clear()
            shapes[str(source)] = step_shape(source)
        return {"written": str(WRITERS[variant](shapes[str(source)], source.stem, target))}
    except NotApplicable as reason:
        return {"missing": str(reason)}
    except Exception as error:  # noqa: BLE001 - ezdxf and Open CASCADE fail in many ways on odd files; each is counted and told
        return {"missing": f"{type(error).__name__} while writing"}


if __name__ == "__main__":
    serve(int(sys.argv[1]))
