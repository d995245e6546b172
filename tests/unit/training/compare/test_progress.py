"""What is told while a comparison runs, and how long the rest is thought to take."""

import io
from pathlib import Path

from training.compare.plan import Method, Run
from training.compare.progress import RunProgress
from training.compare.results import Failure
from training.progress import Progress

PLUS, VIEWS = (Method(name, "recipe", name) for name in ("transfer-plus", "masked-views"))
LEXICAL = Method("tf-idf", "baseline")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def run(method: Method, data: str = "lastfm", seed: int = 0) -> Run:
    return Run(Path(data), method, seed, Path("x"), {})


def left(todo: list[Run], done: list[tuple[Run, float]], jobs: int = 1) -> float | None:
    return RunProgress(todo, done, jobs, Progress("runs", len(todo), io.StringIO())).seconds_left()


def test_the_nearest_of_its_kind_tells_what_a_run_will_take():
    done = [
        (run(PLUS), 40.0),
        (run(PLUS, seed=1), 44.0),
        (run(VIEWS), 20.0),
        (run(VIEWS, "movielens"), 10.0),
        (run(LEXICAL), 1.0),
    ]
    assert left([run(PLUS, seed=2)], done) == 42
    assert left([run(PLUS, "movielens")], done) == 10
    assert left([run(VIEWS, "citeulike")], done) == 15
    assert left([run(LEXICAL, "citeulike")], done) == 1
    assert left([run(PLUS, seed=2), run(LEXICAL, "movielens")], done, jobs=2) == 21.5


def test_nothing_is_said_while_nothing_is_known():
    assert left([run(PLUS)], [(run(LEXICAL), 1.0)]) is None
    assert left([], []) == 0


def test_lines_count_and_estimate():
    stream = io.StringIO()
    todo = [run(LEXICAL), run(PLUS), run(PLUS, seed=1)]
    progress = RunProgress(todo, [], 1, Progress("runs", 3, stream))
    progress.running([run(LEXICAL)])
    progress.finished(run(LEXICAL), {"seen": 0.2, "cold start": 0.25}, 1.0)
    progress.failed(Failure(run(PLUS).name, "it broke"))
    progress.finished(run(PLUS, seed=1), {}, 75.0)
    assert stream.getvalue().splitlines() == [
        "[1/3] lastfm tf-idf: seen 0.2000, cold start 0.2500, 1.0 s",
        "[2/3] lastfm transfer-plus seed 0: FAILED: it broke",
        "[3/3] lastfm transfer-plus seed 1: 1 min 15 s",
    ]


def test_a_terminal_shows_a_bar_with_what_is_running():
    stream = Terminal()
    with Progress("runs", 1, stream) as bar:
        progress = RunProgress([run(PLUS)], [], 1, bar)
        progress.running([run(PLUS)])
        assert "runs" in stream.getvalue()
        assert "lastfm transfer-plus seed 0" in stream.getvalue()
        progress.finished(run(PLUS), {"labels": 0.25}, 12.0)
    assert "[1/1] lastfm transfer-plus seed 0: labels 0.2500, 12 s\n" in stream.getvalue()
