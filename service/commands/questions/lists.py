"""`lists`: campaign lists, saved or not, as tables and as files for spreadsheets."""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

from service.client import Client, ClientError, DeadlineExceeded
from service.client.lists.asynchronous import Form
from service.client.lists.calls import ListFile
from service.client.models import ListAnswerOut, ListDetailOut, ListOut, ListPage, RunDetailOut
from service.commands.answers import Cell, NotPrinted, print_rows
from service.commands.arguments import UnusablePath, whole_number
from service.commands.files import tell_written, text_of, write_whole
from service.commands.questions.asking import add_common, ask, tell_incomplete, with_client
from service.commands.questions.moments import moment, shown
from service.commands.questions.seeds import add_seeds, ids_of, json_object, question_of
from service.commands.stopping import Interrupted, interruptible
from service.errors import in_one_line

Answer = TypeVar("Answer")
Found = TypeVar("Found", ListAnswerOut, RunDetailOut)
_FORMS = {".csv": "csv", ".xlsx": "xlsx", ".ndjson": "ndjson", ".jsonl": "ndjson"}
_CAP = re.compile(r"(.+)=(\d+)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, and with which list."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add(name: str, summary: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, help=summary, description=f"{summary.capitalize()}.")

    preview = add("preview", "make a list, of which nothing is kept")
    save = add("save", "save the question for a list under a name")
    run_ = add("run", "make the list of a saved question; whom it holds is kept")
    show = add("show", "a saved list and its runs, or whom a run of it held, also as it was told")
    for action in (save, run_, show, add("delete", "delete a saved list and its runs")):
        action.add_argument("name", metavar="NAME", help="of the list")
    save.add_argument("--title", default="", help="for people")
    over = save.add_mutually_exclusive_group()
    over.add_argument(
        "--if-revision",
        type=whole_number(1),
        metavar="N",
        help="only over this revision, so that nobody's change is lost",
    )
    over.add_argument("--only-new", action="store_true", help="only if there is none of this name")
    for action in (preview, save):
        add_seeds(action)
        _add_question(action)
    for action in (run_, show):
        action.add_argument(
            "--new-only", action="store_true", help="only rows that the run before did not have"
        )
    run_.add_argument(
        "--new-since", type=whole_number(1), metavar="RUN", help="compare with this run"
    )
    for action in (preview, run_, show):
        action.add_argument(
            "--out",
            type=_file,
            metavar="FILE",
            help="write a file: .xlsx, .csv, or .ndjson",
        )
    show.add_argument(
        "--run",
        dest="number",
        type=whole_number(1),
        metavar="RUN",
        help="whom this run held; with --out the list as it was told",
    )
    add("list", "the saved lists, one a line")
    for action in actions.choices.values():
        add_common(action)


def _add_question(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--question",
        type=Path,
        metavar="FILE",
        help="the question as JSON, as the API takes it; other options go before it",
    )
    add("-k", type=whole_number(1, most=10_000), help="most rows (200)")
    add("--exclude", action="append", default=[], metavar="ID", help="not these; - as above")
    add("--exclude-list", metavar="NAME", help="nobody who was on this list at its last run")
    add(
        "--outreach-since",
        type=moment,
        metavar="TIME",
        help="nobody who was written to since, such as 2030-01-31 (UTC), or ever",
    )
    add("--without-copies", action="store_true", help="of duplicates the best alone")
    spread = parser.add_mutually_exclusive_group()
    spread.add_argument(
        "--max-per", type=_cap, metavar="FIELD=N", help="at most N rows with one value of a field"
    )
    spread.add_argument(
        "--mmr", type=float, metavar="LAMBDA", help="variety: 1 = relevance alone, 0 = variety"
    )
    spread.add_argument(
        "--dpp", type=float, metavar="LAMBDA", help="likewise, unlike all rows before together"
    )
    add("--group-by", metavar="FIELD", help="rows with the same value together")
    add("--field", action="append", metavar="FIELD", help="(name, category, followers)")
    add("--explain", choices=("short", "full"), help="why, in words; full: the reasons as well")
    add("--language", choices=("en", "zh"), help="of reasons and headings (en)")
    stop = parser.add_mutually_exclusive_group()
    stop.add_argument("--stop-at", type=float, metavar="X", help="end where precision falls below")
    stop.add_argument("--mark-at", type=float, metavar="X", help="only mark who comes behind it")


def _cap(text: str) -> dict[str, Any]:
    parts = _CAP.fullmatch(text)
    if parts is None:
        raise argparse.ArgumentTypeError(f"must be FIELD=N, such as category=20, not {text[:40]!r}")
    return {"by": parts[1], "max_per_value": int(parts[2])}


def _file(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() not in _FORMS:
        raise argparse.ArgumentTypeError(
            f"must end in {', '.join(_FORMS)}, which says what is written; not {text[:40]!r}"
        )
    return path


def run(args: argparse.Namespace) -> int:
    """Ask, and show it or write it to a file."""
    try:
        return _run(args)
    except UnusablePath as error:
        print("error:", in_one_line(error), file=sys.stderr)
        return 1


def _run(args: argparse.Namespace) -> int:
    if args.action in ("preview", "save"):
        question = _question(args)
        if not question.get("positive"):
            print("error: give the ID of a streamer, a --profile or a --question", file=sys.stderr)
            return 2
        if args.action == "save":
            how = {"if_revision": args.if_revision, "only_new": args.only_new}
            return ask(
                args, lambda c: c.lists.save(args.name, question, title=args.title, **how), _saved
            )
        return _made(
            args,
            lambda client: client.lists.preview(question),
            _rows,
            lambda client, form: client.lists.download(question, form),
            "choose a file that can be written",
        )
    if args.action == "run":
        return _run_saved(args)
    if args.action == "list":
        return ask(args, lambda c: ListPage(lists=list(c.lists.all())), _list)
    if args.action == "delete":
        return ask(args, lambda client: client.lists.delete(args.name), lambda d: print(d.name))
    if args.number is not None:
        return _made(
            args,
            lambda c: c.lists.held(args.name, args.number, new_only=args.new_only),
            _held,
            lambda c, form: c.lists.held_to_file(
                args.name, args.number, form, new_only=args.new_only
            ),
            "choose a file that can be written",
        )
    if args.out is not None or args.new_only:
        print("error: give the --run that --out and --new-only are of", file=sys.stderr)
        return 2
    return ask(args, lambda client: client.lists.get(args.name), _show)


def _run_saved(args: argparse.Namespace) -> int:
    how = {"new_only": args.new_only, "new_since": args.new_since}
    try:
        with interruptible():
            return _made(
                args,
                lambda client: _ran(args, lambda: client.lists.run(args.name, **how)),
                _rows,
                lambda client, form: _ran(
                    args, lambda: client.lists.run_to_file(args.name, form, **how)
                ),
                f"choose a file that can be written; {_may_be_kept(args)}",
            )
    except (Interrupted, NotPrinted) as stop:
        if not isinstance(stop.__cause__, BrokenPipeError):  # whoever reads it has seen enough
            print(_may_be_kept(args), file=sys.stderr)
        raise


def _question(args: argparse.Namespace) -> dict[str, Any]:
    """The question of the options, over that of the file."""
    asked: dict[str, Any] = {}
    if args.question is not None:
        text = text_of("--question", args.question, "give a file with a question as JSON")
        asked = json_object(text, "--question", args.question)
    given = question_of(args)
    if not given["positive"]:
        del given["positive"]
    given.update(
        {
            name: value
            for name, value in (
                ("k", args.k),
                ("without_copies", args.without_copies or None),
                ("group_by", args.group_by),
                ("fields", args.field),
                ("explain", args.explain),
                ("language", args.language),
                ("diversify", args.max_per),
            )
            if value is not None
        }
    )
    excluded = {"ids": ids_of(args.exclude), "list": args.exclude_list}
    excluded["outreach_since"] = args.outreach_since
    told = {name: value for name, value in excluded.items() if value not in (None, [])}
    if told:
        before = asked.get("exclude", {})
        if not isinstance(before, dict):
            raise UnusablePath(f"--question {args.question}: exclude is not a JSON object")
        given["exclude"] = {**before, **told}
    for method in ("mmr", "dpp"):
        if (share := getattr(args, method)) is not None:
            given["diversify"] = {"method": method, "lambda": share}
    if args.stop_at is not None or args.mark_at is not None:
        precision = args.stop_at if args.mark_at is None else args.mark_at
        given["stop"] = {"at_precision": precision, "mark_only": args.mark_at is not None}
    return {**asked, **given}


def _made(
    args: argparse.Namespace,
    make: Callable[[Client], Found],
    show_it: Callable[[Found], None],
    download: Callable[[Client, Form], ListFile],
    remedy: str,
) -> int:
    """Show a list, or write it to a file; `remedy` is for a file that can't be written."""
    if args.out is None:
        return ask(args, make, show_it)
    suffix = _FORMS[args.out.suffix.lower()]
    (form,) = (one for one in get_args(Form) if one == suffix)

    def write(client: Client) -> None:
        files: list[ListFile] = []

        def made() -> bytes:
            files.append(download(client, form))
            return files[0]

        def show() -> None:
            print(f"{args.out}: {count} bytes")
            _warn(files[0].warnings)
            tell_incomplete(because is None, because)

        count = write_whole("--out", args.out, made, remedy)
        because = files[0].incomplete_because
        fields = {
            "file": str(args.out),
            "bytes": count,
            "incomplete_because": because,
            "warnings": [*files[0].warnings],
        }
        tell_written(args, args.out, fields, show)

    return with_client(args, write)


def _ran(args: argparse.Namespace, run_: Callable[[], Answer]) -> Answer:
    """What a run gives.

    Raises:
        ClientError: it says so where the service may have kept the run all the same.
    """
    try:
        return run_()
    except ClientError as error:
        if not error.is_in_doubt:
            raise
        kind = DeadlineExceeded if isinstance(error, DeadlineExceeded) else ClientError
        raise kind(f"{error}; {_may_be_kept(args)}") from error


def _may_be_kept(args: argparse.Namespace) -> str:
    return (
        f"the run may be kept, and the next one is compared with it: `lists show {args.name}` "
        "shows the runs, and --new-since N compares with another one"
    )


def _rows(found: ListAnswerOut) -> None:
    names = list(dict.fromkeys(name for row in found.rows for name in row.fields))
    extra: dict[str, Callable[[Any], Cell]] = {}
    if found.groups:
        extra["group"] = lambda row: row.group
    if any(row.copies for row in found.rows):
        extra["copies"] = lambda row: ",".join(row.copies) or None
    if found.stop is not None:
        extra["beyond_stop"] = lambda row: "beyond" if row.beyond_stop else None
    if found.provenance.run is not None:
        extra["is_new"] = lambda row: "new" if row.is_new else None
    if any(row.why for row in found.rows):
        extra["why"] = lambda row: row.why
    rows: list[list[Cell]] = [
        [
            row.rank,
            row.streamer_id,
            *(_cell(row.fields.get(name)) for name in names),
            row.score,
            row.precision,
            *(cell(row) for cell in extra.values()),
        ]
        for row in found.rows
    ]
    print_rows(["rank", "streamer_id", *names, "score", "precision", *extra], rows)
    if found.stop is not None and found.stop.min_score is not None:
        told = f"{found.stop.rows_within} rows reach {found.stop.min_score:.3f}, "
        print(f"{told}the score for precision {found.stop.at_precision:g}", file=sys.stderr)
    if found.provenance.run is not None:
        print(f"run {found.provenance.run} of {found.provenance.list_name}", file=sys.stderr)
    _warn(found.warnings)
    tell_incomplete(found.complete, found.incomplete_because)


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)


def _cell(value: Any) -> Cell:
    return ",".join(map(str, cast("list[object]", value))) if isinstance(value, list) else value


def _saved(found: ListOut) -> None:
    print(f"{found.name}: saved as revision {found.revision}")


def _list(page: ListPage) -> None:
    rows: list[list[Cell]] = [
        [one.name, one.title, one.revision, one.key_name, shown(one.updated_at)]
        for one in page.lists
    ]
    print_rows(["name", "title", "revision", "by", "saved"], rows)


def _show(found: ListDetailOut) -> None:
    rows: list[list[Cell]] = [
        [one.run, shown(one.at), one.key_name, one.rows, one.new, one.model_version]
        for one in found.runs
    ]
    print_rows(["run", "at", "by", "rows", "new", "model_version"], rows)
    print(f"{found.name}: {found.title or 'no title'}; --json has the question", file=sys.stderr)


def _held(found: RunDetailOut) -> None:
    rows: list[list[Cell]] = [[rank, one] for rank, one in enumerate(found.ids, start=1)]
    print_rows(["rank", "streamer_id"], rows)
