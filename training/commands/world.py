"""`python -m training world --out DIR`: write a simulated data set folder."""

import argparse
import sys
from pathlib import Path

from training.world.files import is_written, write_world
from training.world.world import MAX_RING_SHARE, MIN_STREAMERS, generate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `world`."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument(
        "--streamers",
        type=int,
        default=5000,
        metavar="N",
        help=f"number of streamers, at least {MIN_STREAMERS} (default: 5000)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="seed of the world (default: 0)"
    )
    parser.add_argument(
        "--format",
        choices=("jsonl", "parquet"),
        default="jsonl",
        help="JSON Lines with CSV tables, or Parquet (default: jsonl)",
    )
    parser.add_argument(
        "--media",
        action="store_true",
        help="write pictures and sounds instead of cover vectors",
    )
    parser.add_argument(
        "--rings",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of accounts in planted rings, disguised copies of one account, all in the test "
        f"split; as many more are honest look-alikes; at most {MAX_RING_SHARE} (default: 0)",
    )
    parser.add_argument(
        "--hidden-rings",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of accounts in planted rings whose accounts each reuse one thing of one other, "
        f"so that they hang together by chains; likewise, at most {MAX_RING_SHARE} (default: 0)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the data set in the folder"
    )


def run(args: argparse.Namespace) -> None:
    """Write the world, unless the folder already holds it."""
    asked = (args.streamers, args.seed, args.format, args.media, args.rings, args.hidden_rings)
    if not args.overwrite and is_written(args.out, *asked):
        sys.stdout.write(f"{args.out} already holds this world\n")
        return
    world = generate(args.streamers, args.seed, args.media, args.rings, args.hidden_rings)
    write_world(world, args.out, args.seed, args.format)
    groups = len(set(world.groups) - {None})
    sys.stdout.write(
        f"{args.out}: {len(world.profiles):,} streamers on {len(set(world.topics))} topics, "
        f"{groups:,} groups of duplicates, {world.audience.users:,} users with "
        f"{len(world.audience.user):,} interactions\n"
    )
