"""The page of states is the table of states, and names a verb for every move."""

from __future__ import annotations

import importlib

import pytest

from ledger.states import TABLES
from tests.models import drawing
from tests.models.moves import LEGAL, MADE_BY, WHO


def test_the_page_in_the_repository_is_the_one_the_table_draws() -> None:
    assert drawing.PAGE.read_text() == drawing.page(), "run `make docs`"


def test_a_changed_table_makes_another_page(monkeypatch: pytest.MonkeyPatch) -> None:
    before = drawing.page()
    monkeypatch.setitem(TABLES, "items", TABLES["items"] | {"cancelled": frozenset({"pending"})})
    assert drawing.page() != before


def test_every_move_of_the_table_is_some_verbs_and_every_verb_is_there() -> None:
    assert MADE_BY.keys() == LEGAL
    assert {verb for verbs in MADE_BY.values() for verb in verbs} == WHO.keys()
    for verb in WHO:
        module, _, name = verb.partition(".")
        assert callable(getattr(importlib.import_module(f"ledger.{module}"), name))
