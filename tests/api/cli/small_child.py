"""A process of the small stack: has a child of its own, notes its end, and is obedient, stubborn or broken."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

name, folder = sys.argv[1], Path(sys.argv[2])
if name == "broken":
    sys.stdout.write("these are my last words\n")
    sys.exit(7)

grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])


def end(number, frame):
    with (folder / "order").open("a") as file:
        file.write(name + "\n")
    if name != "stubborn":
        grandchild.returncode = 0  # left running on purpose: the supervisor has to find it
        sys.exit(0)


signal.signal(signal.SIGTERM, end)
(folder / f"{name}.new").write_text(f"{os.getpid()} {grandchild.pid}")
(folder / f"{name}.new").replace(folder / f"{name}.pids")
time.sleep(60)
