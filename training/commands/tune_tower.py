"""`python -m training tune-tower`: fine-tune a pretrained tower."""

import argparse
import os
import shlex
import sys
from pathlib import Path
from typing import get_args

import torch

from model_export.contract.towers import TowerKind
from training.commands.arguments import MOST_SEED, MOST_THREADS, whole_number
from training.data import load_dataset
from training.errors import UsageError
from training.models.distributed import DEVICES, computing
from training.towers import Tower, cache_folder, find_tower
from training.towers.registry import kind_of
from training.tuning.folder import check_free, setting_of, write_tuned
from training.tuning.shown import ITEMS
from training.tuning.tune import Options, Tuned, tune


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `tune-tower`."""
    default = Options()
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="data set folder")
    parser.add_argument(
        "--tower",
        required=True,
        metavar="NAME",
        help="hf:FOLDER_OR_NAME, all-minilm-l6-v2 or multilingual-e5-small-full, with options like "
        "text_tower",
    )
    parser.add_argument(
        "--kind",
        choices=get_args(TowerKind),
        help="kind of tower (default: by name, else text)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="a new folder")
    parser.add_argument("--steps", type=int, default=default.steps, metavar="N", help="most steps")
    parser.add_argument(
        "--batch", type=int, default=default.batch, metavar="N", help="pieces per step"
    )
    parser.add_argument(
        "--lr", type=float, default=default.learning_rate, metavar="X", dest="learning_rate"
    )
    parser.add_argument("--temperature", type=float, default=default.temperature, metavar="X")
    parser.add_argument(
        "--evaluate-every",
        type=int,
        default=default.evaluate_every,
        metavar="N",
        help="steps between validations",
    )
    parser.add_argument(
        "--patience",
        type=int,
        default=default.patience,
        metavar="N",
        help="validations without improvement before training stops",
    )
    parser.add_argument(
        "--seed", type=whole_number(0, MOST_SEED), default=default.seed, metavar="S"
    )
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--threads", type=whole_number(1, MOST_THREADS), default=cores, metavar="N")
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="default: cpu")
    parser.add_argument(
        "--tower-cache",
        type=Path,
        default=cache_folder(),
        metavar="DIR",
        help="cache of unpacked weights (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> None:
    """Tune, save and print a summary."""
    names = ("steps", "batch", "learning_rate", "temperature", "evaluate_every", "patience", "seed")
    options = Options(**{name: getattr(args, name) for name in names})
    torch.set_num_threads(args.threads)
    check_free(args.out)
    with computing(args.device) as compute:
        if compute.processes > 1:
            raise UsageError("tune-tower runs as one process; start it without torchrun")
        dataset = load_dataset(args.data)
        tower = _find(args.tower, args.kind, args.tower_cache)
        tuned = tune(tower, dataset, options, compute)
    write_tuned(tuned, options, dataset.digest, args.out)
    sys.stdout.write(_summary(tuned, args.out))


def _find(reference: str, kind: TowerKind | None, cache: Path) -> Tower:
    """Tower by reference; a Hugging Face folder is a text tower unless a kind is given."""
    try:
        return find_tower(kind or kind_of(reference), reference, cache)
    except UsageError as error:
        if kind is not None or not reference.startswith("hf:"):
            raise
        raise UsageError(
            f"{error}; add --kind image or --kind audio if it reads pictures or sounds"
        ) from error


def _summary(tuned: Tuned, out: Path) -> str:
    counts = tuned.counts
    before, best = tuned.history[0][1], max(value for _, value in tuned.history)
    gained = f"step {tuned.step}" if tuned.step else "no improvement, weights unchanged"
    several = ITEMS[tuned.tower.spec.kind].several
    lines = [
        f"{several:<11} {counts[several]} of {counts['streamers']} training streamers, behaviour "
        f"is known of {counts['with_behaviour']}",
        f"validation  {tuned.metric} {before:.4f} before, {best:.4f} after; {gained}; "
        f"{counts['validation_queries']} queries",
        f"took        {tuned.seconds:.0f} s, {tuned.peak_rss_mib:.0f} MB at most",
        f"saved       {out}",
        f"use         --set {shlex.quote(setting_of(tuned.tower, out))}",
    ]
    return "\n".join(lines) + "\n"
