"""`python -m training fit`: train an encoder on a data set folder."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from model_export.contract.calibration import ScoreCalibration
from training.commands.arguments import MOST_SEED, MOST_THREADS, above_zero, whole_number
from training.config import FitFile, override, read_fit_file
from training.data import load_dataset
from training.errors import UsageError
from training.models.checkpoint import Checkpoint
from training.models.distributed import DEVICES, PRECISIONS, computing
from training.tasks.recipes import RECIPES, Recipe, find_recipe
from training.towers import cache_folder
from training.tracking import TRACKERS
from training.trainer.fit import Request, already_trained, fit, one_fit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `fit`."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="data set folder")
    parser.add_argument("--recipe", metavar="NAME", help=f"one of: {', '.join(RECIPES)}")
    parser.add_argument("--out", type=Path, required=True, metavar="CHECKPOINT", help="folder")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE.json",
        help="recipe, seed and settings, as in config.json of a checkpoint; options override them",
    )
    parser.add_argument("--seed", type=whole_number(0, MOST_SEED), metavar="S", help="default: 0")
    parser.add_argument(
        "--split-number",
        type=whole_number(0),
        metavar="N",
        help="above 0, streamers are dealt anew to train, val and test, see `compare --splits` "
        "(default: 0, the data set's own split)",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting"
    )
    parser.add_argument(
        "--threads", type=whole_number(1, MOST_THREADS), default=_threads(), metavar="N"
    )
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="default: cpu")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="of matrix products in training (default: float32)",
    )
    parser.add_argument(
        "--save-every",
        type=above_zero,
        default=20.0,
        metavar="SECONDS",
        help="interval for saving the state to resume from (default: 20)",
    )
    parser.add_argument(
        "--tower-cache",
        type=Path,
        default=cache_folder(),
        metavar="DIR",
        help="cache of tower vectors (default: %(default)s)",
    )
    parser.add_argument(
        "--init-from",
        type=Path,
        metavar="CHECKPOINT",
        help="start from the encoder of an earlier checkpoint",
    )
    parser.add_argument(
        "--track",
        action="append",
        choices=sorted(TRACKERS),
        default=[],
        help="record metrics there too, beside metrics.jsonl of the checkpoint",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a finished checkpoint")


def run(args: argparse.Namespace) -> None:
    """Fit, save and print a summary."""
    given = FitFile() if args.config is None else read_fit_file(args.config)
    name = args.recipe or given.recipe
    if name is None:
        raise UsageError("--recipe is required, unless --config names one")
    if given.init_from is not None and args.init_from is None:
        raise UsageError(
            f"{args.config}: that fit started from another checkpoint; name it with --init-from, "
            "or remove init_from from the file"
        )
    recipe = find_recipe(name)
    config = override(given.settings(recipe.config(), args.config), args.set)
    with computing(args.device, args.precision) as compute:
        request = Request(
            recipe=name,
            config=config,
            seed=args.seed if args.seed is not None else given.seed or 0,
            threads=args.threads,
            out=args.out,
            overwrite=args.overwrite,
            save_every_s=args.save_every,
            compute=compute,
            tower_cache=args.tower_cache,
            init_from=args.init_from,
            track=args.track,
        )
        number = args.split_number if args.split_number is not None else given.split_number or 0
        dataset = load_dataset(args.data).dealt(number)
        with one_fit(request):
            if already_trained(request, dataset):
                summary = f"{args.out} is already trained with these settings and data\n"
            else:
                summary = _summary(fit(request, dataset), recipe, dataset.notes, args.out)
    if compute.is_first:
        sys.stdout.write(summary)


def _threads() -> int:
    """Share of the cores for each process started by `torchrun`."""
    return max(len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), 1)


def _summary(checkpoint: Checkpoint, recipe: Recipe, notes: Sequence[str], out: Path) -> str:
    m = checkpoint.metrics
    lines = [
        f"data        {m['streamers']:.0f} streamers, {m['streamers_learned_from']:.0f} learned "
        f"from, {m['streamers_without_content']:.0f} without content, {m['tokens']:.0f} tokens",
        *(f"note        {note}" for note in notes),
    ]
    if checkpoint.config["id_space"]:
        space = checkpoint.config["id_space"]
        lines.append(
            f"teacher     {space['name']}, {m['teacher_streamers']:.0f} streamers x {space['dim']}"
        )
    measured = m.get(recipe.metric_name)
    shown = "not measured" if measured is None else f"{recipe.metric} {measured:.4f}"
    lines.append(f"validation  {shown}, {m['validation_step']:.0f} steps")
    for task in ("seen", "unseen"):
        if f"test_{task}_NDCG@20" in m:
            lines.append(
                f"{task:<11} NDCG@20 {m[f'test_{task}_NDCG@20']:.4f} (TF-IDF "
                f"{m[f'test_{task}_TF-IDF_NDCG@20']:.4f}), {m[f'test_{task}_queries']:.0f} queries"
            )
    if "test_cold_start_NDCG@20" in m:
        lines.append(
            f"cold start  NDCG@20 {m['test_cold_start_NDCG@20']:.4f}, established streamers vote"
        )
    threshold = checkpoint.config["duplicate_threshold"]
    lines.append(f"duplicates  content cosine >= {threshold['value']:.3f}: {threshold['source']}")
    lines.append(f"precision   {_precision(checkpoint.config['calibration']['embedding'])}")
    lines.append(f"took        {m['fit_seconds']:.0f} s, {m['peak_rss_mb']:.0f} MB at most")
    lines.append(f"saved       {out}")
    return "\n".join(lines) + "\n"


def _precision(stored: Mapping[str, Any]) -> str:
    """Thresholds with the highest lower bound of the precision, and at the lowest score."""
    calibration = ScoreCalibration.model_validate(stored)
    if not calibration.curves:
        return calibration.source
    knots = [calibration.curves[0].strictest, calibration.curves[0].knots[-1]]
    promised = ", ".join(f">= {k.at_least:.2f} from cosine {k.score:.3f}" for k in knots)
    return f"{promised}; {calibration.source}"
