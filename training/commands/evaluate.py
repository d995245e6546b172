"""`python -m training evaluate`: evaluate a checkpoint or a baseline on held-out streamers."""

import argparse
import dataclasses
import io
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from training.baselines import BASELINES, corpus_of, find_baseline
from training.commands.arguments import MOST_SEED, check_output, whole_number
from training.config import BaselineConfig, override
from training.data import Dataset, load_dataset
from training.errors import UsageError
from training.evaluation.result import Evaluation, per_query_path
from training.evaluation.run import evaluate
from training.evaluation.setting import SPLITS
from training.evaluation.subject import Representation, shown
from training.inference.load import load_checkpoint, represent_checkpoint
from training.inference.modalities import Alone, alone_table, each_alone
from training.inference.robustness import Robustness, robustness, table
from training.models.checkpoint import Checkpoint, write_atomically
from training.towers import cache_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `evaluate`."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="data set folder")
    subject = parser.add_mutually_exclusive_group(required=True)
    subject.add_argument("--checkpoint", type=Path, metavar="DIR", help="a finished checkpoint")
    subject.add_argument("--baseline", metavar="NAME", help=f"one of: {', '.join(BASELINES)}")
    parser.add_argument("--out", type=Path, required=True, metavar="METRICS.json")
    parser.add_argument(
        "--split", choices=SPLITS, default="test", help="split of the queries (default: test)"
    )
    parser.add_argument(
        "--seed",
        type=whole_number(0, MOST_SEED),
        default=0,
        metavar="S",
        help="seed of a baseline (default: 0)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a setting of a baseline: text_tower or clicks",
    )
    parser.add_argument(
        "--robustness",
        action="store_true",
        help="also measure with modalities missing, swapped or with boilerplate",
    )
    parser.add_argument(
        "--modalities",
        action="store_true",
        help="also measure with one modality at a time",
    )
    parser.add_argument(
        "--tower-cache",
        type=Path,
        default=cache_folder(),
        metavar="DIR",
        help="cache of tower vectors (default: %(default)s)",
    )
    parser.add_argument(
        "--vectors",
        type=Path,
        metavar="FILE.npz",
        help="write the embeddings of a checkpoint: ids (R,) and vectors (R, D)",
    )


def run(args: argparse.Namespace) -> None:
    """Evaluate, print and save.

    Raises:
        LeakError: the checkpoint has learned from streamers of the split.
        OutputError: the file can't be written.
        UsageError: the options are inconsistent.
    """
    _check(args)
    if args.baseline is not None:
        baseline = find_baseline(args.baseline)
        dataset = load_dataset(args.data)
        config = override(BaselineConfig(), args.set)
        corpus = corpus_of(dataset, args.split, args.seed, config, args.tower_cache)
        representation = baseline.fit(corpus)
        subject, seed = args.baseline, args.seed
    else:
        checkpoint = Checkpoint.load(args.checkpoint)
        dataset = load_dataset(args.data)
        representation = represent_checkpoint(
            args.checkpoint, checkpoint, dataset, args.split, args.tower_cache
        )
        subject, seed = checkpoint.config["recipe"], checkpoint.config["seed"]
        if checkpoint.config["data_digest"] != dataset.digest:
            sys.stdout.write("note: the checkpoint was trained on another data set\n")
    evaluation = evaluate(dataset, representation, split=args.split, subject=subject, seed=seed)
    chosen = ", ".join(f"{name}={value:g}" for name, value in representation.settings.items())
    try:
        evaluation.save(args.out)
    finally:  # what took long is not lost where the file can't be written
        sys.stdout.write(f"chosen on val: {chosen}\n" if chosen else "")
        sys.stdout.write(_table(evaluation))
    if args.robustness or args.modalities:
        _measure_parts(args, dataset)
    if args.vectors is not None:
        write_atomically(args.vectors, _embeddings(dataset, representation))
    sys.stdout.write(f"saved {args.out}\n")


def _check(args: argparse.Namespace) -> None:
    """Check the options and that the output files can be written, whose folders are created."""
    if args.out.suffix != ".json":
        raise UsageError(f"--out {args.out}: needs a name that ends in .json")
    for option in ("robustness", "modalities"):
        if getattr(args, option) and args.checkpoint is None:
            raise UsageError(f"--{option}: needs --checkpoint")
    if args.set and args.baseline is None:
        raise UsageError("--set: needs --baseline")
    if args.vectors is not None and args.checkpoint is None:
        raise UsageError("--vectors: needs --checkpoint")
    if args.vectors is not None and args.vectors.suffix != ".npz":
        raise UsageError(f"--vectors {args.vectors}: needs a name that ends in .npz")
    _check_places(args)
    check_output("--out", args.out)
    check_output("--out", per_query_path(args.out))
    if args.robustness:
        check_output("--out", _robustness_file(args))
    if args.modalities:
        check_output("--out", _modalities_file(args))
    if args.vectors is not None:
        check_output("--vectors", args.vectors)


def _check_places(args: argparse.Namespace) -> None:
    """Check that no output is among the files of the checkpoint or of the data set."""
    for option, file in (("--out", args.out), ("--vectors", args.vectors)):
        for what, folder in (("checkpoint", args.checkpoint), ("data set", args.data)):
            if file is None or folder is None or file.parent.resolve() != folder.resolve():
                continue
            raise UsageError(
                f"{option} {file}: the folder of the {what} takes no other files; "
                "choose another folder"
            )


def _robustness_file(args: argparse.Namespace) -> Path:
    return args.out.with_suffix(".robustness.json")


def _modalities_file(args: argparse.Namespace) -> Path:
    return args.out.with_suffix(".modalities.json")


def _measure_parts(args: argparse.Namespace, dataset: Dataset) -> None:
    """Measure robustness and modalities, if requested."""
    source = load_checkpoint(args.checkpoint, args.tower_cache)
    if args.robustness:
        rows = robustness(dataset, source, args.split, tower_cache=args.tower_cache)
        _show(_robustness_file(args), rows, table(rows))
    if args.modalities:
        alone, chance = each_alone(dataset, source, args.split, tower_cache=args.tower_cache)
        _show(_modalities_file(args), alone, alone_table(alone, chance))


def _show(file: Path, rows: Sequence[Robustness] | Sequence[Alone], lines: Iterable[str]) -> None:
    content = json.dumps([dataclasses.asdict(row) for row in rows], indent=1) + "\n"
    try:
        write_atomically(file, content.encode())
    finally:
        sys.stdout.write("\n" + "\n".join(lines) + "\n")


def _embeddings(dataset: Dataset, representation: Representation) -> bytes:
    """Embeddings as an npz file, without streamers that have no content."""
    usable = shown(representation.query)
    content = io.BytesIO()
    ids = np.array(dataset.ids, np.str_)[usable]
    np.savez(content, allow_pickle=False, ids=ids, vectors=np.asarray(representation.query)[usable])
    return content.getvalue()


def _table(evaluation: Evaluation) -> str:
    """One line per task and metric."""
    lines = [f"{evaluation.subject} on {evaluation.data}, {evaluation.split} split"]
    for task, metrics in evaluation.summary.items():
        queries = len(evaluation.per_query[task]["query"])
        for i, (name, value) in enumerate(metrics.items()):
            head = f"{task} ({queries} queries)" if i == 0 else ""
            lines.append(f"{head:<28} {name:<20} {value:8.4f}")
    return "\n".join(lines) + "\n"
