"""The walls around the process that reads strangers' files: limits, no rights, no network, no other process, no other file.

Landlock and seccomp are asked for by their system calls: they need no rights, so they stand in a container and for any user.
A wall that this kernel does not build is reported, never passed over in silence. `python -m workers.cad.sandbox.walls` tells.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from foundation.engine_settings import SandboxSettings

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 1, 38, 22


def die_with_parent(parent: int) -> None:
    """Be killed when `parent`, which made this process, ends."""
    _call(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    if os.getppid() != parent:  # it ended before we asked
        os._exit(1)


def limit(limits: SandboxSettings) -> None:
    """Bound memory, files and processes. Memory counts from what is mapped now, which is shared with the zygote."""
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for kind, value in (
        (resource.RLIMIT_AS, mapped + limits.memory_bytes),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NPROC, limits.processes),  # does not bind root, whom seccomp keeps from forking
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def limit_cpu(seconds: int, since: int) -> int:
    """So many seconds of computing from now on, where the limit was last moved after `since` seconds of computing; returns this.

    The kernel counts whole seconds from the start of the process, so the limit moves with each second that was used, not with each file.
    """
    used = int(time.process_time())
    if used != since:
        resource.setrlimit(resource.RLIMIT_CPU, (used + 1 + seconds, resource.RLIM_INFINITY))
    return used


def enclose(readable: Sequence[Path]) -> list[str]:
    """Give up all files but `readable`, and writing to any, then all rights, then network and other processes, for good.

    Returns a sentence for each wall that this kernel does not build."""
    walls: tuple[tuple[str, Callable[[], object]], ...] = (
        ("no new rights", lambda: _call(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))),  # what the other walls ask for
        ("files (landlock)", lambda: _landlock(readable)),
        ("rights", _drop_rights),
        ("network and processes (seccomp)", _seccomp),
    )
    missing = []
    for name, build in walls:
        try:
            build()
        except OSError as error:
            missing.append(f"{name}: {error.strerror}")
    return missing


def _call(answer: int) -> int:
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return answer


def _syscall(number: int, *arguments: object) -> int:
    """Every integer as a full register: the default of ctypes is 32 bits."""
    whole = (ctypes.c_long(one) if isinstance(one, int) else one for one in arguments)
    return _call(_libc.syscall(ctypes.c_long(number), *whole))


def _drop_rights() -> None:
    """Root becomes a user whose name is root: the id stays, so that it can read the interpreter wherever that is; its powers go."""
    header = struct.pack("=Ii", 0x20080522, 0)  # version 3, this process
    _call(_libc.capset(ctypes.create_string_buffer(header), ctypes.create_string_buffer(24)))


# Landlock: what the kernel's linux/landlock.h names LANDLOCK_ACCESS_FS_*, in the order of its bits
_FS = (
    *("EXECUTE", "WRITE_FILE", "READ_FILE", "READ_DIR", "REMOVE_DIR", "REMOVE_FILE", "MAKE_CHAR", "MAKE_DIR"),
    *("MAKE_REG", "MAKE_SOCK", "MAKE_FIFO", "MAKE_BLOCK", "MAKE_SYM", "REFER", "TRUNCATE", "IOCTL_DEV"),
)
_LOOK = ("EXECUTE", "READ_FILE", "READ_DIR")
_FS_OF_ABI = {1: 13, 2: 14, 3: 15, 4: 15}  # how many of them a kernel knows; later ones know all
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446


def _landlock(readable: Sequence[Path]) -> None:
    abi = _syscall(_CREATE_RULESET, None, 0, 1)
    known = (1 << _FS_OF_ABI.get(abi, 16)) - 1
    tcp = 0b11 if abi >= 4 else 0  # bind and connect
    others = 0b11 if abi >= 6 else 0  # abstract sockets and signals
    asked = struct.pack("=QQQ", known, tcp, others)[: 24 if abi >= 6 else 16 if abi >= 4 else 8]
    rules = _syscall(_CREATE_RULESET, ctypes.create_string_buffer(asked, len(asked)), len(asked), 0)
    try:
        for place in (path for path in readable if path.exists()):
            rights = _bits(_LOOK if place.is_dir() else ("EXECUTE", "READ_FILE")) & known
            handle = os.open(place, os.O_PATH | os.O_CLOEXEC)
            try:
                _syscall(_ADD_RULE, rules, 1, ctypes.create_string_buffer(struct.pack("=Qi", rights, handle)), 0)
            finally:
                os.close(handle)
        _syscall(_RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)


def _bits(names: Sequence[str]) -> int:
    return sum(1 << _FS.index(name) for name in names)


# seccomp: the audit number of a machine, then the numbers of the calls it refuses, column by column
_MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
_CLONE, _CLONE3 = (56, 220), (435, 435)
_TO_OURSELVES_ONLY = {"kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131)}
_PRLIMIT = (302, 261)  # 0 is the caller
_ABSENT = -1
_REFUSED = {
    # network; io_uring could open sockets past this filter
    "socket": (41, 198), "socketpair": (53, 199), "io_uring_setup": (425, 425),
    # new processes and programs
    "fork": (57, _ABSENT), "vfork": (58, _ABSENT), "execve": (59, 221), "execveat": (322, 281),
    # other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "setsid": (112, 157), "setpgid": (109, 154),
    # memory that outlives the process or escapes its limits
    "shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180), "memfd_create": (319, 279),
    # parts of the kernel that a reader of files never needs
    "unshare": (272, 97), "setns": (308, 268), "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
}  # fmt: skip
_LOAD, _JUMP_IF, _JUMP_FROM, _JUMP_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16  # where they stand in struct seccomp_data; both machines are little endian
_ALLOW, _EPERM, _ENOSYS, _KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
_CLONE_THREAD = 0x00010000


def _seccomp() -> None:
    if platform.machine() not in _MACHINES:
        raise OSError(0, f"no filter is written for {platform.machine()}")
    program = b"".join(struct.pack("=HBBI", *line) for line in _filter(*_MACHINES[platform.machine()], os.getpid()))
    kept = ctypes.create_string_buffer(program, len(program))
    told = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(kept)))
    _call(_libc.prctl(_PR_SET_SECCOMP, 2, told, 0, 0))


def _filter(audit: int, column: int, own: int) -> list[tuple[int, int, int, int]]:
    """The program: (operation, lines to skip if true, if false, value)."""
    lines = [(_LOAD, 0, 0, _ARCH), (_JUMP_IF, 1, 0, audit), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, _NUMBER)]
    if column == 0:  # the second table of calls that x86_64 answers
        lines += [(_JUMP_FROM, 0, 1, 0x40000000), (_RETURN, 0, 0, _EPERM)]
    for row in _REFUSED.values():
        number = row[column]
        if number != _ABSENT:
            lines += [(_JUMP_IF, 0, 1, number), (_RETURN, 0, 0, _EPERM)]
    lines += [(_JUMP_IF, 0, 1, _CLONE3[column]), (_RETURN, 0, 0, _ENOSYS)]  # so that the C library falls back to clone
    # a thread is no process; its flags are the first argument of clone
    lines += [(_JUMP_IF, 0, 4, _CLONE[column]), (_LOAD, 0, 0, _FIRST_ARGUMENT), (_JUMP_BITS, 1, 0, _CLONE_THREAD)]
    lines += [(_RETURN, 0, 0, _EPERM), (_RETURN, 0, 0, _ALLOW)]
    for numbers, allowed in (*((numbers, own) for numbers in _TO_OURSELVES_ONLY.values()), (_PRLIMIT, 0)):
        lines += [(_JUMP_IF, 0, 4, numbers[column]), (_LOAD, 0, 0, _FIRST_ARGUMENT), (_JUMP_IF, 1, 0, allowed)]
        lines += [(_RETURN, 0, 0, _EPERM), (_RETURN, 0, 0, _ALLOW)]
    return [*lines, (_RETURN, 0, 0, _ALLOW)]


def main() -> int:
    """Build every wall around this process and say which stand."""
    missing = enclose([])
    os.write(1, ("; ".join(missing) or "every wall stands").encode() + b"\n")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
