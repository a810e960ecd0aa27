"""A tenant with a ledger and a clock in the test's hand, as the tests of the ledger have it."""

from __future__ import annotations

from tests.ledger.conftest import desk

__all__ = ["desk"]
