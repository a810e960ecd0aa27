"""`python -m tests.faults.campaign --seeds 1 2 3 --items 10000 --faults 64 --database sqlite`; `make faults` runs it."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.faults.campaign import plain, table
from tests.faults.campaign.inside import MUTATIONS
from tests.faults.campaign.run import Aim, Outcome, campaign


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.faults.campaign", description=__doc__)
    parser.add_argument("--seeds", "--seed", type=int, nargs="+", default=[1])
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--faults", type=int, default=64, help="how many are scheduled")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--mutate", choices=sorted(MUTATIONS), default="", help="take one rule away: the campaign must fail")
    parser.add_argument("--deadline", type=float, default=600.0, help="seconds after the last fault")
    parser.add_argument("--keep", type=Path, help="folder for everything that was written; else it is removed")
    parser.add_argument("--results", type=Path, help="file to which one line of JSON a run is appended")
    parser.add_argument("--plain", action="store_true", help="the same against plain Celery")
    parser.add_argument("--write", action="store_true", help="keep the runs in docs/guarantees.jsonl and write docs/guarantees.md")
    asked = parser.parse_args()
    good = True
    for seed in asked.seeds:
        folder = Path(tempfile.mkdtemp(prefix="cadmill-campaign-"))
        folder.chmod(0o755)
        if asked.plain:
            try:
                found = plain.campaign(seed, asked.items, asked.faults, asked.database, folder)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            row = {"plain": True, "seed": seed, "dialect": asked.database, "faults": asked.faults} | asdict(found)
            print(row, flush=True)
            _keep(asked, row)
            continue
        aim = Aim(seed, asked.items, asked.faults, asked.database, asked.mutate, asked.deadline)
        try:
            outcome = campaign(aim, folder)
        finally:
            if asked.keep:
                shutil.copytree(folder, asked.keep / f"{asked.database}-{seed}", dirs_exist_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
        good = _tell(outcome) and good
        _keep(asked, _row(outcome))
    return 0 if good else 1


def _keep(asked: argparse.Namespace, row: dict[str, object]) -> None:
    if asked.results:
        with asked.results.open("a") as file:
            file.write(json.dumps(row) + "\n")
    if asked.write:
        table.add(row)


def _tell(outcome: Outcome) -> bool:
    verdict = outcome.verdict
    for title in ("lost", "unexpected", "duplicated", "illegal", "webhooks_missing", "void"):
        found = getattr(verdict, title)
        print(f"{title}: {len(found)}")
        for line in found[:20]:
            print(f"    {line}")
    numbers = {name: value for name, value in asdict(verdict).items() if isinstance(value, int)}
    print(f"{numbers}\nfaults that bit: {outcome.bit} of {len(outcome.struck)}; processes started again: {outcome.deaths}")
    print(f"answers: {dict(outcome.answers)}")
    print(f"{outcome.seconds:.0f} s in all, {outcome.seconds_to_the_end:.1f} s from the last fault to the end of everything", flush=True)
    return not verdict.bad and not verdict.void


def _row(outcome: Outcome) -> dict[str, object]:
    verdict = {name: len(value) if isinstance(value, list) else value for name, value in asdict(outcome.verdict).items()}
    told = {"faults": len(outcome.struck), "bit": outcome.bit, "seconds": outcome.seconds, "to_the_end": outcome.seconds_to_the_end}
    return asdict(outcome.aim) | verdict | told | {"by_kind": dict(outcome.by_kind)}


if __name__ == "__main__":
    sys.exit(main())
