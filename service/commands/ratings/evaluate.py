"""`evaluate-ratings`: what ratings say of the answers of a running service, or of two."""

import argparse
import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from model_export.contract.errors import first_problem
from service.client import Client, NotFound
from service.client.models import RatingOut
from service.commands.answers import Cell, answer, print_rows
from service.commands.arguments import address, api_key, whole_number
from service.commands.files import text_of
from service.commands.questions.asking import add_common, patience_of, with_client
from service.commands.ratings.answering import STRATEGIES, System
from service.commands.ratings.figures import Evaluation, Interleaved, Limits, compared, interleaved
from service.errors import ServiceError
from service.features.ratings.interleaving import Pick


class UnusableFile(ServiceError):
    """A file is not what the command that writes it makes."""


@dataclass(frozen=True)
class Rated:
    """A question, and the mean rating of each streamer that was rated for it."""

    question: Mapping[str, Any]
    ratings: Mapping[str, float]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is compared, and when too little is judged."""
    parser.add_argument(
        "--ratings", type=Path, metavar="FILE", help="of `ratings export` (those of the service)"
    )
    parser.add_argument("-k", type=whole_number(1, most=1000), default=10, help="hits judged (10)")
    parser.add_argument(
        "--strategy", choices=STRATEGIES, default="average", help="of the answers (average)"
    )
    parser.add_argument(
        "--against", choices=STRATEGIES, help="compare with this strategy, by the same questions"
    )
    parser.add_argument(
        "--against-url", type=address, metavar="URL", help="compare with another service"
    )
    parser.add_argument(
        "--interleaved",
        type=Path,
        metavar="FILE",
        help="of `interleave`: credit its two strategies by ratings, and ask no service",
    )
    parser.add_argument(
        "--min-rated",
        type=whole_number(1),
        default=1,
        metavar="N",
        help="leave out questions that fewer streamers are rated for, such as of reviews (1)",
    )
    parser.add_argument(
        "--min-coverage",
        type=_share,
        default=0.8,
        metavar="X",
        help="no verdict where a smaller share of the hits is judged (0.8)",
    )
    parser.add_argument(
        "--min-questions",
        type=whole_number(1),
        default=10,
        metavar="N",
        help="no verdict of fewer questions (10)",
    )
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Show the figures; 1 where they don't allow a verdict."""
    statuses: list[int] = []

    def do(client: Client) -> None:
        statuses.append(_run(client, args))

    return with_client(args, do) or statuses[0]


def _run(client: Client, args: argparse.Namespace) -> int:
    rated = _rated(_ratings(client, args))
    limits = Limits(args.min_coverage, args.min_questions)
    if args.interleaved is not None:
        sessions = _sessions(args.interleaved)
        evaluation = interleaved(sessions, {k: r.ratings for k, r in rated.items()}, limits)
    else:
        with contextlib.ExitStack() as stack:
            systems = [System(client, args.strategy)]
            if args.against is not None or args.against_url is not None:
                other = client
                if args.against_url is not None:
                    other = stack.enter_context(
                        Client(args.against_url, api_key(), patience=patience_of(args))
                    )
                systems.append(System(other, args.against or args.strategy))
            enough = {n: r for n, r in rated.items() if len(r.ratings) >= args.min_rated}
            evaluation = _asked(systems, enough, args.k, limits)
            if left_out := len(rated) - len(enough):
                note = f"{left_out} questions have fewer than {args.min_rated} rated streamers"
                evaluation = replace(evaluation, notes=[*evaluation.notes, note])
    answer(args, evaluation.fields(), lambda: _show(evaluation))
    if evaluation.refused is not None:
        print(f"no verdict: {evaluation.refused}", file=sys.stderr)
    return 0 if evaluation.refused is None else 1


def _asked(
    systems: Sequence[System], rated: Mapping[str, Rated], k: int, limits: Limits
) -> Evaluation:
    answers: list[tuple[list[list[str]], Mapping[str, float]]] = []
    unanswered = 0
    for each in rated.values():
        try:
            hits = [system.hits(each.question, k) for system in systems]
        except NotFound:  # a seed is not stored any more
            unanswered += 1
            continue
        answers.append((hits, each.ratings))
    return compared([system.name for system in systems], answers, k, limits, unanswered)


def _ratings(client: Client, args: argparse.Namespace) -> list[RatingOut]:
    if args.ratings is None:
        return list(client.ratings.all(page_size=1000))
    text = text_of("--ratings", args.ratings, "give the output of `ratings export`")
    found: list[RatingOut] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                found.append(RatingOut.model_validate_json(line))
            except ValidationError as error:
                raise UnusableFile(
                    f"--ratings {args.ratings}:{number}: {first_problem(error)}: give the output "
                    "of `ratings export`"
                ) from error
    return found


def _rated(ratings: Sequence[RatingOut]) -> dict[str, Rated]:
    """Mean ratings by question, of streamers that are stored as far as that is known.

    A seed is in no answer, so nobody could rank it.
    """
    given: dict[str, dict[str, list[int]]] = {}
    questions: dict[str, Mapping[str, Any]] = {}
    for one in ratings:
        if one.stored:
            questions[one.question_id] = one.question.model_dump()
            by_streamer = given.setdefault(one.question_id, {})
            if one.streamer_id not in (*one.question.positive, *one.question.negative):
                by_streamer.setdefault(one.streamer_id, []).append(one.rating)
    return {
        name: Rated(questions[name], {s: sum(all_) / len(all_) for s, all_ in each.items()})
        for name, each in given.items()
    }


def _sessions(path: Path) -> list[Interleaved]:
    text = text_of("--interleaved", path, "give the file of `interleave --out`")
    found: list[Interleaved] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                one = json.loads(line)
                systems = (one["systems"][0], one["systems"][1])
                picks = [Pick(name, team) for name, team in one["picks"]]
                found.append(Interleaved(one["question_id"], systems, picks))
            except (ValueError, KeyError, TypeError, IndexError) as error:
                raise UnusableFile(
                    f"--interleaved {path}:{number}: {error!r}: give the file of `interleave --out`"
                ) from error
    return found


def _show(evaluation: Evaluation) -> None:
    rows: list[list[Cell]] = []
    for name, value in evaluation.figures:
        rows.append([name, value.mean, value.low, value.high])
    print_rows(["figure", "mean", "low", "high"], rows)
    for line in evaluation.notes:
        print(line, file=sys.stderr)
    if evaluation.verdict is not None:
        print(evaluation.verdict)


def _share(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= float(text) <= 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"must be a share from 0 to 1, not {text[:40]!r}")
