"""What is misnamed is refused at once; what is planned is each method once per seed it needs."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.training.data.folders import write_folder
from training.compare.plan import methods_of, plan
from training.config import BaselineConfig, TransferPlusConfig, as_dict
from training.errors import DataError, UsageError


def methods(
    recipes: str = "transfer-plus",
    baselines: str = "tf-idf",
    settings: tuple[str, ...] = (),
    variants: tuple[str, ...] = (),
    split: str = "test",
):
    return methods_of(
        recipes.split(",") if recipes else [],
        baselines.split(",") if baselines else [],
        settings,
        variants,
        split,
    )


def test_settings_of_a_recipe_are_those_of_its_variants_too():
    found = methods(
        settings=("transfer-plus.steps=20",),
        variants=("flat=transfer-plus:content_floor=1,neighbours=10",),
    )
    assert [(m.name, m.kind) for m in found] == [
        ("tf-idf", "baseline"),
        ("transfer-plus", "recipe"),
        ("flat", "variant"),
    ]
    assert found[0].config() == BaselineConfig()
    plain = found[1].config()
    assert isinstance(plain, TransferPlusConfig)
    assert plain.steps == 20
    assert found[2].config() == replace(plain, content_floor=1.0, neighbours=10)
    assert found[2].own_settings == ("content_floor=1", "neighbours=10")


def test_all_stands_for_all():
    found = methods("all", "all")
    assert {"masked-views", "transfer-plus", "random", "tf-idf"} <= {m.name for m in found}


def test_on_val_nothing_is_trained_on_val():
    found = methods(split="val", variants=("x=transfer-plus:refit=true",))
    assert [as_dict(m.config()).get("refit") for m in found] == [None, False, False]


def test_a_variant_of_a_baseline_and_one_tower_for_all():
    found = methods_of(
        ["kd-soft"],
        ["kernel"],
        ["kd-soft.steps=5"],
        ["ids=kernel:clicks=private", "none=kd-soft:text_tower="],
        "test",
        "use-multilingual",
    )
    assert [(m.name, m.kind, m.baseline if not m.recipe else m.recipe) for m in found] == [
        ("kernel", "baseline", "kernel"),
        ("kd-soft", "recipe", "kd-soft"),
        ("ids", "baseline", "kernel"),
        ("none", "variant", "kd-soft"),
    ]
    assert [m.config().text_tower for m in found] == [*3 * ["use-multilingual"], ""]
    assert [m.config().clicks for m in found] == ["shared", "shared", "private", "shared"]
    assert [m.own_settings for m in found[2:]] == [("clicks=private",), ("text_tower=",)]
    assert found[2].varies  # by the embeddings that stand for the recommender's


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipes": "magic"}, "--recipes magic: unknown; there are .*transfer-plus"),
        ({"baselines": "magic"}, "--baselines magic: unknown; there are random"),
        ({"recipes": "transfer-plus,transfer-plus"}, "transfer-plus is named twice"),
        ({"variants": ("x",)}, "--variant x: write it as NAME=RECIPE_OR_BASELINE:key=value"),
        ({"variants": ("x=transfer-plus",)}, "write it as NAME=RECIPE_OR_BASELINE:key=value"),
        ({"variants": ("x=transfer-plus:",)}, "write it as NAME=RECIPE_OR_BASELINE:key=value"),
        ({"variants": ("../x=transfer-plus:steps=1",)}, "a name has letters"),
        (
            {"variants": ("x=magic:steps=1",)},
            "no recipe or baseline is called 'magic'",
        ),
        ({"variants": ("x=transfer-plus:step=1",)}, "x: --set step: unknown; the valid names"),
        ({"variants": ("x=transfer-plus:steps=soon",)}, "x: --set steps=soon: needs int"),
        ({"variants": ("tf-idf=transfer-plus:steps=1",)}, "tf-idf is named twice"),
        ({"settings": ("steps=20",)}, "--set steps=20: write it as RECIPE.key=value"),
        ({"settings": ("magic.steps=20",)}, "write it as RECIPE.key=value"),
        ({"settings": ("transfer-plus.magic=20",)}, "transfer-plus: --set magic: unknown"),
        ({"settings": ("masked-views.steps=20",)}, "masked-views is not compared"),
        ({"recipes": "", "baselines": ""}, "nothing to compare"),
    ],
)
def test_wrong_names_are_refused(options: dict[str, str], message: str):
    with pytest.raises(UsageError, match=message):
        methods(**options)  # type: ignore[arg-type]


def test_only_what_is_random_is_run_with_every_seed(tmp_path: Path):
    folder = write_folder(tmp_path / "data")
    found = methods(baselines="random,tf-idf", variants=("ids=tf-idf:clicks=private",))
    runs = plan([folder], found, 3, "test", tmp_path / "out")
    assert [run.name for run in runs] == [
        "data random seed 0",
        "data tf-idf",
        "data transfer-plus seed 0",
        "data ids seed 0",
        "data random seed 1",
        "data transfer-plus seed 1",
        "data ids seed 1",
        "data random seed 2",
        "data transfer-plus seed 2",
        "data ids seed 2",
    ]
    assert len({run.folder for run in runs}) == len(runs)


def test_every_method_is_run_on_every_split_and_the_own_one_as_before(tmp_path: Path):
    folder = write_folder(tmp_path / "data")
    found = methods()
    own = plan([folder], found, 2, "test", tmp_path / "out")
    runs = plan([folder], found, 2, "test", tmp_path / "out", splits=3)
    assert runs[: len(own)] == own
    assert all("split_number" not in run.identity for run in own)
    assert [run.name for run in runs[len(own) :]] == [
        "data tf-idf split 1",
        "data transfer-plus split 1 seed 0",
        "data transfer-plus split 1 seed 1",
        "data tf-idf split 2",
        "data transfer-plus split 2 seed 0",
        "data transfer-plus split 2 seed 1",
    ]
    assert len({run.folder for run in runs}) == len(runs)
    assert len({str(run.identity) for run in runs}) == len(runs)


def test_a_run_is_known_by_its_data_configuration_and_code(tmp_path: Path):
    folder = write_folder(tmp_path / "data")

    def identity(**options):
        return plan([folder], methods(baselines="", **options), 1, "test", tmp_path)[0].identity

    before = identity()
    assert before["data_digest"]
    assert before["code_version"]
    assert identity() == before
    assert identity(settings=("transfer-plus.steps=20",)) != before
    with (folder / "splits.csv").open("a") as file:
        file.write("\n")
    assert identity() != before


def test_a_tower_that_was_tuned_anew_makes_other_runs(tmp_path: Path):
    folder, tower = write_folder(tmp_path / "data"), tmp_path / "tower"
    tower.mkdir()
    (tower / "model.safetensors").write_bytes(b"first")
    setting = f"text_tower=hf:{tower}?max_tokens=32"
    found = methods(variants=(f"mlm-read=mlm:{setting}", f"words=tf-idf:{setting}"))

    def identities():
        runs = plan([folder], found, 1, "test", tmp_path)
        return {run.method.name: run.identity for run in runs}

    before = identities()
    assert identities() == before
    (tower / "model.safetensors").write_bytes(b"second")
    after = identities()
    assert {name for name in before if before[name] != after[name]} == {"mlm-read", "words"}


def test_folders_are_checked(tmp_path: Path):
    one, other = write_folder(tmp_path / "a" / "data"), write_folder(tmp_path / "b" / "data")
    with pytest.raises(UsageError, match="another data set is also called data"):
        plan([one, other], methods(), 1, "test", tmp_path)
    with pytest.raises(DataError, match="nowhere is not a folder"):
        plan([tmp_path / "nowhere"], methods(), 1, "test", tmp_path)
    with pytest.raises(UsageError, match="--seeds 0: needs at least 1"):
        plan([one], methods(), 0, "test", tmp_path)
    with pytest.raises(UsageError, match="--splits 0: needs at least 1"):
        plan([one], methods(), 1, "test", tmp_path, splits=0)
