"""Ids."""

from __future__ import annotations

from foundation.clock import SYSTEM, Clock, iso


def test_ids_sort_by_age_even_within_a_millisecond() -> None:
    ids = [SYSTEM.new_id("job") for _ in range(10_000)]
    assert len(set(ids)) == len(ids)
    still = Clock(now=lambda: 1_800_000_000.0)
    assert sorted(ids[:1000]) == ids[:1000]
    same_moment = [still.new_id("job") for _ in range(1000)]
    assert sorted(same_moment) == same_moment


def test_an_id_names_what_it_is_of_and_fits_a_url() -> None:
    name = SYSTEM.new_id("part")
    assert name.startswith("part_")
    assert name.replace("_", "").isalnum()
    assert len(name) == len("part_") + 26


def test_times_are_told_in_utc() -> None:
    assert iso(0) == "1970-01-01T00:00:00.000Z"
    assert iso(None) is None
