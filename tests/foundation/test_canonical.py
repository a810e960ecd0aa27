"""One form for equal values, by the examples of RFC 8785 and for any value there is."""

from __future__ import annotations

import json
import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation import canonical

# RFC 8785, appendix B: the bits of a double and its text
NUMBERS = {
    "0000000000000000": "0", "8000000000000000": "0", "0000000000000001": "5e-324", "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308", "ffefffffffffffff": "-1.7976931348623157e+308", "4340000000000000": "9007199254740992",
    "c340000000000000": "-9007199254740992", "4430000000000000": "295147905179352830000", "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23", "44b52d02c7e14af7": "1.0000000000000001e+23", "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000", "444b1ae4d6e2ef50": "1e+21", "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001", "41b3de4355555553": "333333333.3333332", "41b3de4355555554": "333333333.33333325",
    "41b3de4355555555": "333333333.3333333", "41b3de4355555556": "333333333.3333334", "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333", "43143ff3c1cb0959": "1424953923781206.2",
}  # fmt: skip

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_values = st.recursive(
    st.none() | st.booleans() | st.integers(-canonical.MOST_INTEGER, canonical.MOST_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False) | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@pytest.mark.parametrize(("bits", "text"), NUMBERS.items())
def test_numbers_are_written_as_ecmascript_writes_them(bits: str, text: str) -> None:
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical.text(number) == text


def test_the_examples_of_the_standard_come_out_byte_by_byte() -> None:
    sample = json.loads(
        r"""{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}"""
    )
    assert canonical.text(sample) == (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        + r'"string":"€$\u000f\nA'
        + r"""'B\"\\\\\"/"}"""
    )
    names = {"€": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\x80": 6, "ö": 7}  # by UTF-16 units, not by code points
    assert list(json.loads(canonical.text(names)).values()) == [2, 4, 6, 7, 1, 5, 3]


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, 2**53 + 1, -(2**60) - 1, 10**22, 10**400, "\ud800", {"\udfff": 1}, {1: 2}, b"x", {1, 2}]
)
def test_what_has_no_form_is_refused_rather_than_guessed(value: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - several kinds of it
        canonical.text(value)


@given(_values)
@settings(max_examples=300, deadline=None)
def test_a_value_is_read_back_as_it_was_and_written_the_same_again(value: object) -> None:
    text = canonical.text(value)
    assert json.loads(text, parse_int=float) == value, "every number is a double"
    assert canonical.text(json.loads(text)) == text
    assert canonical.text(json.loads(json.dumps(value))) == text, "what a database gives back must hash alike"


@given(st.dictionaries(_texts, st.integers(0, 9), min_size=2, max_size=6))
@settings(max_examples=100, deadline=None)
def test_the_order_in_which_names_came_does_not_matter(value: dict[str, int]) -> None:
    assert canonical.text(dict(reversed(value.items()))) == canonical.text(value)
