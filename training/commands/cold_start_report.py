"""`python -m training cold-start-report`: how well the users of newcomers are foretold."""

import argparse
from pathlib import Path

import numpy as np

from model_export.contract.pieces import pieces_of
from training.api import embed
from training.baselines.corpus import Corpus
from training.commands.arguments import MOST_SEED, check_output, whole_number
from training.data import load_dataset
from training.data.passes import mapped
from training.evaluation.setting import setting_of
from training.inference.load import check_held_out
from training.models.checkpoint import Checkpoint, write_atomically
from training.newcomers.measure import METRICS, measure, newcomers_of, ways_of
from training.newcomers.page import page


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `cold-start-report`."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="data set folder")
    parser.add_argument("--out", type=Path, required=True, metavar="REPORT.html")
    parser.add_argument(
        "--checkpoint", type=Path, metavar="DIR", help="also measure a finished checkpoint"
    )
    parser.add_argument(
        "--seed",
        type=whole_number(0, MOST_SEED),
        default=0,
        metavar="S",
        help="of ALS and of the random order (default: 0)",
    )


def run(args: argparse.Namespace) -> None:
    """Measure, write the page, and print a table.

    Raises:
        CheckpointError: the checkpoint is not finished, or a tower is missing.
        LeakError: the checkpoint has learned from streamers of the test split.
        UsageError: the data set has no interactions, or no test streamers.
        OutputError: the page can't be written.
    """
    check_output("--out", args.out)
    dataset = load_dataset(args.data)
    if args.checkpoint is not None:
        check_held_out(args.checkpoint, Checkpoint.load(args.checkpoint), dataset, "test")
    known = np.sort(setting_of(dataset, "test").gallery)
    corpus = Corpus(dataset, mapped(pieces_of, dataset.profiles), known, args.seed)
    given = newcomers_of(dataset, corpus)
    embeddings = None if args.checkpoint is None else embed(args.checkpoint, dataset.profiles)
    found = [
        measure(given, name, scores)
        for name, scores in ways_of(given, args.seed, embeddings).items()
    ]
    name = args.data.resolve().name
    about = [
        f"The users of {len(given.queries)} streamers of the test split, who are newcomers: "
        f"nothing is known of them but their content. Known are {len(known)} streamers and "
        f"{given.watched.get_shape()[1]} users.",
        "Borrowed and ridge predict vectors that ALS learned, and rank users by inner product. "
        "Intervals are of 95 %, by a bootstrap over newcomers.",
    ]
    try:
        write_atomically(args.out, page(f"Users of newcomers: {name}", about, found).encode())
    finally:  # what took long is not lost where the page can't be written
        for way in found:
            means = "  ".join(f"{each} {way.values[each, 'all'].mean:.3f}" for each in METRICS)
            print(f"{way.name:24}{means}")  # noqa: T201 - it is what was asked for
