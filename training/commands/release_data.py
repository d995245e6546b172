"""`python -m training release-data`: held-out streamers with disguised copies, to test models on.

The folder is what `python -m service release-check --data` reads: a data set folder as any other,
whose copies are of the test split and are told by `duplicates.csv` with their disguise.
"""

import argparse
import csv
import itertools
import json
import random
import shutil
import sys
from pathlib import Path
from typing import Any

from model_export.folder import new_folder
from training.data import Dataset, load_dataset
from training.disguises import KINDS, Kind, copy_of, fits, with_handle
from training.errors import OutputError

_TABLES = ("interactions", "relations", "labels", "look_alikes")
"""Tables that are taken over as they are."""
Rows = list[tuple[str, ...]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `release-data`."""
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="the data set folder"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument(
        "--copies",
        type=int,
        default=50,
        metavar="N",
        help="most copies in each disguise (default: 50)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="of the copies (default: 0)"
    )


def run(args: argparse.Namespace) -> None:
    """Write the folder, which appears whole or not at all.

    Raises:
        OutputError: it holds files already, or can't be written.
    """
    dataset = load_dataset(args.data)
    try:
        with new_folder(args.out) as partial:
            copies = _write(dataset, partial, args.copies, args.seed)
    except OSError as error:
        if error.strerror is None:
            raise OutputError(str(error)) from error
        raise OutputError(
            f"{args.out} can't be written: {error.strerror}; choose another folder"
        ) from error
    counts = ", ".join(f"{count} {kind}" for kind, count in copies.items())
    sys.stdout.write(f"{args.out}: {len(dataset.ids):,} streamers, copies: {counts}\n")


def _write(dataset: Dataset, out: Path, most: int, seed: int) -> dict[str, int]:
    """Write all files; how many copies there are in each disguise."""
    rng = random.Random(seed)
    tested = [dataset.ids[row] for row in dataset.rows("test").tolist()]
    held_out = set(tested)
    shown = {p.streamer_id: p.dump() for p in dataset.profiles if p.streamer_id in held_out}
    handles: dict[str, dict[str, Any]] = {}
    made: list[tuple[dict[str, Any], str, str]] = []
    counts: dict[str, int] = dict.fromkeys(KINDS, 0)
    taken = set(dataset.ids)
    free = (name for i in itertools.count() if (name := f"copy-{i:06}") not in taken)
    for kind in KINDS:
        for streamer_id in rng.sample(tested, len(tested)):
            if counts[kind] >= most:
                break
            original = handles.get(streamer_id, shown[streamer_id])
            if kind == "shared_handle" and not fits(original, kind):
                original = handles[streamer_id] = with_handle(original, rng)
            if fits(original, kind):
                own = shown[rng.choice(tested)] if _needs_own(kind) else None
                copy = copy_of(original, [kind], rng, own)
                copy["streamer_id"] = next(free)
                made.append((copy, streamer_id, kind))
                counts[kind] += 1
    with (out / "streamers.jsonl").open("w", encoding="utf-8") as file:
        for profile in dataset.profiles:
            whole = handles.get(profile.streamer_id) or profile.dump()
            file.write(json.dumps(whole, ensure_ascii=False) + "\n")
        for copy, _, _ in made:
            file.write(json.dumps(copy, ensure_ascii=False) + "\n")
    splits = list(zip(dataset.ids, dataset.split.tolist(), strict=True))
    splits += [(copy["streamer_id"], "test") for copy, _, _ in made]
    _table(out, "splits", ("streamer_id", "split"), splits)
    _table(out, "duplicates", ("streamer_id", "group", "disguise"), _groups(dataset, made))
    for name in _TABLES:
        for ending in (".csv", ".parquet"):
            if (dataset.folder / f"{name}{ending}").is_file():
                shutil.copyfile(dataset.folder / f"{name}{ending}", out / f"{name}{ending}")
    return counts


def _needs_own(kind: Kind) -> bool:
    """Whether the copy shows something else than the words of the original."""
    return kind in ("stolen_cover", "same_vectors", "shared_handle")


def _groups(dataset: Dataset, made: list[tuple[dict[str, Any], str, str]]) -> Rows:
    """Known duplicates, and the copies, each in the group of its original."""
    group = {i: str(g) for i, g in zip(dataset.ids, dataset.groups.tolist(), strict=True)}
    sizes: dict[str, int] = {}
    for number in group.values():
        sizes[number] = sizes.get(number, 0) + 1
    copied = {original for _, original, _ in made}
    rows: Rows = [(i, g, "") for i, g in group.items() if sizes[g] > 1 or i in copied]
    return rows + [(copy["streamer_id"], group[of], kind) for copy, of, kind in made]


def _table(out: Path, name: str, columns: tuple[str, ...], rows: Rows) -> None:
    with (out / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
