"""The door to Open CASCADE, which is loaded when the first STEP or IGES file is read: it costs most of a second and 200 MB."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from foundation.errors import Failure


def need_kernel() -> None:
    """Load Open CASCADE and silence it. Raises `Failure` CAD_KERNEL_MISSING that names what is not installed.

    Not remembered when it fails: the libraries may be installed while the worker runs.
    """
    try:
        _silenced()
    except ImportError as error:
        library = re.search(r"lib[\w.+-]+\.so[\w.]*", str(error))
        raise Failure("CAD_KERNEL_MISSING", {"missing": library[0] if library else "cadquery-ocp-novtk"}) from error


@cache
def _silenced() -> None:
    from OCP.Message import Message

    # it prints about each file to stdout, in colour
    Message.DefaultMessenger_s().ChangePrinters().Clear()


@contextmanager
def kernel_work(code: str, what: str) -> Iterator[None]:
    """Turn what Open CASCADE throws while it does `what` into `Failure` of `code`; every other exception passes."""
    try:
        yield
    except Exception as error:
        # its exceptions have no common ancestor in Python; those of the standard library of C++ come as RuntimeError
        if type(error) is not RuntimeError and not type(error).__module__.startswith("OCP."):
            raise
        raise Failure(code, {"reason": f"the geometry kernel gave up while it {what}", "kind": type(error).__name__}) from error
