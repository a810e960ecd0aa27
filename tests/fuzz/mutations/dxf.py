"""Slips in DXF, text and binary alike: in tags, in whole entities, in the web of blocks."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.fuzz.mutations.dxf_tags import Encoding, NotTags, Tags, is_number, parsed
from tests.fuzz.mutations.numbers import TEXTS, number

_KINDS = tuple(
    b"LINE CIRCLE ARC ELLIPSE LWPOLYLINE POLYLINE VERTEX SEQEND SPLINE HELIX HATCH MPOLYGON MESH MLINE 3DFACE SOLID TRACE INSERT ATTRIB "
    b"ATTDEF TEXT MTEXT DIMENSION LEADER MULTILEADER POINT RAY XLINE 3DSOLID REGION BODY IMAGE WIPEOUT VIEWPORT TOLERANCE SHAPE "
    b"ACAD_TABLE ACAD_PROXY_ENTITY OLE2FRAME LIGHT SUN SECTION ENDSEC BLOCK ENDBLK TABLE ENDTAB EOF LAYER CLASS DICTIONARY".split()
)
_CODES = (
    *(0, 1, 2, 3, 5, 6, 8, 9, 10, 11, 12, 13, 20, 21, 30, 38, 39, 40, 41, 42, 43, 44, 45, 48, 50, 51, 60, 62, 66, 67, 70, 71, 72, 73),
    *(74, 75, 90, 91, 92, 93, 94, 95, 96, 97, 98, 100, 101, 102, 105, 160, 210, 220, 230, 280, 290, 310, 330, 340, 341, 350, 360, 370),
    *(420, 440, 999, 1000, 1001, 1002, 1004, 1005, 1010, 1040, 1070, 1071, 255, 256, -1, -5, 1072, 9999, 70000),
)
_LENGTHS = (1, 1, 1, 2, 3, 8, 40)

Slip = Callable[[Tags, Tags, Random, Encoding], None]


def mutate(data: bytes, donor: bytes, chance: Random) -> bytes:
    """One slip. Raises `NotTags` where there are no tags to slip."""
    tags, encoding = parsed(data)
    try:
        given, theirs = parsed(donor)
    except NotTags:
        given, theirs = tags, encoding
    if type(theirs) is not type(encoding):
        given = [(code, encoding.number(code, b"1") if is_number(code) else value) for code, value in given]
    chance.choice(_SLIPS)(tags, given, chance, encoding)
    return encoding.written(tags)


def _entities(tags: Tags, *kinds: bytes) -> list[tuple[int, int]]:
    """Where the entities of some kinds, or all of them, begin and end."""
    starts = [at for at, (code, _) in enumerate(tags) if code == 0]
    spans = zip(starts, [*starts[1:], len(tags)], strict=True)
    return [(start, stop) for start, stop in spans if not kinds or tags[start][1].strip() in kinds]


def _drawn(tags: Tags) -> list[tuple[int, int]]:
    """The entities of blocks and of the drawing, where slips tell most; all, where there is no such section."""
    spans = _entities(tags)
    at = {
        tags[start + 1][1].strip(): place for place, (start, stop) in enumerate(spans) if stop - start > 1 and tags[start][1] == b"SECTION"
    }
    first, last = at.get(b"BLOCKS", at.get(b"ENTITIES", 0)), at.get(b"OBJECTS", len(spans))
    return spans[first + 1 : last - 1] or spans


def _some(tags: Tags, chance: Random) -> tuple[int, int]:
    """A run of tags, mostly within what is drawn."""
    at = chance.randrange(*chance.choice(_drawn(tags) or [(0, len(tags))])) if chance.random() < 0.8 else chance.randrange(len(tags))
    return at, at + chance.choice(_LENGTHS)


def drop(tags: Tags, _: Tags, chance: Random, __: Encoding) -> None:
    start, stop = _some(tags, chance)
    del tags[start:stop]


def double(tags: Tags, _: Tags, chance: Random, __: Encoding) -> None:
    start, stop = _some(tags, chance)
    to = chance.choice((start, _some(tags, chance)[0]))
    tags[to:to] = tags[start:stop] * chance.choice((1, 1, 2, 50))


def swap(tags: Tags, _: Tags, chance: Random, __: Encoding) -> None:
    one, other = _some(tags, chance)[0], _some(tags, chance)[0]
    tags[one], tags[other] = tags[other], tags[one]


def recode(tags: Tags, _: Tags, chance: Random, __: Encoding) -> None:
    """Another group code for the same value."""
    at = _some(tags, chance)[0]
    code, value = tags[at]
    tags[at] = chance.choice((chance.choice(_CODES), code + chance.choice((-10, -1, 1, 10)))), value


def renumber(tags: Tags, _: Tags, chance: Random, encoding: Encoding) -> None:
    """Other numbers in one entity, or in one place all over the file."""
    start, stop = chance.choice(_drawn(tags))
    places = [at for at in range(start, stop) if is_number(tags[at][0])]
    if not places:
        return
    at = chance.choice(places)
    if chance.random() < 0.1:
        code, value = tags[at][0], number(chance, tags[at][1])
        tags[:] = [(code, encoding.number(code, value)) if tag[0] == code else tag for tag in tags]
        return
    for place in chance.sample(places, min(len(places), chance.choice((1, 1, 2, 6)))):
        code, value = tags[place]
        tags[place] = code, encoding.number(code, number(chance, value))


def exchange(tags: Tags, _: Tags, chance: Random, __: Encoding) -> None:
    """The value of another tag of the same code: handles, names, numbers."""
    at = _some(tags, chance)[0]
    tags[at] = chance.choice([tag for tag in tags if tag[0] == tags[at][0]])


def reword(tags: Tags, _: Tags, chance: Random, __: Encoding) -> None:
    places = [at for at, (code, _) in enumerate(tags) if not is_number(code)]
    at = chance.choice(places)
    tags[at] = tags[at][0], chance.choice(TEXTS)


def rename(tags: Tags, _: Tags, chance: Random, __: Encoding) -> None:
    """An entity says it is of another kind."""
    start, _stop = chance.choice(_drawn(tags))
    tags[start] = 0, chance.choice(_KINDS)


def move(tags: Tags, _: Tags, chance: Random, __: Encoding) -> None:
    """An entity is missing, is there many times, or stands elsewhere."""
    spans = _drawn(tags)
    (start, stop), (to, _end) = chance.choice(spans), chance.choice(spans)
    piece, times = tags[start:stop], chance.choice((0, 1, 1, 2, 100))
    if times < 2:
        del tags[start:stop]
        to -= (stop - start) * (to > start)
    tags[to:to] = piece * times


def splice(tags: Tags, donor: Tags, chance: Random, _: Encoding) -> None:
    """Entities of another drawing, with all they refer to left behind."""
    theirs = _drawn(donor)
    at = chance.randrange(len(theirs))
    start, stop = theirs[at][0], theirs[min(at + chance.choice((1, 2, 5)), len(theirs)) - 1][1]
    to = chance.choice(_drawn(tags))[0]
    tags[to:to] = donor[start:stop]


def refer(tags: Tags, _: Tags, chance: Random, encoding: Encoding) -> None:
    """One more reference to a block, anywhere: in the drawing, in another block, in itself; turned, scaled, in arrays."""
    names = [value for start, stop in _entities(tags, b"BLOCK") for code, value in tags[start:stop] if code == 2] or [b"A"]
    if chance.random() < 0.8:  # to insert a layout is soon refused
        names = [name for name in names if not name.startswith(b"*")] or [b"nowhere"]
    to, stop = chance.choice(_drawn(tags))
    near = tags[to:stop]
    # handles and markers where the neighbours have them, or the reference is known to refuse it
    insert: Tags = [(0, b"INSERT"), (5, b"%X" % chance.randrange(2**28, 2**30)), *(tag for tag in near if tag[0] == 330)][:3]
    insert += [(100, b"AcDbEntity"), (8, b"0"), (100, b"AcDbBlockReference"), (2, chance.choice(names))]
    insert = [tag for tag in insert if tag[0] not in (5, 100) or any(code == tag[0] for code, _ in near)]
    for codes in ((10, 20), (41,), (42,), (43,), (44,), (45,), (50,), (70,), (71,), (210, 220, 230)):
        if codes[0] == 10 or chance.random() < 0.3:
            like = b"2" if codes[0] in (70, 71) else b"1.5"
            insert += [(code, encoding.number(code, number(chance, like) if chance.random() < 0.1 else like)) for code in codes]
    tags[to:to] = insert


def reblock(tags: Tags, _: Tags, chance: Random, encoding: Encoding) -> None:
    """Two blocks of one name, a block or a reference that names another, flags of blocks."""
    spans = _entities(tags, b"BLOCK", b"INSERT", b"BLOCK_RECORD")
    names = [value for start, stop in spans for code, value in tags[start:stop] if code == 2]
    if not names:
        return refer(tags, tags, chance, encoding)
    start, stop = chance.choice(spans)
    for at in range(start, stop):
        if tags[at][0] == 2:
            tags[at] = 2, chance.choice(names)
        elif tags[at][0] in (70, 71):
            tags[at] = tags[at][0], encoding.number(tags[at][0], number(chance, b"4"))
    return None


def reheader(tags: Tags, _: Tags, chance: Random, encoding: Encoding) -> None:
    """Variables of the header: release, code page, unit."""
    at = next((at for at, tag in enumerate(tags) if tag == (9, chance.choice((b"$ACADVER", b"$DWGCODEPAGE", b"$INSUNITS")))), None)
    if at is None or at + 1 >= len(tags):
        return
    code, value = tags[at + 1]
    if is_number(code):
        value = encoding.number(code, number(chance, b"4"))
    else:
        value = chance.choice((b"AC1009", b"AC1015", b"AC1021", b"AC1032", b"AC1012", b"AC9999", b"ANSI_932", b"UTF-8", b"ANSI_1", b""))
    tags[at + 1] = code, value


def cut(tags: Tags, _: Tags, chance: Random, __: Encoding) -> None:
    """The end is missing, with or without an end mark."""
    del tags[_some(tags, chance)[0] + 1 :]
    if chance.random() < 0.5:
        tags += [(0, b"ENDSEC"), (0, b"EOF")]


_SLIPS: tuple[Slip, ...] = (
    *(drop, double, swap, recode, recode, renumber, renumber, renumber, exchange, reword, rename, rename),
    *(move, splice, splice, refer, refer, reblock, reheader, cut),
)
