"""Plan of a comparison: methods x data sets x splits x seeds, checked before anything runs."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any, Literal

from training.baselines import BASELINES
from training.config import BaselineConfig, RecipeConfig, as_dict, override
from training.data import digest_of
from training.errors import UsageError
from training.tasks.recipes import RECIPES

Kind = Literal["recipe", "variant", "baseline"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


@dataclass(frozen=True)
class Method:
    """A compared method.

    Attributes:
        name: unique name.
        kind: recipe, variant of a recipe, or baseline, with changed settings or without.
        recipe: name of the recipe; "" for a baseline.
        settings: `name=value` changes of the configuration.
        own_settings: the settings that define a variant.
        base: baseline that a variant changes; "" = the baseline called `name`, or a recipe.
    """

    name: str
    kind: Kind
    recipe: str = ""
    settings: tuple[str, ...] = ()
    own_settings: tuple[str, ...] = ()
    base: str = ""

    @property
    def baseline(self) -> str:
        """Name of the baseline to fit."""
        return self.base or self.name

    def config(self) -> RecipeConfig | BaselineConfig:
        """Resolved configuration."""
        default = RECIPES[self.recipe].config() if self.recipe else BaselineConfig()
        return override(default, self.settings)

    @property
    def varies(self) -> bool:
        """Whether the result depends on the seed.

        With private clicks that of every baseline does: a teacher of the seed stands for the
        recommender's.
        """
        if self.kind != "baseline" or BASELINES[self.baseline].random:
            return True
        return self.config().clicks == "private"


@dataclass(frozen=True)
class Run:
    """One method on one split of a data set with one seed.

    Attributes:
        data: data set folder.
        method: the method.
        seed: of all randomness.
        folder: folder of the run.
        identity: equal identities give equal results.
        split_number: 0 = the data set's own split, see `Dataset.dealt`.
    """

    data: Path
    method: Method
    seed: int
    folder: Path
    identity: dict[str, Any]
    split_number: int = 0

    @property
    def name(self) -> str:
        """Readable name."""
        split = f" split {self.split_number}" if self.split_number else ""
        seed = f" seed {self.seed}" if self.method.varies else ""
        return f"{self.data.name} {self.method.name}{split}{seed}"


def methods_of(
    recipes: Sequence[str],
    baselines: Sequence[str],
    settings: Sequence[str],
    variants: Sequence[str],
    split: str,
    text_tower: str | None = None,
) -> list[Method]:
    """Methods given by the options.

    Args:
        recipes: names of recipes; `all` for all.
        baselines: names of baselines; `all` for all.
        settings: `RECIPE.key=value`, for the recipe and its variants.
        variants: `NAME=RECIPE_OR_BASELINE:key=value,...`.
        split: split of the queries; with val, recipes train without refit.
        text_tower: pretrained text encoder of all methods; None = their own setting.

    Raises:
        UsageError: a name is unknown or repeated, a setting is invalid, or there is no method.
    """
    chosen = _chosen("--recipes", recipes, RECIPES)
    tower = [] if text_tower is None else [f"text_tower={text_tower}"]
    common = {name: list(tower) for name in (*RECIPES, *BASELINES)}
    for setting in settings:
        recipe, dot, assignment = setting.partition(".")
        if not dot or recipe not in RECIPES:
            raise UsageError(
                f"--set {setting}: write it as RECIPE.key=value; "
                f"the recipes are {', '.join(RECIPES)}"
            )
        common[recipe].append(assignment)
    methods = [
        Method(name, "baseline", settings=tuple(common[name]))
        for name in _chosen("--baselines", baselines, BASELINES)
    ]
    methods += [Method(name, "recipe", name, tuple(common[name])) for name in chosen]
    methods += [_variant(text, common) for text in variants]
    trained = {method.recipe for method in methods}
    for recipe in RECIPES:
        changes = common[recipe][len(tower) :]
        if changes and recipe not in trained:
            raise UsageError(f"--set {recipe}.{changes[0]}: {recipe} is not compared")
    if split == "val":
        methods = [
            replace(m, settings=(*m.settings, "refit=false")) if m.recipe else m for m in methods
        ]
    _check(methods)
    return methods


def _chosen(option: str, names: Sequence[str], known: Iterable[str]) -> list[str]:
    if list(names) == ["all"]:
        return list(known)
    for name in names:
        if name not in known:
            raise UsageError(f"{option} {name}: unknown; there are {', '.join(known)}")
    return list(names)


def _variant(text: str, common: dict[str, list[str]]) -> Method:
    name, equals, rest = text.partition("=")
    recipe, colon, changes = rest.partition(":")
    if not equals or not colon or not changes or not _NAME.fullmatch(name):
        raise UsageError(
            f"--variant {text}: write it as NAME=RECIPE_OR_BASELINE:key=value,key=value; "
            "a name has letters, digits and . _ + -"
        )
    if recipe not in common:
        raise UsageError(
            f"--variant {name}: no recipe or baseline is called {recipe!r}; "
            f"there are {', '.join(common)}"
        )
    own = tuple(re.split(r",(?=\w+=)", changes))
    if recipe in BASELINES:
        return Method(name, "baseline", "", (*common[recipe], *own), own, base=recipe)
    return Method(name, "variant", recipe, (*common[recipe], *own), own)


def _check(methods: Sequence[Method]) -> None:
    if not methods:
        raise UsageError("nothing to compare; name --recipes, --baselines or a --variant")
    seen: set[str] = set()
    for method in methods:
        if method.name in seen:
            raise UsageError(f"{method.name} is named twice; variants need unique names")
        seen.add(method.name)
        try:
            method.config()
        except UsageError as error:
            raise UsageError(f"{method.name}: {error}") from None


def plan(
    folders: Sequence[Path],
    methods: Sequence[Method],
    seeds: int,
    split: str,
    out: Path,
    splits: int = 1,
) -> list[Run]:
    """All runs, by data set, then split, then seed, then method.

    Args:
        folders: data set folders.
        methods: compared methods.
        seeds: number of seeds.
        split: split of the queries.
        out: report folder.
        splits: number of splits of each data set, the first of which is its own.

    Raises:
        DataError: a folder is not a data set folder.
        UsageError: two folders have the same name, the folder of a tower can't be read, or `seeds`
            or `splits` is below 1.
    """
    for option, number in (("--seeds", seeds), ("--splits", splits)):
        if number < 1:
            raise UsageError(f"{option} {number}: needs at least 1")
    runs: list[Run] = []
    paths: dict[str, Path] = {}
    digest = cache(_folder_digest)
    towers = {
        method.name: {setting: digest(where) for setting, where in _tower_folders(method.config())}
        for method in methods
    }
    for folder in folders:
        path = folder.resolve()
        if path.name in paths:
            raise UsageError(f"--data {folder}: another data set is also called {path.name}")
        paths[path.name] = path
        common = {"data_digest": digest_of(folder), "split": split, "code_version": code_version()}
        for number, seed, method in product(range(splits), range(seeds), methods):
            if seed and not method.varies:
                continue
            identity = {
                **common,
                "method": method.recipe or method.baseline,
                "config": dict(as_dict(method.config())),
                "seed": seed,
            }
            if towers[method.name]:
                identity["towers"] = towers[method.name]
            name = f"{method.name}-seed{seed}"
            if number:  # the own split is told by neither, so that older runs are those of it
                identity["split_number"] = number
                name += f"-split{number}"
            place = out / "runs" / path.name / name
            runs.append(Run(path, method, seed, place, identity, number))
    return runs


def _tower_folders(config: RecipeConfig | BaselineConfig) -> Iterator[tuple[str, Path]]:
    """Settings with a tower from a folder, which may be tuned anew, and the folder."""
    for setting, reference in as_dict(config).items():
        name = str(reference).partition("?")[0]
        folder = Path(name.removeprefix("hf:"))
        if setting.endswith("_tower") and name.startswith("hf:") and folder.is_dir():
            yield setting, folder


def _folder_digest(folder: Path) -> str:
    """SHA-256 over names and contents of the files in a folder.

    Raises:
        UsageError: one of them can't be read.
    """
    digest = hashlib.sha256()
    try:
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{path.relative_to(folder)}\0{content}\n".encode())
    except OSError as error:
        raise UsageError(f"the tower in {folder} can't be read: {error.strerror}") from error
    return digest.hexdigest()


def code_version() -> str:
    """Version of this package."""
    return version("similar-streamer")


def source_digest() -> str:
    """Digest of the sources that influence results, since the version rarely changes."""
    digest = hashlib.sha256()
    for package in ("model_export", "training"):
        root = Path(__file__).parents[2] / package
        for path in sorted(root.rglob("*.py")):
            name = path.relative_to(root)
            if name.parts[0] not in ("compare", "world"):
                digest.update(f"{name}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
