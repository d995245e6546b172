from dataclasses import dataclass, fields
from typing import Literal

import pytest

from training.config import (
    MaskedViewsConfig,
    RecipeConfig,
    TransferPlusConfig,
    as_dict,
    override,
    shared_config,
)
from training.config.bounds import BOUNDS
from training.errors import UsageError
from training.tasks.recipes import RECIPES


def test_values_are_read_as_the_type_of_the_field():
    config = override(TransferPlusConfig(), ["steps=7", "dropout=0.5", "refit=false", "dim=64"])
    assert (config.steps, config.dropout, config.refit, config.dim) == (7, 0.5, False, 64)


def test_a_later_value_wins_and_the_default_stays_as_it_is():
    assert override(RecipeConfig(), ["steps=1", "steps=2"]).steps == 2
    assert RecipeConfig().steps != 2


def test_an_unknown_name_lists_the_valid_ones():
    with pytest.raises(
        UsageError, match=r"--set stepz: unknown; the valid names are .*steps.*overlap"
    ):
        override(MaskedViewsConfig(), ["stepz=1"])


@pytest.mark.parametrize(
    ("assignment", "problem"),
    [
        ("steps", "write it as name=value"),
        ("steps=many", "needs int"),
        ("steps=1.5", "needs int"),
        ("dropout=much", "needs float"),
        ("refit=1", "needs true or false"),
    ],
)
def test_a_wrong_value_is_named(assignment: str, problem: str):
    with pytest.raises(UsageError, match=problem):
        override(RecipeConfig(), [assignment])


@dataclass(frozen=True)
class _Choice(RecipeConfig):
    form: Literal["hard", "soft"] = "hard"


def test_a_choice_is_one_of_those_listed():
    assert override(_Choice(), ["form=soft"]) == _Choice(form="soft")
    with pytest.raises(UsageError, match="--set form=firm: needs one of hard, soft"):
        override(_Choice(), ["form=firm"])


@pytest.mark.parametrize(
    ("assignment", "bounds"),
    [
        ("temperature=0", "must be more than 0"),
        ("learning_rate=nan", "must be more than 0"),
        ("learning_rate=inf", "must be more than 0"),
        ("batch_size=0", "must be 2 or more"),
        ("evaluate_every=0", "must be 1 or more"),
        ("steps=-1", "must be 0 or more"),
        ("token_dropout=1", r"must be in \[0, 1\)"),
        ("modality_dropout=0.6", r"must be in \[0, 0.5\]"),
        ("weight_decay=-1", "must be 0 or more"),
        ("content_floor=1.5", r"must be in \[0, 1\]"),
    ],
)
def test_a_number_out_of_bounds_is_named_with_what_it_may_be(assignment: str, bounds: str):
    name, _, value = assignment.partition("=")
    with pytest.raises(UsageError, match=rf"^--set {name}={value}: {bounds}$"):
        override(TransferPlusConfig(), [assignment])


def test_every_number_of_every_recipe_has_bounds():
    for recipe in RECIPES.values():
        for field in fields(recipe.config):
            if type(field.default) in (int, float):
                assert field.name in BOUNDS, f"{recipe.config.__name__}.{field.name}"


def test_no_bounds_are_left_over():
    names = {field.name for recipe in RECIPES.values() for field in fields(recipe.config)}
    assert set(BOUNDS) <= names


def test_a_name_of_another_recipe_is_refused():
    with pytest.raises(UsageError, match="neighbours: unknown"):
        override(MaskedViewsConfig(), ["neighbours=5"])


def test_the_encoder_needs_only_what_all_recipes_share():
    config = override(TransferPlusConfig(), ["dim=32", "neighbours=3"])
    shared = shared_config(as_dict(config))
    assert type(shared) is RecipeConfig
    assert all(getattr(config, name) == value for name, value in as_dict(shared).items())
