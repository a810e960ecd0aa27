"""Fuzz all readers through the sandbox: `python -m tests.fuzz` (`make fuzz`), `--help` for what it takes.

The same folder and seed go on where the last run stopped. Ends with 1 if a promise was broken; such mutants are in `broken/`, mutants that
are only worth a look in `notable/`, each beside a note of what happened. `python -m tests.fuzz.minimise` makes them small.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from foundation.engine_settings import SandboxSettings
from tasks.vocabulary import Format
from tests.fuzz.campaign import Campaign, told
from tests.fuzz.corpus import Corpus, folders
from tests.fuzz.supervisor import Supervisor


def main() -> int:
    options = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--minutes", type=float, default=1.0, help="how long (default 1)")
    options.add_argument("--mutants", type=int, help="how many at most")
    options.add_argument("--seed", type=int, default=1, help="another seed is another campaign (default 1)")
    options.add_argument("--out", type=Path, default=Path("fuzz-findings"), help="folder of progress and findings (default fuzz-findings)")
    options.add_argument("--format", type=Format, choices=[Format.DXF, Format.STL, Format.STEP, Format.IGES], help="this one only")
    options.add_argument("--data", type=Path, action="append", help="folder of files to start from; may be given again")
    options.add_argument("--wall", type=float, default=10.0, help="seconds one file may take (default 10)")
    chosen = options.parse_args()
    corpus = Corpus(chosen.data or folders())
    print(", ".join(f"{len(files)} {fmt.value}" for fmt, files in corpus.files.items()), "files to start from", flush=True)
    with Supervisor(SandboxSettings(wall_seconds=chosen.wall, cpu_seconds=max(int(chosen.wall), 1))) as supervisor:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        campaign = Campaign(corpus, supervisor, chosen.seed, chosen.out)
        try:
            campaign.run(chosen.minutes * 60, chosen.mutants, chosen.format)
        except KeyboardInterrupt:
            print("stopped; the same command goes on")
    print(told(campaign.tally))
    return 1 if campaign.tally.broken else 0


if __name__ == "__main__":
    sys.exit(main())
