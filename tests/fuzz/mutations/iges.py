"""Slips in IGES: in the parameters of entities, in their directory, in the sections. Records stay whole unless that is the slip."""

from __future__ import annotations

from random import Random

from tests.fuzz.mutations.numbers import TEXTS, number

# entities that Open CASCADE turns into geometry
_TYPES = (0, 100, 102, 104, 106, 108, 110, 112, 114, 116, 118, 120, 122, 123, 124, 126, 128, 130, 140, 141, 142, 143, 144, 150, 154, 158,
          164, 180, 184, 186, 190, 192, 194, 196, 198, 308, 314, 402, 404, 406, 408, 502, 504, 508, 510, 514)  # fmt: skip
_FIELD, _TEXT, _LETTER = 8, 64, 72


class NoRecords(Exception):
    """There is no directory to mutate."""


class _File:
    """The records of a file by section; for each entity its two directory records and its parameters."""

    def __init__(self, data: bytes) -> None:
        lines = data.splitlines()
        section = {letter: [line for line in lines if line[_LETTER : _LETTER + 1] == letter] for letter in (b"S", b"G", b"D", b"P")}
        self.start, self.given = section[b"S"], section[b"G"]
        pairs = [*zip(section[b"D"][::2], section[b"D"][1::2], strict=False)]
        if not pairs:
            raise NoRecords
        self.entities: list[tuple[list[bytes], list[bytes]]] = []
        try:
            for first, second in pairs:
                at, count = int(first[8:16]), int(second[24:32])
                text = b"".join(line[:_TEXT] for line in section[b"P"][at - 1 : at - 1 + max(count, 1)])
                fields = [(first + second[:_LETTER])[place : place + _FIELD] for place in range(0, _LETTER, _FIELD)]
                fields += [second[place : place + _FIELD].ljust(_FIELD) for place in range(0, _LETTER, _FIELD)]
                self.entities.append((fields, text.strip().rstrip(b";").split(b",")))
        except ValueError as error:
            raise NoRecords from error

    def written(self) -> bytes:
        directory, parameters = [], list[bytes]()
        for place, (fields, values) in enumerate(self.entities):
            text = b",".join(values) + b";"
            pieces = [text[at : at + _TEXT] for at in range(0, len(text), _TEXT)]
            fields = [*fields]
            fields[1], fields[12] = b"%8d" % (len(parameters) + 1), b"%8d" % len(pieces)
            directory += [b"".join(fields[:9]), b"".join(fields[9:18])]
            parameters += [piece.ljust(_TEXT) + b"%8d" % (2 * place + 1) for piece in pieces]
        lines, counts = [], []
        for letter, some in ((b"S", [line[:_LETTER] for line in self.start]), (b"G", [line[:_LETTER] for line in self.given]),
                             (b"D", directory), (b"P", parameters)):  # fmt: skip
            lines += [line[:_LETTER].ljust(_LETTER) + letter + b"%7d" % place for place, line in enumerate(some, 1)]
            counts.append(letter + b"%7d" % len(some))
        lines.append(b"".join(counts).ljust(_LETTER) + b"T      1")
        return b"\n".join(lines) + b"\n"


def mutate(data: bytes, donor: bytes, chance: Random) -> bytes:
    """One slip. Raises `NoRecords`."""
    file, kind = _File(data), chance.random()
    if kind < 0.12:
        return _records(data, chance)
    if kind < 0.72:
        _parameters(file, chance)
    elif kind < 0.88:
        _directory(file, chance)
    elif kind < 0.94:
        _web(file, donor, chance)
    else:
        _globals(file, chance)
    return file.written()


def _parameters(file: _File, chance: Random) -> None:
    """Values and pointers of one entity, or the list of them."""
    values = chance.choice(file.entities)[1]
    place, kind = chance.randrange(len(values)), chance.randrange(9)
    if kind < 3:
        for at in chance.choices(range(len(values)), k=chance.choice((1, 1, 2, 5))):
            values[at] = number(chance, values[at])
    elif kind < 5:
        # every second number is a directory entry
        values[place] = b"%d" % (2 * chance.randrange(len(file.entities)) + chance.choice((1, 1, 1, 0)))
    elif kind == 5:
        del values[place:]
    elif kind == 6:
        del values[place]
    elif kind == 7:
        values[place:place] = [values[place]] * chance.choice((1, 1, 30))
    else:
        to = chance.randrange(len(values))
        values[place], values[to] = values[to], values[place]
    if not values:
        values.append(b"0")


def _directory(file: _File, chance: Random) -> None:
    """Another type, another form, pointers to a matrix or a colour that are none, flags that hide or subordinate."""
    fields, values = chance.choice(file.entities)
    kind = chance.randrange(4)
    if kind == 0:
        new = b"%8d" % chance.choice((*_TYPES, chance.randrange(1000)))
        fields[0], fields[9] = new, new
        if chance.random() < 0.7:
            values[0] = new.strip()
    elif kind == 1:
        fields[14] = b"%8d" % chance.choice((*range(20), 63, -1))
    elif kind == 2:
        fields[8] = b"%08d" % chance.choice((0, 1, 10000, 1010000, 20200, 99999999))
    else:
        pointer = 2 * chance.randrange(len(file.entities)) + 1
        fields[chance.choice((2, 3, 4, 5, 6, 7, 6, 11))] = b"%8d" % chance.choice((pointer, -pointer, 99999, 2))


def _web(file: _File, donor: bytes, chance: Random) -> None:
    """Entities doubled, moved, emptied, or taken from another file."""
    entities = file.entities
    at, to, kind = chance.randrange(len(entities)), chance.randrange(len(entities)), chance.randrange(4)
    if kind == 0:
        entities[at], entities[to] = entities[to], entities[at]
    elif kind == 1:
        entities.append(entities[at])
    elif kind == 2:
        del entities[at]
        entities[:] = entities or [([b"       0"] * 18, [b"0"])]
    else:
        entities[at] = chance.choice(_File(donor).entities)


def _globals(file: _File, chance: Random) -> None:
    text = b"".join(line[:_LETTER].ljust(_LETTER) for line in file.given).strip()
    values = text.split(b",")
    values[chance.randrange(len(values))] = chance.choice((number(chance), chance.choice(TEXTS)[:200]))
    text = b",".join(values)
    file.given = [text[at : at + _LETTER] for at in range(0, len(text), _LETTER)]


def _records(data: bytes, chance: Random) -> bytes:
    """Records missing, doubled, changed, shortened, or in another section."""
    lines = data.splitlines()
    at, to, kind = chance.randrange(len(lines)), chance.randrange(len(lines)), chance.randrange(5)
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines[to:to] = [lines[at]]
    elif kind == 2:
        lines[at], lines[to] = lines[to], lines[at]
    elif kind == 3:
        lines[at] = lines[at][: chance.randrange(81)]
    else:
        lines[at] = lines[at][:_LETTER] + chance.choice((b"S", b"G", b"D", b"P", b"T", b"C", b" ")) + lines[at][_LETTER + 1 :]
    return b"\n".join(lines) + b"\n"
