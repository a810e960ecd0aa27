"""The command line as a person meets it."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from api.cli.demo import same_drawing
from api.cli.selection import BATCH_BYTES, BATCH_FILES, Chosen, batches, choose
from api.problems import problem
from foundation.errors import CODES
from foundation.mapping import Provider, failure_of

ROOT = Path(__file__).parents[3]


def cadmill(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "api.cli.main", *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_help_names_every_command_and_loads_nothing_heavy() -> None:
    helped = cadmill("--help")
    assert helped.returncode == 0
    for command in ("up", "submit", "jobs", "watch", "similar", "cancel", "retry", "queues", "settings", "doctor", "chaos", "demo"):
        assert f"\n  {command} " in helped.stdout
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, api.cli.main; print({'httpx2', 'pydantic', 'celery'} & set(sys.modules))"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert loaded.stdout.strip() == "set()"


def test_settings_are_listed_with_meaning_and_without_secrets() -> None:
    listed = cadmill("settings", CADMILL_API_KEY="very-secret", CADMILL_DATABASE_URL="postgresql://me:hidden@db/cadmill")
    assert listed.returncode == 0
    assert "CADMILL_QUEUE_LEASE_SECONDS" in listed.stdout
    assert "FEATURE_VERSION" in listed.stdout
    assert "very-secret" not in listed.stdout
    assert "hidden" not in listed.stdout
    assert "\x1b" not in listed.stdout


def test_an_unusable_setting_is_one_readable_line_that_names_it() -> None:
    ended = cadmill("settings", CADMILL_API_PORT="eighty")
    assert ended.returncode == 1
    assert ended.stderr.startswith("CONFIG_INVALID: ")
    assert "eighty" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_an_api_that_is_not_there_is_told_with_what_to_do() -> None:
    ended = cadmill("jobs", "--url", "http://127.0.0.1:9", "--key", "x")
    assert ended.returncode == 1
    assert ended.stderr.startswith("API_UNREACHABLE: No cadmill answers at http://127.0.0.1:9.")
    assert "cadmill up" in ended.stderr


def test_a_failure_that_the_api_tells_is_one_line_with_code_cause_and_what_to_do() -> None:
    told = problem(failure_of(OSError(errno.ENOSPC, "no space", "/srv/hunter2"), Provider.STORAGE))

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(told).encode()
            self.send_response(told["status"])
            self.send_header("content-type", "application/problem+json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Silence."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        ended = cadmill("jobs", "--url", f"http://127.0.0.1:{server.server_port}", "--key", "x")
        server.shutdown()
    assert ended.returncode == 1
    assert ended.stderr == (
        "STORAGE_FULL: There is no room left to store the file. (reason: OSError; errno: ENOSPC) "
        "Free space on the storage volume, then send the file again.\n"
    )


def test_codes_are_listed_and_told_by_either_name_without_a_server() -> None:
    listed, one = cadmill("codes"), cadmill("codes", "engine_timeout")
    assert all(f"\n{name} " in listed.stdout for name in CODES)
    assert one.stdout.startswith(f"ENGINE_TIMEOUT: {CODES['ENGINE_TIMEOUT'].sentence}\n")
    assert "gRPC INVALID_ARGUMENT" in one.stdout
    assert cadmill("codes", "NOTHING").returncode == 2


def test_wrong_usage_ends_with_2(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing to see")
    assert cadmill("submit").returncode == 2
    assert cadmill("submit", str(tmp_path / "missing.dxf")).returncode == 2
    assert cadmill("submit", str(tmp_path)).returncode == 2
    assert cadmill("submit", str(ROOT / "pyproject.toml"), "--label", "nonsense").returncode == 2


def test_folders_are_walked_for_known_extensions_and_named_files_are_taken_as_they_are(tmp_path: Path) -> None:
    for name in ("b.STL", "a.dxf", "deep/er/c.stp", "deep/readme.md", ".git/hidden.dxf", "odd.bin"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"12345")
    chosen = choose([tmp_path, tmp_path / "odd.bin", tmp_path / "a.dxf"])
    assert [file.name for file in chosen] == ["a.dxf", "b.STL", "c.stp", "odd.bin"]
    assert {file.size for file in chosen} == {5}


def test_uploads_are_cut_by_number_and_by_size_and_a_large_file_travels_alone() -> None:
    small = [Chosen(Path(f"{number}.dxf"), f"{number}.dxf", 10) for number in range(BATCH_FILES + 1)]
    large = Chosen(Path("large.stl"), "large.stl", BATCH_BYTES * 2)
    assert [len(batch) for batch in batches(small)] == [BATCH_FILES, 1]
    assert [[file.name for file in batch] for batch in batches([small[0], large, small[1]])] == [["0.dxf"], ["large.stl"], ["1.dxf"]]
    assert list(batches([])) == []


def test_the_demo_knows_one_drawing_in_two_releases() -> None:
    assert same_drawing("ae.r12b.dxf", "ae.r2010b.dxf")
    assert same_drawing("plate_2000.dxf", "plate_R14.dxf")
    assert not same_drawing("ae.r12b.dxf", "uc.r12b.dxf")
    assert not same_drawing("ae.r12b.dxf", "ae.r12b.dxf")
    assert not same_drawing("plate.dxf", "flange.dxf")
