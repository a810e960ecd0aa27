"""What a migration would change: every number worked out by hand, both warnings at, below and above their limits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tasks import scaling
from tasks.migration_preview import Compared, neighbours, statistics, told_of
from tasks.vocabulary import SOLID_SLOTS, Family, FeatureVersion
from workers.features.scaling import scaled as searched

V1, V2, V3, V4 = FeatureVersion
ZERO = (0.0,) * 8


def solid(before: Sequence[float], after: Sequence[float]) -> Compared:
    """Scaled vectors of eight slots; what is not given is 0."""
    return Compared(Family.SOLID, (*before, *ZERO)[:8], (*after, *ZERO)[:8])


def test_deltas_are_means_over_parts_then_mean_and_median_over_dimensions() -> None:
    told = statistics([solid([1, 2, 0, -1], [2, 1, 0, -1]), solid([0, 0, 3, 1], [3, -2, 3, 0])])
    # slot by slot: (1 + 3) / 2, (-1 - 2) / 2, 0, (0 - 1) / 2, then four times 0
    assert [slot["delta"] for slot in told["slots"]] == [2.0, -1.5, 0.0, -0.5, 0.0, 0.0, 0.0, 0.0]
    assert [slot["slot"] for slot in told["slots"]] == list(SOLID_SLOTS[:8])
    assert (told["samples"], told["dimensions"], told["falling_dimensions"]) == (2, 8, 2)
    assert (told["avg_delta"], told["median_delta"], told["warnings"]) == (0.0, 0.0, [])
    # lengths: root of 6 and root of 6; root of 10 and root of 22
    assert (told["growing_samples"], told["neighbours"]["mean_overlap"]) == (0, 1.0)
    wide = statistics([solid([0] * 8, [8, 1, 1, 1, 1, 2, 2, 2])])
    assert (wide["avg_delta"], wide["median_delta"]) == (18 / 8, 1.5)


def test_solids_and_drawings_share_no_dimension() -> None:
    told = statistics([solid([1], [2]), Compared(Family.FLAT, ZERO, (-1.0, *ZERO[1:]))])
    assert told["dimensions"] == 16
    deltas = {(slot["family"], slot["slot"]): slot["delta"] for slot in told["slots"]}
    assert (deltas["3d", "log_size"], deltas["2d", "log_length"]) == (1.0, -1.0)
    assert (told["avg_delta"], told["falling_dimensions"]) == (0.0, 1)


@pytest.mark.parametrize(("falling", "warned"), [(3, False), (4, False), (5, True), (8, True)])
def test_large_negative_skew_means_more_than_half_of_the_dimensions(falling: int, warned: bool) -> None:
    told = statistics([solid([3] * 8, [2] * falling + [3] * (8 - falling))])
    assert told["falling_dimensions"] == falling
    assert told["warnings"] == (["large_negative_skew"] if warned else [])


@pytest.mark.parametrize(("growing", "warned"), [(2, False), (3, False), (4, True), (10, True)])
def test_growth_spike_means_more_than_thirty_percent_of_the_parts(growing: int, warned: bool) -> None:
    grown, steady = solid([3, 4], [6, 9]), solid([3, 4], [4, 3])  # 5 to 10.8; 5 to 5
    told = statistics([grown] * growing + [steady] * (10 - growing))
    assert told["growing_samples"] == growing
    assert told["warnings"] == (["growth_spike"] if warned else [])


def test_to_grow_by_exactly_a_hundred_percent_is_not_to_grow_by_more() -> None:
    assert statistics([solid([3, 4], [6, 8])])["growing_samples"] == 0
    assert statistics([solid([3, 4], [6, 8.001])])["growing_samples"] == 1
    assert statistics([solid([], [0.001])])["growing_samples"] == 1, "from nothing to something"
    assert statistics([solid([], [])])["growing_samples"] == 0


def test_both_warnings_may_be_given_at_once() -> None:
    assert statistics([solid([-1] * 8, [-3] * 8)])["warnings"] == ["large_negative_skew", "growth_spike"]


def test_without_a_sample_nothing_is_said() -> None:
    told = told_of(V3, V4, [])
    assert (told["samples"], told["avg_delta"], told["median_delta"], told["warnings"]) == (0, None, None, [])
    assert (told["dimension_before"], told["dimension_after"], told["dimension_delta"]) == (22, 24, 2)
    assert "dry_run" in told["hint"]


def test_neighbours_are_those_of_the_sample_and_of_the_family() -> None:
    a, b, c = solid([0], [0]), solid([1], [5]), solid([3], [3.9])
    # nearest before: b of a, a of b, b of c; after: c of a, c of b, b of c
    assert neighbours([a, b, c], most=1) == {"nearest": 1, "parts": 3, "mean_overlap": pytest.approx(1 / 3), "least_overlap": 0.0}
    assert neighbours([a, b, c])["mean_overlap"] == 1.0, "with three parts the two others are always the nearest"
    lonely = Compared(Family.FLAT, ZERO, ZERO)
    assert neighbours([a, b, lonely])["parts"] == 2
    assert neighbours([lonely])["mean_overlap"] is None


def test_ten_neighbours_of_a_crowd_are_compared_as_sets() -> None:
    line = [solid([n], [n]) for n in range(12)]
    assert neighbours(line)["mean_overlap"] == 1.0
    # the first moves to the far end: of its own ten (1 to 10) the farthest ten of the other end remain, 2 to 11
    moved = [solid([0], [12]), *line[1:]]
    told = neighbours(moved)
    # 1..5 had 0 among their ten and lose it; 6 keeps ten of its eleven others: 0 and 11 were 6 and 5 away, now 12 is 6 and 1 is 5 away
    before = [sorted((abs(other - n), other) for other in range(12) if other != n)[:10] for n in range(12)]
    places = [12, *range(1, 12)]
    after = [sorted((abs(places[other] - places[n]), other) for other in range(12) if other != n)[:10] for n in range(12)]
    shares = [len({o for _, o in was} & {o for _, o in now}) / 10 for was, now in zip(before, after, strict=True)]
    assert shares[0] == 0.9
    assert told["mean_overlap"] == pytest.approx(sum(shares) / 12)
    assert told["least_overlap"] == min(shares)


def test_slots_that_are_lost_or_gained_count_as_the_median_of_the_family() -> None:
    median, scale = scaling.constants(Family.SOLID)
    raw = [m + s for m, s in zip(median, scale, strict=True)]  # 1 in every scaled slot
    down = told_of(V4, V1, [(Family.SOLID, raw, raw[:8])])
    assert (down["dimensions"], down["falling_dimensions"], down["warnings"]) == (24, 16, ["large_negative_skew"])
    assert down["avg_delta"] == pytest.approx(-16 / 24)
    assert (down["median_delta"], down["shared_slots_changed"]) == (pytest.approx(-1.0), 0)
    up = told_of(V1, V4, [(Family.SOLID, raw[:8], raw)])
    assert up["avg_delta"] == pytest.approx(16 / 24)
    assert (up["growing_samples"], up["warnings"]) == (0, []), "from the root of 8 to the root of 24 is 73 %"
    far = [*raw[:8], *(m + 3 * s for m, s in zip(median[8:], scale[8:], strict=True))]
    assert told_of(V1, V4, [(Family.SOLID, raw[:8], far)])["warnings"] == ["growth_spike"]
    inches = told_of(V1, V2, [(Family.SOLID, raw[:8], [raw[0] + 3.2347, *raw[1:16]])])
    assert inches["shared_slots_changed"] == 1, "a part read in other units"


def test_the_space_is_the_one_that_searches_use() -> None:
    dice = np.random.default_rng(5)
    for family in Family:
        for width in (8, 16, 22, 24):
            vector = dice.normal(scale=4, size=width)
            assert np.array_equal(scaling.scaled(vector.tolist(), family), searched(vector, family))
