"""`cadmill duplicates` and `cadmill review`: what is there more than once, and what people say of it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.options import DirOption, KeyOption, UrlOption, client_at

if TYPE_CHECKING:
    from api.cli.client import Client
    from api.cli.connection import Json

app = typer.Typer()
review_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""Say of pairs of parts what they are, so that the next report is shorter.

\b
  cadmill review set part_01hv... part_01hw... rejected --note "left and right hand"
  cadmill review load reviews.csv
  cadmill review list --mark confirmed""",
)

SideArgument = Annotated[str, typer.Argument(help="A part of the pair: its id, or the SHA-256 of its content.", metavar="PART")]
_COLUMNS = ("first", "second", "mark")


@app.command()
def duplicates(
    job: Annotated[str, typer.Option(help="Report on this similarity job instead of a new one.", metavar="ID")] = "",
    last: Annotated[bool, typer.Option("--last", help="Report on the newest one that compared all parts; compare nothing.")] = False,
    kind: Annotated[
        list[str] | None, typer.Option(help="Only content, geometry, part, likely, units or size; may be given many times.")
    ] = None,
    reviewed: Annotated[bool, typer.Option("--reviewed", help="Show rejected and ignored pairs, too.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with pictures that prints well.", metavar="FILE.html")] = None,
    table: Annotated[Path | None, typer.Option("--csv", help="Write a table, one line a part.", metavar="FILE.csv")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the groups for programs.")] = False,
    feature_version: Annotated[str | None, typer.Option(help="v1, v2, v3 or v4. Default: the server's.")] = None,
    url: UrlOption = "",
    key: KeyOption = "",
    directory: DirOption = None,
) -> None:
    """Find the parts that are there more than once.

    Compares all parts with each other, whatever their size, and shows them in groups: equal files, equal geometry, the same part
    in another format or pose, the same shape at another size.

    \b
      cadmill duplicates
      cadmill duplicates --html duplicates.html --csv duplicates.csv
      cadmill duplicates --last --kind part --kind likely
    """
    from api.cli import show
    from api.cli.reporting import compare, draw, groups_table, save

    asked: dict[str, Any] = {"kind": kind or [], "reviewed": "include" if reviewed else "exclude"}
    with client_at(url, key, directory) as client:
        if not last and not job:
            job = compare(client, feature_version, quiet=as_json)
        asked |= {"job": job} if job else {}
        report = client.duplicates(asked)
        if html:
            draw(client, report, quiet=as_json)
        if as_json:
            show.json(report)
        else:
            groups_table(report)
        for file, form in ((html, "html"), (table, "csv")):
            if file:
                save(client, file, form, asked, quiet=as_json)


@review_app.command(name="set")
def set_mark(
    first: SideArgument,
    second: SideArgument,
    mark: Annotated[str, typer.Argument(help="confirmed: one part; rejected: two; ignored: not to be told again.")],
    note: Annotated[str, typer.Option(help="Why, in your own words.")] = "",
    by: Annotated[str, typer.Option(help="Who decided. Default: the name of your tenant.")] = "",
    url: UrlOption = "",
    key: KeyOption = "",
    directory: DirOption = None,
) -> None:
    """Mark a pair.

    The mark holds for every part with these contents, until it is removed.

    \b
      cadmill review set part_01hv... part_01hw... confirmed --by Ada
    """
    with client_at(url, key, directory) as client:
        _put(client, [{"first": first, "second": second, "mark": mark, "note": note, "by": by}])


@review_app.command()
def load(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A table with the columns first, second, mark, note, by.")],
    url: UrlOption = "",
    key: KeyOption = "",
    directory: DirOption = None,
) -> None:
    """Mark the pairs of a table.

    \b
      cadmill review load reviews.csv
    """
    with file.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    missing = [name for name in _COLUMNS if rows and name not in rows[0]]
    if missing or not rows:
        raise typer.BadParameter(f"the table has no {'column ' + missing[0] if missing else 'rows'}")
    marks = [{name: (row.get(name) or "").strip() for name in (*_COLUMNS, "note", "by")} for row in rows]
    with client_at(url, key, directory) as client:
        _put(client, marks)


def _put(client: Client, marks: list[Json]) -> None:
    from api.cli import show

    for start in range(0, len(marks), 1000):
        client.put_reviews(marks[start : start + 1000])
    show.line(f"{len(marks)} pair(s) marked")


@review_app.command(name="list")
def show_marks(
    mark: Annotated[str | None, typer.Option(help="Only confirmed, rejected or ignored.")] = None,
    url: UrlOption = "",
    key: KeyOption = "",
    directory: DirOption = None,
) -> None:
    """List the marks: of which contents, by whom, when and why.

    \b
      cadmill review list --mark rejected
    """
    from api.cli import show

    with client_at(url, key, directory) as client:
        marks = client.reviews(mark)
    rows = [[one["first"][:12], one["second"][:12], one["mark"], one["by"], one["at"], one["note"]] for one in marks]
    show.table("Reviews", ["first", "second", "mark", "by", "at", "note"], rows)


@review_app.command()
def remove(first: SideArgument, second: SideArgument, url: UrlOption = "", key: KeyOption = "", directory: DirOption = None) -> None:
    """Remove the mark of a pair: reports tell of it again.

    \b
      cadmill review remove part_01hv... part_01hw...
    """
    from api.cli import show

    with client_at(url, key, directory) as client:
        client.remove_review(first, second)
    show.line("1 mark removed")
