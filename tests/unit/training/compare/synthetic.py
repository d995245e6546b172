"""Finished runs without a fit: methods of known quality on queries of known difficulty."""

from pathlib import Path

import numpy as np

from training.compare.details import Details, PrecisionCurve, Retention, TrainingCurve
from training.compare.plan import Method, Run
from training.compare.results import Cost, Failure, Finished, Results, references_of
from training.compare.summary import summarise
from training.compare.worst import Case, Hit, Shown, WorstCases
from training.evaluation.result import Evaluation

HOSTILE = "<script>alert('bio')</script> & \"quotes\" ]]> </style><img src=x onerror=alert(1)>"

QUALITY = {
    Method("transfer-plus", "recipe", "transfer-plus"): 0.27,
    Method("kd-rkd", "recipe", "kd-rkd"): 0.255,
    Method("transfer", "recipe", "transfer"): 0.22,
    Method("masked-views", "recipe", "masked-views"): 0.19,
    Method(
        "no-weights", "variant", "transfer-plus", ("content_floor=1",), ("content_floor=1",)
    ): 0.25,
    Method("noise-25", "variant", "transfer-plus", (), ("teacher_noise=0.25",)): 0.258,
    Method("noise-50", "variant", "transfer-plus", (), ("teacher_noise=0.5",)): 0.247,
    Method("knn-id", "baseline"): 0.26,
    Method("ridge", "baseline"): 0.215,
    Method("tf-idf", "baseline"): 0.19,
    Method("random", "baseline"): 0.005,
}
BEHAVIOUR = {"knn-id"}
"""Methods that find streamers by their behaviour."""
CONTENT = {method.name for method in QUALITY} - BEHAVIOUR
TAUGHT = ("transfer", "kd")
"""Recipes whose names begin so do better where established streamers vote."""
DATA = {"lastfm": 1.0, "movielens": 0.42, "twitch-engb": 0.14}


def finished(
    data: str, quality: dict[Method, float] = QUALITY, queries: int = 400, seeds: int = 3
) -> list[Finished]:
    rng = np.random.default_rng(len(data))
    difficulty = rng.normal(0, 0.1, queries)
    runs = []
    for place, (method, mean) in enumerate(quality.items()):
        for seed in range(seeds if method.kind != "baseline" or method.name == "random" else 1):
            level = mean * DATA.get(data, 1.0)
            noise = np.random.default_rng([place, seed]).normal(0, 0.05, queries)
            values = np.clip(level + level * 3 * (difficulty + noise), 0, 1)
            voted = np.minimum(1, values * (1.2 if method.recipe.startswith(TAUGHT) else 1))
            measured = {"cold start": voted}
            if method.name not in BEHAVIOUR:
                measured = {"seen": values, "unseen": values[::-1], **measured}
            per_query = {task: _per_query(found) for task, found in measured.items()}
            summary = {task: _summary(found, place) for task, found in measured.items()}
            summary["vectors"] = {"alignment": 0.9 + place / 50, "uniformity": -3.2 + place / 10}
            evaluation = Evaluation(
                data, f"{len(data):064x}", method.name, seed, "test", summary, per_query
            )
            cost = Cost(40.0 + seed, 31.5 + place, 812.4) if method.recipe else Cost(2.0)
            run = Run(Path(data), method, seed, Path(f"runs/{data}/{method.name}-{seed}"), {})
            runs.append(Finished(run, evaluation, cost))
    return runs


def _per_query(values: np.ndarray) -> dict[str, np.ndarray]:
    queries = np.arange(len(values)) + 100
    return {"query": queries, "NDCG@20": values, "MRR": np.minimum(1, values * 1.4)}


def _summary(values: np.ndarray, place: int) -> dict[str, float]:
    return {
        "NDCG@20": float(values.mean()),
        "recall@100": float(values.mean() * 1.6),
        "MRR": float(np.minimum(1, values * 1.4).mean()),
        "hubness": 1.3 + place / 3,
    }


def shown(name: str, bio: str = "", tags: int = 5) -> Shown:
    return Shown(
        id=f"id-{name[:3]}",
        name=name,
        bio=bio,
        tags=[f"tag {i}" for i in range(tags)],
        more_tags=3,
        titles=["A night of songs", "歌ってみた"],
    )


def details(name: str) -> Details:
    steps = list(range(0, 501, 50))
    methods = [(m, q) for m, q in QUALITY.items() if m.recipe]
    return Details(
        training=[
            TrainingCurve(
                method=m.name,
                metric="MRR" if m.recipe == "masked-views" else "NDCG@20",
                points=[(s, q * (1 - np.exp(-s / 90)) - q * (s / 2500) ** 2 * 5) for s in steps],
                chosen=300,
            )
            for m, q in methods
        ],
        retention_of="transfer-plus",
        retention=[
            Retention(
                corruption=corruption,
                modality=modality,
                shares=[0, 0.25, 0.5, 1],
                retention=[1 - loss * k * p for p in (0, 0.25, 0.5, 1)],
                overlap=[1, 1 - loss / 3, 1 - loss / 3, 1 - loss / 3],
            )
            for k, corruption in ((1.0, "drop"), (1.5, "swap"), (0.4, "boilerplate"))
            for modality, loss in (("bio", 0.1), ("tags", 0.5), ("titles", 0.13))
        ],
        calibration_of="transfer-plus",
        calibration_source="right = at least 2 users in common; 40 validation streamers",
        calibration=[
            PrecisionCurve(
                name=name,
                points=[(s / 20, (s / 20) ** power) for s in range(4, 21)],
                is_bound=bound,
            )
            for name, power, bound in (
                ("all streamers", 2, False),
                ("1 modality", 2.2, False),
                ("all streamers", 2.6, True),
            )
        ],
        worst_of="transfer-plus",
        worst=WorstCases(
            gallery=3589,
            nothing_to_ask=3,
            missed=101,
            queries=400,
            cases=[
                Case(
                    score=0.0,
                    query=shown(f"{who} of {name}", HOSTILE, tags=12),
                    relevant=20,
                    found=[
                        Hit(profile=shown(f"Found {i}"), rank=i, wanted=i == 3) for i in range(1, 6)
                    ],
                    wanted=[
                        Hit(profile=shown(f"Wanted {i}"), rank=41 * i, wanted=True)
                        for i in range(1, 6)
                    ],
                )
                for who in ("夜の歌い手", "مغنية الليل", "Nightsinger", "Singer" * 12)
            ],
        ),
    )


def results(data: tuple[str, ...] = tuple(DATA), failures: tuple[Failure, ...] = ()) -> Results:
    references = references_of(list(QUALITY), None)
    return Results(
        made_at="2026-01-02T03:04:05+00:00",
        code_version="0.1.0",
        command="python -m training compare --data lastfm movielens --recipes transfer-plus,kd-rkd",
        split="test",
        data=tuple(summarise(finished(name), references) for name in data),
        failures=failures,
    )
