"""`python -m training compare`: compare recipes and baselines, with a report."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from training.compare import words
from training.compare.collect import as_json, collect, details_of
from training.compare.details import Details
from training.compare.measure import Measurer
from training.compare.plan import Run, methods_of, plan, source_digest
from training.compare.progress import RunProgress
from training.compare.report import charts, markdown
from training.compare.results import Results, references_of
from training.compare.runs import cost_of, execute, forget, report_folder, source_of
from training.errors import UsageError
from training.evaluation.setting import SPLITS
from training.models.checkpoint import write_atomically
from training.progress import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `compare`."""
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument(
        "--recipes", type=_names, default=[], metavar="A,B", help="recipes to train; `all` for all"
    )
    parser.add_argument(
        "--baselines",
        type=_names,
        default=[],
        metavar="X,Y",
        help="baselines to fit; `all` for all",
    )
    parser.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar="NAME=METHOD:KEY=VALUE,...",
        help="another method: a recipe or baseline with changed settings",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="RECIPE.KEY=VALUE",
        help="change a setting of a recipe and of its variants",
    )
    parser.add_argument(
        "--text-tower",
        metavar="TOWER",
        help="pretrained text encoder that every recipe and baseline reads, `auto` to decide by "
        "the data (default: the setting of a recipe, auto for baselines)",
    )
    parser.add_argument("--seeds", type=int, default=3, metavar="K", help="seeds 0 to K-1")
    parser.add_argument(
        "--splits",
        type=int,
        default=1,
        metavar="K",
        help="measure on K splits of each data set: its own, and K - 1 that deal its streamers "
        "anew in the same proportions, known duplicates together. Every method is fitted on each, "
        "and intervals are over splits, too; they are still too narrow, since splits share "
        "streamers to learn from (Bengio & Grandvalet 2004) (default: 1)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="REPORT_DIR", help="folder")
    parser.add_argument(
        "--reference",
        metavar="NAME",
        help="method that others are compared with (default: transfer-plus, else the first recipe)",
    )
    parser.add_argument(
        "--split",
        choices=SPLITS,
        default="test",
        help="split of the queries; with val, recipes train without refit (default: test)",
    )
    parser.add_argument(
        "--robustness",
        action="store_true",
        help="also measure the robustness of the best recipe per data set",
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="parallel fits")
    parser.add_argument("--threads", type=int, metavar="N", help="threads per fit")
    parser.add_argument(
        "--overwrite",
        nargs="?",
        type=_names,
        const=["all"],
        default=[],
        metavar="NAMES",
        help="repeat finished runs, of these methods only if any are named",
    )


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def run(args: argparse.Namespace) -> int:
    """Run the missing runs and write the report; exit status 1 if any run failed."""
    cores = len(os.sched_getaffinity(0))
    threads = args.threads or max(1, cores // max(args.jobs, 1))
    if args.jobs < 1 or threads < 1:
        raise UsageError("--jobs and --threads need at least 1")
    methods = methods_of(
        args.recipes, args.baselines, args.set, args.variant, args.split, args.text_tower
    )
    names = {method.name for method in methods}
    if args.reference and args.reference not in names:
        raise UsageError(f"--reference {args.reference}: is not compared")
    if args.overwrite != ["all"]:
        for name in args.overwrite:
            if name not in names:
                raise UsageError(f"--overwrite {name}: is not compared")
    runs = plan(args.data, methods, args.seeds, args.split, args.out, args.splits)
    measurer = Measurer(args.split, threads)
    with report_folder(args.out) as lock:
        for each in runs:
            if args.overwrite == ["all"] or each.method.name in args.overwrite:
                forget(each)
        costs = [(each, cost_of(each)) for each in runs]
        todo = [each for each, cost in costs if cost is None]
        for folder in dict.fromkeys(each.data for each in reversed(todo)):
            measurer.check(folder, args.splits)  # a bad one is refused before anything runs
        _say(runs, todo)
        _warn_of_other_sources([each for each, cost in costs if cost is not None])
        took = [(run, cost.seconds) for run, cost in costs if cost is not None]
        with Progress("runs", len(todo)) as bar:
            progress = RunProgress(todo, took, args.jobs, bar)
            failures = execute(todo, measurer, progress, jobs=args.jobs, threads=threads, lock=lock)
        references = references_of(methods, args.reference)
        results = collect(runs, failures, references, _arguments(args), args.split)
        details = {
            data.name: details_of(runs, data, measurer, args.robustness) for data in results.data
        }
        _write(args.out, results, details)
    return 1 if results.failures else 0


def _say(runs: Sequence[Run], todo: Sequence[Run]) -> None:
    data = words.counted(len({run.data for run in runs}), "data set")
    methods = len({run.method.name for run in runs})
    splits = len({run.split_number for run in runs})
    dealt = f" in {splits} splits" if splits > 1 else ""
    sys.stdout.write(
        f"{len(runs)} runs of {methods} methods on {data}{dealt}: "
        f"{len(runs) - len(todo)} done already, {len(todo)} to do\n"
    )
    sys.stdout.flush()


def _warn_of_other_sources(done: Sequence[Run]) -> None:
    now = source_digest()
    other = list(dict.fromkeys(each.method.name for each in done if source_of(each) != now))
    if other:
        sys.stdout.write(
            f"made by other source code of this version: runs of {', '.join(other)}; "
            "--overwrite NAMES repeats them\n"
        )
        sys.stdout.flush()


def _arguments(args: argparse.Namespace) -> list[str]:
    """Arguments that repeat the results, with folder names only."""
    found = ["--data", *(folder.name for folder in args.data)]
    for option in ("recipes", "baselines"):
        if names := getattr(args, option):
            found += [f"--{option}", ",".join(names)]
    for option in ("variant", "set"):
        found += [part for text in getattr(args, option) for part in (f"--{option}", text)]
    if args.text_tower is not None:
        found += ["--text-tower", args.text_tower]
    found += ["--seeds", str(args.seeds)]
    if args.splits > 1:
        found += ["--splits", str(args.splits)]
    if args.reference:
        found += ["--reference", args.reference]
    if args.split != "test":
        found += ["--split", args.split]
    if args.robustness:
        found.append("--robustness")
    return [*found, "--out", args.out.name]


def _write(out: Path, results: Results, details: dict[str, Details]) -> None:
    drawn: dict[str, str] = {}
    (out / "charts").mkdir(exist_ok=True)
    for place, data in enumerate(results.data, 1):
        drawn[data.name] = f"charts/{place}.svg"
        write_atomically(out / drawn[data.name], charts.draw(data, details[data.name]))
    write_atomically(out / "results.json", as_json(results, details).encode())
    write_atomically(out / "results.md", markdown.render(results, details, drawn).encode())
    for data in results.data:
        for task in data.tasks:
            sys.stdout.write(f"{data.name}, {words.TITLES[task.task]}: {words.finding(task)}\n")
    for failure in results.failures:
        sys.stdout.write(f"FAILED {failure.name}: {failure.reason}\n")
    sys.stdout.write(f"saved {out / 'results.md'}, its charts, and results.json\n")
