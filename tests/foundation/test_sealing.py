"""What is sealed is read by nobody but its owner, with the secret it was sealed with."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from foundation import sealing
from foundation.errors import Failure
from foundation.sealing import Sealing
from foundation.settings import ProcessSettings, Settings, StorageSettings
from tests.stack import ROOT

HERE = Sealing(b"a secret of this installation, long enough")


def test_a_sealed_text_is_read_for_its_purpose_and_owner() -> None:
    sealed = HERE.seal("whsec_ä", "webhook secrets", "ten_1")
    assert "whsec" not in sealed
    assert sealed != HERE.seal("whsec_ä", "webhook secrets", "ten_1")
    assert HERE.open(sealed, "webhook secrets", "ten_1") == "whsec_ä"


@pytest.mark.parametrize(
    ("secret", "purpose", "owner", "at"),
    [(b"another secret of 32 bytes and more", "p", "o", None), (None, "q", "o", None), (None, "p", "x", None), (None, "p", "o", -3)],
)
def test_nothing_else_opens_it(secret: bytes | None, purpose: str, owner: str, at: int | None) -> None:
    sealed = HERE.seal("text", "p", "o")
    if at is not None:
        sealed = sealed[:at] + ("A" if sealed[at] != "A" else "B") + sealed[at + 1 :]
    with pytest.raises(Failure, match="SECRET_MISMATCH"):
        (Sealing(secret) if secret else HERE).open(sealed, purpose, owner)


@pytest.mark.parametrize("sealed", ["", "plain", "s1.", "s1.äöü", "s2.AAAA"])
def test_what_was_never_sealed_is_refused(sealed: str) -> None:
    with pytest.raises(Failure, match="SECRET_MISMATCH"):
        HERE.open(sealed, "p", "o")


def test_processes_that_start_at_once_share_one_secret_that_nobody_else_may_read(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from foundation import sealing; from foundation.settings import *\n"
        "here = Settings(storage=StorageSettings(directory=Path(sys.argv[1])))\n"
        "print(sealing.of(here).pepper('x').hex())"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "new")], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    told = {process.communicate(timeout=60)[0] for process in started}
    assert len(told) == 1
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["secret"]
    assert (tmp_path / "new" / "secret").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("dies_in", "kept"), [("fsync", False), ("link", False), ("unlink", True)])
def test_a_start_that_died_while_it_made_the_secret_is_made_good_by_the_next(tmp_path: Path, dies_in: str, kept: bool) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from foundation import sealing; from foundation.settings import *\n"
        "setattr(os, sys.argv[2], lambda *given: os.kill(os.getpid(), signal.SIGKILL))\n"
        "sealing.of(Settings(storage=StorageSettings(directory=Path(sys.argv[1]))))"
    )
    died = subprocess.run([sys.executable, "-c", program, str(tmp_path), dies_in], cwd=ROOT, timeout=60, check=False)
    assert died.returncode == -signal.SIGKILL
    assert (tmp_path / "secret").exists() == kept
    here = Settings(storage=StorageSettings(directory=tmp_path))
    assert sealing.of(here).pepper("x") == sealing.of(here).pepper("x")
    assert len((tmp_path / "secret").read_text().strip()) == 64


def test_a_given_secret_leaves_no_file(tmp_path: Path) -> None:
    here = Settings(storage=StorageSettings(directory=tmp_path), process=ProcessSettings(secret="x" * 40))
    assert sealing.of(here).pepper("a") == Sealing(b"x" * 40).pepper("a") != Sealing(b"x" * 40).pepper("b")
    assert not list(tmp_path.iterdir())
