"""`models`: change the model of a running service without a stop."""

import argparse
import sys
from collections.abc import Sequence

from service.client import Client
from service.client.lifecycle.calls import SWITCH_S
from service.client.models import JobOut, ModelVersionOut, ModelVersionsOut
from service.commands.answers import Cell, print_rows
from service.commands.lifecycle import comparing, live
from service.commands.questions.asking import TIMEOUT_S, add_common, ask
from service.errors import ServiceError

_COLUMNS = [
    "model",
    "state",
    "folder",
    "done",
    "total",
    "eta_s",
    "replicas",
    "indexed",
    "serving",
    "canary",
    "shadow",
]

_SWITCHES = ("register", "shadow", "canary", "promote", "rollback", "retire")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, and with which model."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add(name: str, summary: str, *names: str) -> argparse.ArgumentParser:
        action = actions.add_parser(name, help=summary, description=f"{summary.capitalize()}.")
        for each in names:
            action.add_argument(each.lower(), metavar=each)
        return action

    add("list", "models and their states, one a line")
    add("register", "register the bundle of a folder below the folder of models", "FOLDER")
    backfill = add("backfill", "encode every stored streamer for a model, or go on", "MODEL")
    backfill.add_argument(
        "--pace",
        type=_pace,
        metavar="N",
        help="at most so many streamers a second; without it no limit, or that of the paused one",
    )
    add("pause", "pause the backfill of a model", "MODEL")
    compare = add("compare", "replay what people decided against a model that is ready", "MODEL")
    flips = add("flips", "decisions that flip with a model, the lost ones first", "MODEL")
    comparing.add_arguments(compare, flips)
    shadow = add("shadow", "ask a model that is ready what live callers ask, and report", "MODEL")
    canary = add("canary", "answer a share of the callers by a model that is ready", "MODEL")
    live.add_arguments(shadow, canary)
    promote = add("promote", "answer by a model that is ready, on all replicas", "MODEL")
    promote.add_argument(
        "--force",
        action="store_true",
        help="although what people decided stands against it, or was not replayed",
    )
    rollback = add("rollback", "answer by the model that was active before")
    rollback.add_argument(
        "--from",
        dest="leaving",
        metavar="MODEL",
        help="the model to leave, refused where another one is active, as after somebody else's "
        "rollback, which this one would undo; without it you are asked, if you are at a terminal",
    )
    add("retire", "keep a model no longer beside the active one", "MODEL")
    for name, action in actions.choices.items():
        add_common(action, SWITCH_S if name in _SWITCHES else TIMEOUT_S)


def _pace(text: str) -> float:
    try:
        pace = float(text)
    except ValueError:
        pace = 0.0
    if not 0 < pace <= 100_000:
        raise argparse.ArgumentTypeError(f"must be above 0, at most 100000; it is {text!r}")
    return pace


def run(args: argparse.Namespace) -> int:
    """Do it, and show what became of it."""
    if args.action == "list":
        return ask(
            args,
            lambda client: ModelVersionsOut(models=list(client.models.all())),
            lambda found: _show(found.models),
        )
    if args.action == "backfill":
        return ask(
            args,
            lambda client: client.models.backfill(args.model, streamers_per_s=args.pace),
            _show_job,
        )
    if args.action == "pause":
        return ask(args, lambda client: client.models.pause(args.model), _show_one)
    if args.action == "compare":
        return comparing.compare(args)
    if args.action == "flips":
        return comparing.flips(args)
    if args.action == "shadow" and args.sample is None:
        return live.report(args)
    show = _show_promoted if args.action in ("promote", "rollback") else _show_one
    return ask(args, lambda client: _switch(client, args), show)


def _switch(client: Client, args: argparse.Namespace) -> ModelVersionOut:
    models, longest_s = client.models, args.timeout
    if args.action == "register":
        return models.register(args.folder, deadline_s=longest_s)
    if args.action == "shadow":
        return models.shadow(args.model, args.sample, deadline_s=longest_s)
    if args.action == "canary":
        return models.canary(args.model, args.share, deadline_s=longest_s)
    if args.action == "promote":
        return models.promote(args.model, force=args.force, deadline_s=longest_s)
    if args.action == "rollback":
        leaving = args.leaving or _confirmed(client)
        return models.roll_back(leaving=leaving, deadline_s=longest_s)
    return models.retire(args.model, deadline_s=longest_s)


def _confirmed(client: Client) -> str | None:
    """The model that somebody at a terminal agrees to leave; None where nobody is there."""
    if not sys.stdin.isatty():
        return None
    models = client.models.all()
    active = next((m.model_version for m in models if m.state == "active"), None)
    kept = next((m.model_version for m in models if m.state in ("ready", "shadow", "canary")), None)
    if kept is None:
        return active  # the service says why it can't be
    print(f"{active} answers. Answer by {kept} from now on? [y/N] ", end="", file=sys.stderr)
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ServiceError("nothing was changed")
    return active


def _show(models: Sequence[ModelVersionOut]) -> None:
    rows: list[list[Cell]] = []
    for model in models:
        progress = None if model.backfill is None else model.backfill.progress
        eta_s = None if progress is None or progress.eta_s is None else round(progress.eta_s)
        rows.append(
            [
                model.model_version,
                model.state,
                model.folder,
                progress and progress.done,
                progress and progress.total,
                eta_s,
                sum(replica.has_bundle for replica in model.replicas),
                sum(replica.is_indexed for replica in model.replicas),
                sum(replica.serves for replica in model.replicas),
                model.canary_share,
                model.shadow_sample,
            ]
        )
    print_rows(_COLUMNS, rows)


def _show_one(model: ModelVersionOut) -> None:
    _show([model])


def _show_promoted(model: ModelVersionOut) -> None:
    for warning in model.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    _show([model])


def _show_job(job: JobOut) -> None:
    print(f"{job.job_id} {job.state}")
