"""Whether Open CASCADE can be loaded on this machine."""

from __future__ import annotations

import pytest

from foundation.errors import Failure
from workers.cad.brep.kernel import need_kernel

try:
    need_kernel()
    missing = ""
except Failure as failure:
    missing = str(failure.context["missing"])

needs_kernel = pytest.mark.skipif(bool(missing), reason=f"OPEN CASCADE CANNOT BE LOADED ({missing} is missing): run `make setup`")
