"""Bundles below the folder of models: found, verified, compared with the model that serves."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from model_export.contract.bundle import MANIFEST, Bundle, Manifest
from model_export.contract.errors import ContractError
from service.errors import InvalidRequest

Files = frozenset[tuple[str, int, int, int]]
"""Of each file its path, its size, and when it and its place in the folder changed."""


@dataclass(frozen=True)
class FoundBundle:
    """A bundle that was verified.

    Attributes:
        path: the folder.
        manifest: at the width and in the variant that are served.
        sha256: of the manifest's file, which has the digests of all other files.
    """

    path: Path
    manifest: Manifest
    sha256: str


class BundleFolder:
    """The folder of models of this replica."""

    def __init__(self, folder: Path | None, variant: str | None, dim: int | None) -> None:
        """Find bundles below `folder`, at the variant and width that are served; None = nothing."""
        self._folder = folder
        self._variant = variant
        self._dim = dim

    def find(self, name: str) -> FoundBundle:
        """A bundle by its path below the folder; reads all its files.

        Raises:
            InvalidRequest: there is none, or it can't be served; names the cause and the remedy.
        """
        path = self._path_of(name)
        try:
            raw = (path / MANIFEST).read_bytes()
            bundle = Bundle(path, self._variant)
            manifest = bundle.manifest.at(self._dim)
            for spec in manifest.towers:
                bundle.tower_inputs(spec.name)  # its tokenizer, as this installation reads it
        except (ContractError, OSError) as error:
            raise InvalidRequest.of(
                "/folder", f"is not a bundle that can serve: {error}"
            ) from error
        return FoundBundle(path, manifest, hashlib.sha256(raw).hexdigest())

    def files(self, name: str) -> Files | None:
        """The files of a bundle, none of which is read; None if that can't be told.

        As long as they are the same, `find` has nothing new to say, unless it could not read them.
        """
        try:
            found: set[tuple[str, int, int, int]] = set()
            for folder, inner, files in os.walk(self._path_of(name)):
                if any(os.path.islink(os.path.join(folder, each)) for each in inner):
                    return None  # what lies there is not walked through
                for file in files:
                    path = os.path.join(folder, file)
                    kept = os.stat(path)
                    found.add((path, kept.st_size, kept.st_mtime_ns, kept.st_ctime_ns))
            return frozenset(found)
        except (InvalidRequest, OSError):
            return None

    def _path_of(self, name: str) -> Path:
        if self._folder is None:
            raise InvalidRequest.of(
                "/folder", "no folder of models is set; start with STREAMER_MODELS__FOLDER"
            )
        top = self._folder.resolve()
        path = (top / name).resolve()
        if path == top or not path.is_relative_to(top):
            raise InvalidRequest.of("/folder", "has to be below STREAMER_MODELS__FOLDER")
        return path


def check_compatible(found: Manifest, served: Manifest) -> None:
    """Refuse a model that can't take the place of the one that serves.

    Raises:
        InvalidRequest: its vectors have another width, or it reads text in another way.
    """
    for what, mine, others in (
        ("dim", found.dim, served.dim),
        ("content_dim", found.content_dim, served.content_dim),
        ("folding_version", found.folding_version, served.folding_version),
    ):
        if mine != others:
            raise InvalidRequest.of(
                "/folder",
                f"{found.model_version} has {what} {mine}, the model that serves has {others}: "
                "export it alike, or start the service with it and --reencode",
            )
