"""Statements of every job, run on the driver's own cursor: composed and compiled once, where the usual way takes more than the database.

For the few dozen that each submission, claim and finish is made of, and for nothing else. They are written with SQLAlchemy and have its
types and its errors; what is left out is what it does anew at every execution. Measured in DECISIONS 83.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Executable
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.exc import DBAPIError

Told = Mapping[str, Any]
Process = Callable[[Any], Any] | None

watchers: list[Callable[[str, Any], None]] = []
"""Who hears each statement and its values before it is run: events of SQLAlchemy tell nothing of what does not go through it."""


@dataclass(slots=True)
class _Plan:
    """How to run one statement: its text, its parameters in order (name, what it is if nothing is told, how the driver wants it), and
    the form of its rows."""

    text: str
    parameters: tuple[tuple[str, Any, Process], ...]
    positional: bool
    row: Callable[..., Any]
    columns: Sequence[Any]
    dialect: Dialect
    changed: list[tuple[int, Callable[[Any], Any]]] | None = None  # columns that do not come as they are; None: not known yet

    def bound(self, told: Told) -> Any:
        values = [
            (name, process(told.get(name, usual)) if process is not None else told.get(name, usual))
            for name, usual, process in self.parameters
        ]
        return tuple(value for _, value in values) if self.positional else dict(values)

    def rows(self, cursor: Any) -> list[Any]:
        if self.changed is None:  # the driver says what it sends with the first answer
            types = [told[1] for told in cursor.description]
            ways = [
                _impl(column, self.dialect).result_processor(self.dialect, type_) for column, type_ in zip(self.columns, types, strict=True)
            ]
            self.changed = [(place, way) for place, way in enumerate(ways) if way is not None]
        if not self.changed:
            return [self.row(*values) for values in cursor.fetchall()]
        made = []
        for values in map(list, cursor.fetchall()):
            for place, process in self.changed:
                values[place] = process(values[place])
            made.append(self.row(*values))
        return made


class Prepared:
    """A statement with bind parameters. Values told by the name of a column are what an INSERT or UPDATE sets it to."""

    def __init__(self, statement: Callable[[str], Executable] | Executable) -> None:
        """`statement` may be a function of the dialect's name, where the two databases say it differently."""
        self._statement = statement
        self._plans: dict[tuple[str, ...], _Plan] = {}

    def all(self, connection: Connection, told: Told) -> list[Any]:
        """The rows, as named tuples."""
        plan = self._plan(connection, told)
        return plan.rows(_run(connection, plan.text, plan.bound(told)))

    def first(self, connection: Connection, told: Told) -> Any:
        """The only row there can be, or None."""
        rows = self.all(connection, told)
        return rows[0] if rows else None

    def run(self, connection: Connection, told: Told) -> int:
        """How many rows were changed."""
        plan = self._plan(connection, told)
        return int(_run(connection, plan.text, plan.bound(told)).rowcount)

    def each(self, connection: Connection, told: Sequence[Told]) -> None:
        """Once for each of these, which all tell the same."""
        plan = self._plan(connection, told[0])
        _run(connection, plan.text, [plan.bound(one) for one in told], many=True)

    def _plan(self, connection: Connection, told: Told) -> _Plan:
        key = (connection.dialect.name, *told)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = self._compiled(connection.dialect, list(told))
        return plan

    def _compiled(self, dialect: Dialect, names: list[str]) -> _Plan:
        statement: Any = self._statement(dialect.name) if callable(self._statement) else self._statement
        compiled = statement.compile(dialect=dialect, column_keys=names)
        if wrong := {name for name, bind in compiled.binds.items() if bind.required} ^ set(names):
            raise TypeError(f"told too much or too little: {sorted(wrong)} of {compiled}")
        parameters = tuple(
            (name, compiled.params[name], _impl(compiled.binds[name], dialect).bind_processor(dialect))
            for name in (compiled.positiontup or compiled.params)
        )
        columns = list(statement.exported_columns)
        return _Plan(str(compiled), parameters, bool(compiled.positional), _row(tuple(column.key for column in columns)), columns, dialect)


def tuples(connection: Connection, text: str, values: Any) -> list[tuple[Any, ...]]:
    """The rows of a statement that was written as text, just as the driver makes them."""
    found: list[tuple[Any, ...]] = _run(connection, text, values).fetchall()
    return found


def _impl(column: Any, dialect: Dialect) -> Any:
    return column.type.dialect_impl(dialect)


def _row(names: tuple[str, ...]) -> Any:
    """A named tuple which can also be asked as the rows of SQLAlchemy can."""
    return type("Row", (namedtuple("Row", names),), {"__slots__": (), "_mapping": property(lambda row: row._asdict())})


def _run(connection: Connection, text: str, values: Any, many: bool = False) -> Any:
    """The cursor. Raises what SQLAlchemy raises; a link that broke, or that an exit cut off in the middle, is not used again."""
    for watcher in watchers:
        watcher(text, values)
    driver: Any = connection.connection.driver_connection
    cursor = driver.cursor()
    try:
        (cursor.executemany if many else cursor.execute)(text, values)
    except Exception as error:
        api: Any = connection.dialect.loaded_dbapi
        if not isinstance(error, api.Error):
            raise
        gone = connection.dialect.is_disconnect(error, driver, cursor)
        if gone:
            connection.invalidate(error)
        raise DBAPIError.instance(
            text, None, error, api.Error, hide_parameters=True, connection_invalidated=gone, dialect=connection.dialect
        ) from error
    except BaseException as exit:
        connection.invalidate(exit)
        raise
    return cursor
