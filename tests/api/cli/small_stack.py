"""A supervisor over the small children named on the command line, each with its step of stopping: `api:2 compute:3`."""

import sys
from contextlib import suppress
from pathlib import Path

from api.cli.processes import Process, Stop
from api.cli.supervisor import Stopped, Supervisor, say
from foundation.errors import Failure
from foundation.settings import environment

folder, root = Path(sys.argv[1]), Path(__file__).parents[3]
child = str(Path(__file__).with_name("small_child.py"))
table = []
for row in sys.argv[2:]:
    name, step = row.split(":")
    table.append(Process(name, "for tests", (sys.executable, child, name, str(folder)), Stop(int(step)), grace=10.0))
try:
    with Supervisor(folder / "logs", environment({}), root) as supervisor, suppress(Stopped):
        supervisor.start(table)
        say("started")
        supervisor.watch()
except Failure as failure:
    say(" ".join(str(part) for part in (failure.code, *failure.context.values())))
    sys.exit(1)
say("stopped")
