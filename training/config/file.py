"""Recipe, seed and settings from a JSON file, as a checkpoint's `config.json` has them."""

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model_export.contract.errors import first_problem
from training.config.base import RecipeConfig
from training.config.values import override
from training.errors import UsageError

Config = TypeVar("Config", bound=RecipeConfig)
Outcome = Annotated[Any, Field(exclude=True)]


class FitFile(BaseModel):
    """Content of the file: what a fit is given, and what a checkpoint adds.

    Attributes:
        recipe, seed: of the fit; None = not given.
        config: settings by name; the defaults of the recipe where one is missing.
        split_number: of the data set; None = not given.
        init_from: the checkpoint that the fit started from; None = it started anew.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: str | None = None
    seed: Annotated[int | None, Field(strict=True, ge=0, lt=2**32)] = None
    config: dict[str, bool | int | float | str] = {}
    split_number: Annotated[int | None, Field(strict=True, ge=0, lt=2**31)] = None
    init_from: dict[str, Any] | None = None

    # What the fit found, and where it ran; not read.
    calibration: Outcome = None
    code_version: Outcome = None
    compute: Outcome = None
    data_digest: Outcome = None
    duplicate_threshold: Outcome = None
    evidence: Outcome = None
    id_space: Outcome = None
    refit_on_validation: Outcome = None
    text_tower_choice: Outcome = None
    towers: Outcome = None
    validation_history: Outcome = None

    def settings(self, default: Config, origin: Path | str | None) -> Config:
        """The settings of the file on top of others.

        Args:
            default: the others.
            origin: file, or what else the settings come from, for messages.

        Raises:
            UsageError: the recipe has no such setting, or a value is not valid.
        """
        values = [f"{n}={_written(value)}" for n, value in self.config.items()]
        try:
            return override(default, values)
        except UsageError as error:
            raise UsageError(f"{origin}: {str(error).removeprefix('--set ')}") from None


def read_fit_file(file: Path) -> FitFile:
    """Read a file.

    Raises:
        UsageError: it can't be read, is not JSON, or has keys or values that are not valid.
    """
    remedy = "give config.json of a checkpoint, or a file with its recipe, seed and config"
    try:
        return FitFile.model_validate_json(file.read_bytes())
    except OSError as error:
        raise UsageError(f"{file} can't be read: {error.strerror}; {remedy}") from error
    except ValidationError as error:
        raise UsageError(f"{file}: {first_problem(error)}; {remedy}") from None


def _written(value: bool | int | float | str) -> str:
    """The value as `--set` takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
