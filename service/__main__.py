"""`python -m service COMMAND`, or `similar-streamer COMMAND` where it is installed."""

import argparse
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Collection, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from service.commands.answers import NotPrinted, add_json, prepare_output
from service.commands.stopping import Interrupted
from service.errors import in_one_line

SCRIPT = "similar-streamer"


class _Parser(argparse.ArgumentParser):
    """Argument parser with one-line errors, which knows the parsers of its actions."""

    _actions_of_it: Any = None

    def add_subparsers(self, **options: Any) -> Any:
        """Add actions; they are parsers of this class."""
        self._actions_of_it = super().add_subparsers(**options)
        return self._actions_of_it

    def leaves(self) -> Iterator[argparse.ArgumentParser]:
        """The parsers that take arguments: of its actions, or itself."""
        if self._actions_of_it is None:
            yield self
            return
        for parser in self._actions_of_it.choices.values():
            yield from parser.leaves()

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; see `{self.prog} --help`\n")


COMMANDS = {
    "serve": "answer over REST",
    "load": "write a data set folder's streamers to a running service",
    "jobs": "list, show, watch, cancel and retry the jobs of a running service, rebuild its index",
    "find": "find streamers of a running service by nickname, tag or bio",
    "similar": "ask a running service who is similar to streamers or profiles",
    "lists": "make, save and run campaign lists of a running service, as tables and spreadsheets",
    "outreach": "record who was written to, so that lists leave them out",
    "cold-start": "ask a running service for the streamers and users near a new streamer",
    "space": "hand over ID-embeddings to a running service, and choose what it serves",
    "models": "change the model of a running service: backfill, compare, shadow, canary, promote",
    "dedup": "ask a running service which streamers of a list are near-duplicates",
    "duplicates": "list groups of duplicates of a running service, show one, or rebuild them",
    "compare": "ask a running service whether two streamers are the same, and why",
    "map": "ask a running service who is where on the map of its streamers, and fit another one",
    "judge": "tell a running service that two streamers are the same, or are not",
    "events": "read what happened in a running service: writes, groups, alerts",
    "webhooks": "have events posted to other services, see how that goes, replay dead letters",
    "watchlists": "list, make and change lists of seeds that a running service matches writes with",
    "alerts": "list, show and decide alerts of watchlists of a running service",
    "cases": "begin and expand cases of a running service, decide, and export them",
    "ratings": "say how well streamers fit questions, list and export what was said",
    "interleave": "ask a running service for one list of two strategies, to be rated",
    "evaluate-ratings": "measure the answers of a running service by ratings: NDCG with intervals",
    "embed": "encode a data set folder offline, through the served path",
    "encode": "encode a part of a corpus to a Parquet file, for `import`; any scheduler can run it",
    "import": "bring what `encode` wrote into a running service, without encoding it again",
    "release-check": "test a bundle on held-out data, before it is served",
    "drift": "compare streamers written of late with those before, modality by modality",
    "doctor": "check this installation, a bundle and a data folder",
    "backup": "copy everything that is stored to a folder",
    "restore": "replace everything that is stored with a backup",
    "compact": "store profiles in less memory, packed by a dictionary made from them",
    "verify": "check that vectors, index and what is served are those of the stored profiles",
    "keys": "create, list, change, rotate and revoke API keys",
    "erase": "erase a streamer, and tell what persists where",
    "verify-case": "check the exported archive of a case, without a service",
    "verify-audit": "check that nothing of the audit log was changed or is missing",
    "completion": "print the completion script of a shell",
}
_MODULES = {
    "similar": "questions.similar",
    "find": "ratings.find",
    "lists": "questions.lists",
    "outreach": "questions.outreach",
    "cold-start": "questions.cold_start",
    "space": "recommender.spaces",
    "models": "lifecycle.models",
    "dedup": "questions.dedup",
    "duplicates": "questions.duplicates",
    "compare": "questions.compare",
    "map": "questions.map",
    "judge": "questions.judge",
    "events": "feed.events",
    "webhooks": "feed.webhooks",
    "watchlists": "watching.watchlists",
    "alerts": "watching.alerts",
    "ratings": "ratings.given",
    "interleave": "ratings.interleave",
    "evaluate-ratings": "ratings.evaluate",
    "cases": "cases.cases",
    "verify-case": "cases.verify_case",
    "backup": "storage.backup",
    "restore": "storage.restore",
    "compact": "storage.compact",
    "verify": "storage.verify",
    "keys": "access.keys",
    "erase": "access.erase",
    "encode": "offline.encode",
    "drift": "offline.drift",
    "release-check": "offline.release_check",
    "import": "offline.importing",
    "verify-audit": "access.verify_audit",
}
"""Where a command is not a module of its own name."""
EXAMPLES = {
    "serve": ("--bundle build/demo/world/bundle --data-dir data",),
    "load": ("my-data --url http://127.0.0.1:8000", "streamers.jsonl --concurrency 8"),
    "jobs": ("list", "watch 019a1b2c3d4e5f60718293a4b5c6", "rebuild-index"),
    "find": ("night", "夜猫子 --language zh --limit 50 --json"),
    "similar": (
        "w0087 -k 5",
        "w0087 w0412 --unlike w0000 --must language=en",
        "w0087 --min-precision 0.7 --all --json",
        "w0087 --explain | cut -f 2,5",
    ),
    "lists": (
        "preview w0087 -k 200 --without-copies --max-per category=20 --explain short --out l.xlsx",
        "save spring w0087 --exclude-list autumn --outreach-since 2030-01-31",
        "run spring --new-only --out new.csv",
        "show spring",
    ),
    "outreach": (
        'record w0087 w0412 --at 2030-01-31 --note "first mail"',
        "list --since 2030-01-01",
    ),
    "cold-start": ("night-kitchen --neighbours 20", "night-kitchen --users 100 --json"),
    "space": (
        "put als-64 2026-11-26 vectors.npz --promote",
        "list als-64",
        "promote als-64 2026-11-26",
        "rollback als-64",
    ),
    "models": (
        "list",
        "register 2026-11-27",
        "backfill transfer-plus-a931f7997f06 --pace 500",
        "compare transfer-plus-a931f7997f06",
        "flips transfer-plus-a931f7997f06 judgements --limit 20",
        "shadow transfer-plus-a931f7997f06 --sample 5%",
        "canary transfer-plus-a931f7997f06 10%",
        "promote transfer-plus-a931f7997f06",
        "rollback",
    ),
    "dedup": ("w0000 w0087 w1000", "$(cut -f 1 suspects.tsv) --min-precision 0.9"),
    "duplicates": (
        "list --order newest",
        "of w0078",
        "show dup-0f3c9a1b5e7d2c4a6b8f9e01 --edges",
        "judgements w0078",
        "rebuild",
    ),
    "compare": ("w0078 w0412", "w0078 w0412 --without text --json"),
    "map": ("show", "fit", "near w0087 --radius 800 --limit 50"),
    "judge": ('w0078 w0412 different --note "two branches"', "w0078 w0412 take-back"),
    "events": (
        "--json",
        "--follow --kinds duplicates.*",
        "--follow --cursor 5f0c9a1b-duplicates.2a",
    ),
    "webhooks": (
        "create https://anti-fraud.example.org/hooks --kinds duplicates.*,watchlist.*",
        "list",
        "test wh-0f3c9a1b5e7d2c4a",
        "deliveries wh-0f3c9a1b5e7d2c4a --state dead",
        "replay wh-0f3c9a1b5e7d2c4a",
    ),
    "watchlists": (
        "create w0078 w0412 --name 'noodle ring' --not-like w0000 --min-probability 0.95",
        "update wl-0f3c9a1b5e7d2c4a6b8f9e01 w0078 --name 'noodle ring' --shadow",
        "show wl-0f3c9a1b5e7d2c4a6b8f9e01",
        "list",
    ),
    "alerts": (
        "list --state open",
        "show al-5e7d2c4a6b8f9e010f3c9a1b",
        'dismiss al-5e7d2c4a6b8f9e010f3c9a1b --note "his brother"',
    ),
    "cases": (
        'create w0078 w0412 --title "gift scam"',
        "expand case-0f3c9a1b5e7d2c4a --hops 3",
        'decide case-0f3c9a1b5e7d2c4a w0101 cleared --note "an agency"',
        "rerun case-0f3c9a1b5e7d2c4a",
        "export case-0f3c9a1b5e7d2c4a --out case.zip",
    ),
    "ratings": (
        "put w0412 2 --like w0087",
        "list",
        "export > ratings.ndjson",
        "take-back ea8d52470434a054 w0412",
    ),
    "interleave": ("w0087 w0412 --strategies average best_score --out lists.ndjson",),
    "evaluate-ratings": (
        "--ratings ratings.ndjson",
        "--strategy average --against best_score",
        "--interleaved lists.ndjson",
    ),
    "embed": ("--bundle build/demo/world/bundle --data my-data --out vectors.npz",),
    "encode": (
        "--bundle build/demo/world/bundle --in streamers.parquet --out encoded.parquet",
        "--bundle build/demo/world/bundle --part 3/8 --in streamers.jsonl --out encoded-3.parquet",
    ),
    "import": ("encoded-*.parquet --url http://127.0.0.1:8000",),
    "release-check": (
        "build/demo/world/bundle --data build/demo/world/data",
        "build/demo/world/bundle --data held-out --disguises 0.9 --require-all --json",
    ),
    "drift": ("--data-dir data --bundle build/demo/world/bundle --days 7",),
    "doctor": ("--bundle build/demo/world/bundle",),
    "backup": ("--data-dir data --out backup-1",),
    "restore": ("backup-1 --data-dir data",),
    "compact": ("--data-dir data",),
    "verify": ("--data-dir data --url http://127.0.0.1:8000",),
    "keys": (
        "create --name console --role operations --data-dir data",
        "create --name nightly --scope search --limit search=600 --data-dir data",
        "update 3f9c1a2b7d04 --limit search=6000 --expires-at never --data-dir data",
        "list --data-dir data",
    ),
    "erase": ("w0000 --data-dir data",),
    "verify-case": ("case.zip", "case.zip --json"),
    "verify-audit": ("--data-dir data", "--data-dir data --json"),
    "completion": ("bash > ~/.local/share/bash-completion/completions/similar-streamer",),
}
_WITHOUT_ANSWER = ("serve", "completion")
STATUSES = {
    0: "done",
    1: "failed, or something is wrong: a line on standard error says what",
    2: "wrong arguments",
    129: "stopped by SIGHUP, as when its terminal is closed",
    130: "stopped by Ctrl-C",
    143: "stopped by SIGTERM",
}
"""Exit statuses of all commands; docs/client.md has the same table."""


def build_parser(program: str, complete: Collection[str]) -> argparse.ArgumentParser:
    """The parser of all commands, of which `complete` have their arguments.

    Only the command that runs is imported: `load` on a laptop needs neither ONNX Runtime nor FAISS,
    and `doctor` must run where anything is missing.
    """
    parser = _Parser(
        prog=program,
        description="Similar streamers, encoded on write.",
        epilog="\n".join(["exit status:", *(f"  {n:<4} {s}" for n, s in STATUSES.items())]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        lines = [f"  {program} {name} {example}" for example in EXAMPLES.get(name, ())]
        sub = subparsers.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog="\n".join(["examples:", *lines]) if lines else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name in complete:
            module = import_module(f"service.commands.{_MODULES.get(name, name)}")
            module.add_arguments(sub)
            if name not in _WITHOUT_ANSWER:
                for leaf in sub.leaves():
                    add_json(leaf)
            sub.set_defaults(run=module.run, every_command=_every_command)
    return parser


def _every_command() -> argparse.ArgumentParser:
    """The parser with the arguments of every command that this installation can run."""
    usable: list[str] = []
    for name in COMMANDS:
        with contextlib.suppress(ModuleNotFoundError):
            import_module(f"service.commands.{_MODULES.get(name, name)}")
            usable.append(name)
    return build_parser(SCRIPT, usable)


def _program() -> str:
    return SCRIPT if Path(sys.argv[0]).name == SCRIPT else "python -m service"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 = fine, 1 = failed with a line that says why, 2 = wrong usage."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy reads it once: threads have a core
    given = list(sys.argv[1:] if arguments is None else arguments)
    gc.disable()  # what is imported is no garbage, and looking for some takes a fifth of the time
    try:
        parser = build_parser(_program(), given[:1])
        if any(each.partition("=")[0] == "--api-key" for each in given):  # as of 0.1.0
            parser.error(
                "--api-key is no option any more, since everyone on the machine could read it: set "
                "STREAMER_API_KEY"
            )
        args = parser.parse_args(given)
    finally:
        gc.enable()
    try:
        return int(args.run(args))
    except (BrokenPipeError, NotPrinted) as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still buffered
        cause = error.__cause__ if isinstance(error, NotPrinted) else error
        if isinstance(cause, BrokenPipeError):  # whoever reads the output has seen enough
            return 0
        print(f"error: standard output takes no more: {cause}", file=sys.stderr)
        return 1
    except Interrupted as stop:
        print("stopped by", stop, file=sys.stderr)
        return stop.status
    except OSError as error:
        if error.filename is None:
            raise
        print("error:", in_one_line(error), file=sys.stderr)
        return 1


def run() -> NoReturn:
    """Run the command of the command line, and end the process."""
    # Ctrl-C ends it at once, unless a command has something to put in order and says so. As an
    # exception it could come in the middle of an import, and be lost there.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if not prepare_output() and sys.argv[1:2] != ["serve"]:
        sys.exit("error: standard output is closed: send it to a file, or to /dev/null")
    try:
        sys.exit(main())
    except ModuleNotFoundError as error:
        needed = (
            "the extra `client` is enough to ask a running service; other commands need `service`"
        )
        if (error.name or "").partition(".")[0] in ("faiss", "onnxruntime"):
            needed = "install the extra `cpu` or `gpu` beside `service`"
        sys.exit(f"error: {error}: {needed}, and `{_program()} doctor` names what is missing")


if __name__ == "__main__":
    run()
