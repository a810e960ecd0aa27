"""The small words of a page."""

from __future__ import annotations

import pytest

from api.pages import rendering
from api.pages.routes.parts import searched_for
from foundation.clock import iso


@pytest.mark.parametrize(
    ("before", "words"),
    [(0, "just now"), (90, "1 minute ago"), (7200, "2 hours ago"), (86400 * 45, "1 month ago"), (-3600 * 3, "in 3 hours")],
)
def test_times_are_told_from_now(before: float, words: str) -> None:
    assert rendering.ago(iso(1e9 - before), now=1e9) == words


def test_what_is_typed_is_a_name_with_labels() -> None:
    assert searched_for("left bracket project=alpha size=m=2") == ("left bracket", {"project": "alpha", "size": "m=2"})
    assert searched_for("=odd") == ("=odd", {})


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (35_300_000, "35.3 MB"), (2e12, "2000 GB")]
)
def test_sizes_are_said_as_people_do(number: float, words: str) -> None:
    assert rendering.size(number) == words


def test_long_sides_are_not_told_by_powers_of_ten() -> None:
    assert rendering.sides([10000.4, 0.125, 12.34567]) == "10000 × 0.125 × 12.35 mm"


def test_numbers_are_told_in_four_digits_and_large_ones_in_full() -> None:
    assert [rendering.short(value) for value in (133312.7, 0.123456, True, 12, "text")] == ["133313", "0.1235", "yes", "12", "text"]


def test_text_that_turns_the_line_around_is_shown_as_a_question() -> None:
    assert rendering.printable("a\u202eb\x1b[31m") == "a?b?[31m"
