"""Numbers and texts that readers stumble over, as they stand in text files."""

from __future__ import annotations

import math
from random import Random

# at the edges of integers and doubles; whose squares or cubes overflow or vanish
FINITE = tuple(
    b"0 -0 0.0 1 -1 2 3 0.5 1e-9 1e-15 1e-30 1e-160 1e-308 5e-324 1e5 1e9 1e10 1e15 1e20 1e39 1e77 1e103 1e154 1e155 1e300 1e308 "
    b"1.7976931348623157e308 -1e9 -1e15 -1e154 -1e308 127 128 255 256 32767 32768 65535 65536 100000 1000000 2147483647 2147483648 "
    b"-2147483648 4294967295 4294967296 9007199254740993 9223372036854775807 9223372036854775808 -9223372036854775809 "
    b"18446744073709551616 6.283185307179586 6.283185307179587 360 -360 719.9999999999 90 180 1e22 123456789.123456789".split()
)
# no numbers, or hardly; some languages read them all the same
ODD = (
    *(b"nan", b"inf", b"-inf", b"NaN(0)", b"1e999", b"-1e999", b"1e", b"", b" ", b".", b"-", b"+-1", b"0x10", b"1,5", b"1_000", b"1D5"),
    *(b"1.2.3", b"1" * 400, b"0." + b"3" * 400, b"\xd9\xa3", b" 7 ", b"+7", b"007", b"1e+05", b"\t1", b"1\0", b"#1", b"$", b"*"),
)
TEXTS = (
    *(b"", b" ", b"A" * 300, b"A" * 70_000, b"\\U+FFFF", b"\\U+D800", b"\\M+1A0A0", b"%%c%%d%%250", b"{\\fArial|b0;x", b"a\0b", b"\x1a"),
    *(b"\xff\xfe\xfd", b"\xed\xa0\x80", b"\xf0\x9f\x94\xa9", b"*Model_Space", b"*Paper_Space", b"*U1", b"0", b"EOF", b"ENDSEC", b"SECTION"),
    *(b"'", b"''", b"\\X2\\D800\\X0\\", b"\\X4\\FFFFFFFF\\X0\\", b"\\S\\", b"/*", b"*/", b"9999999H", b"../../etc/passwd"),
)


def number(chance: Random, like: bytes = b"1") -> bytes:
    """A number to stand where `like` stands: near to it, at an edge, or hardly one."""
    kind = chance.random()
    if kind < 0.1:
        return chance.choice(ODD)
    if kind < 0.5:
        return chance.choice(FINITE)
    try:
        value = float(like)
    except ValueError:
        value = 1.0
    value = chance.choice(
        (-value, value * 1e-3, value * 1e3, value * (1 + 1e-12), value + 1, value - 1, value * 1e12, value / 2, value * 2)
    )
    if not math.isfinite(value):
        return b"1e308"
    whole = like.strip().lstrip(b"+-").isdigit()
    return str(int(value)).encode() if whole else repr(value).encode()
