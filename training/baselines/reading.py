"""Corpus of a data set, with what its text tower reads."""

from dataclasses import replace
from pathlib import Path

from model_export.contract.pieces import pieces_of
from training.baselines.automatic_tower import AUTO, choose_text_tower
from training.baselines.corpus import Corpus
from training.config import BaselineConfig, RecipeConfig
from training.data import Dataset
from training.data.passes import mapped
from training.evaluation.setting import KNOWN, Split
from training.preparation.leaks import check_towers
from training.teachers.id_embeddings import handed_over
from training.towers import TowerReader, cache_folder, configured_towers


def corpus_of(
    dataset: Dataset,
    split: Split,
    seed: int,
    config: BaselineConfig | None = None,
    tower_cache: Path | None = None,
) -> Corpus:
    """Corpus for an evaluation on a split, with its known streamers.

    Args:
        dataset: the data set.
        split: split of the queries.
        seed: of all randomness.
        config: what may be read; None = the default.
        tower_cache: folder of cached tower vectors.

    Raises:
        LeakError: the text tower was tuned on held-out streamers.
        UsageError: the text tower is unknown, or its dependencies are not installed.
    """
    config, cache = config or BaselineConfig(), tower_cache or cache_folder()
    settings = RecipeConfig(text_tower=config.text_tower, clicks=config.clicks)
    if settings.text_tower == AUTO:
        choice = choose_text_tower(settings, dataset, cache)
        settings = replace(settings, text_tower=choice.reference)
    towers = configured_towers(settings, cache)
    check_towers(towers, dataset)
    pieces = mapped(pieces_of, dataset.profiles)
    if towers:
        with TowerReader(towers, cache) as reader:
            reader.fill(dataset.profiles)
            pieces = [reader(each) for each in pieces]
    tower = towers[0].spec.name if towers else ""
    known = dataset.rows(*KNOWN[split])
    return Corpus(handed_over(dataset, settings, seed, threads=1), pieces, known, seed, tower)
