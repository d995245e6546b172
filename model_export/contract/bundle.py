"""The bundle: the model folder that the exporter writes and the service verifies and loads.

    manifest.json      this module's `Manifest`
    encoder.onnx       features -> embedding, content, [id_embedding], modality_weights
    vocabulary.json    tokens, spaces, uninformative pieces
    golden.jsonl       profiles whose feature digest is in the manifest
    towers/NAME.onnx   optional: graph of each tower, see `towers`
    towers/NAME.tokenizer.json   tokenizer of a text tower
    FILE.fp16.onnx, FILE.int8.onnx   optional: smaller graphs, see `variants`
    established.npz, evidence.json   optional: see `established` and `evidence.parameters`
    README.md          model card

Each file is read once, and the bytes that were hashed are the bytes that are used.
"""

import hashlib
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Self, cast

from pydantic import Field, ValidationError, model_validator
from pydantic_core import from_json

from model_export.contract.calibration import Calibration, Part, ScoreCalibration
from model_export.contract.errors import BundleError, UnreadableContent, first_problem
from model_export.contract.established import Established
from model_export.contract.features import Featurizer, fingerprint
from model_export.contract.folding import FOLDING_VERSION
from model_export.contract.onnx_file import has_external_data
from model_export.contract.streamer import StreamerProfile
from model_export.contract.towers import (
    TowerInputs,
    TowerSpec,
    golden_payloads,
    inputs_fingerprint,
    inputs_of,
)
from model_export.contract.variants import Variant
from model_export.contract.vocabulary import Vocabulary

BUNDLE_SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
ENCODER = "encoder.onnx"
VOCABULARY = "vocabulary.json"
GOLDEN = "golden.jsonl"
ESTABLISHED = "established.npz"
CARD = "README.md"


class FileEntry(Part):
    """Expected size and digest of a file."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size_bytes: Annotated[int, Field(ge=0)]


class IdSpace(Part):
    """ID-embedding space of the recommender, which the encoder predicts into."""

    name: str
    dim: Annotated[int, Field(gt=0)]


class Parity(Part):
    """Largest deviation of ONNX Runtime from PyTorch on golden profiles and random inputs."""

    max_abs_diff: float
    min_cosine: float


class TowerCheck(Parity):
    """Parity of a tower's graph, and the expected digest of its inputs.

    Attributes:
        name: of the tower.
        inputs_fingerprint: digest of the inputs for the golden payloads.
    """

    name: str
    inputs_fingerprint: str


class DuplicateThreshold(Part):
    """Content cosine from which two streamers are near-duplicates, and how it was chosen."""

    value: Annotated[float, Field(gt=0, le=1)]
    source: str


class Manifest(Part):
    """Manifest of a bundle.

    `calibration` is None in bundles exported before scores were calibrated. `dims` are shorter
    widths (Matryoshka representations, Kusupati 2022): a prefix of the embedding of that length,
    scaled to unit length, is an embedding; older bundles have none, and `folding_version` 0.
    """

    schema_version: int
    model_version: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,128}$")]
    recipe: str
    dim: Annotated[int, Field(gt=0)]
    dims: list[Annotated[int, Field(gt=0)]] = Field(default_factory=list[int])
    content_dim: Annotated[int, Field(gt=0)]
    id_space: IdSpace | None
    duplicate_threshold: DuplicateThreshold
    calibration: Calibration | None = None
    data_digest: str
    config: dict[str, Any]
    metrics: dict[str, Annotated[float, Field(allow_inf_nan=False)]]
    parity: Parity
    towers: list[TowerSpec] = Field(default_factory=list[TowerSpec])
    tower_checks: list[TowerCheck] = Field(default_factory=list[TowerCheck])
    variants: list[Variant] = Field(default_factory=list[Variant])
    features_fingerprint: str
    files: dict[str, FileEntry]
    folding_version: Annotated[int, Field(ge=0, le=FOLDING_VERSION)] = 0
    created_by: str

    @model_validator(mode="after")
    def _shorter(self) -> Self:
        for narrower, wider in pairwise([*self.dims, self.dim]):
            if narrower >= wider:
                raise ValueError(f"dims must be ascending and below dim, {narrower} is not")
        return self

    def as_variant(self, name: str | None) -> "Manifest":
        """Manifest of a variant, which is a separate model version; None = the full model.

        Raises:
            BundleError: there is no such variant, or none of its graphs was accepted.
        """
        if name is None:
            return self
        known = self.variant(name)
        towers = [known.tower(spec) for spec in self.towers]
        version = f"{self.model_version}-{name}"
        return self.model_copy(update={"model_version": version, "towers": towers})

    def variant(self, name: str) -> Variant:
        """Variant by name; raises like `as_variant`."""
        usable = {variant.name: variant for variant in self.variants if variant.files}
        if name in usable:
            return usable[name]
        has = ", ".join(usable) or "none"
        raise BundleError(f"{self.model_version} has no variant {name!r}; it has: {has}")

    def at(self, dim: int | None) -> "Manifest":
        """Manifest of the model at a shorter width; None = the full width.

        Vectors of different widths can't be compared, so each width is a separate model version
        with its own calibration.

        Raises:
            BundleError: the model has no such width; the message lists its widths.
        """
        if dim in (None, self.dim):
            return self
        if dim not in self.dims:
            widths = ", ".join(map(str, [*self.dims, self.dim]))
            raise BundleError(f"{self.model_version} has no {dim} dimensions, it has {widths}")
        version, known = f"{self.model_version}-d{dim}", self.calibration
        if known is not None:
            reason = f"none: measured with {self.dim} dimensions, not with {dim}"
            nothing = ScoreCalibration(source=reason, base_rate=None, curves=[])
            embedding = known.shorter.get(str(dim), nothing)
            known = Calibration(embedding=embedding, content=known.content)
        shorter = {"dim": dim, "dims": list[int](), "model_version": version, "calibration": known}
        return self.model_copy(update=shorter)


class Bundle:
    """A verified bundle.

    Attributes:
        path: the folder.
        manifest: the checked manifest.
        featurizer: featuriser over the bundle's vocabulary.
    """

    def __init__(self, path: Path, variant: str | None = None) -> None:
        """Read and verify a bundle folder, with the smaller graphs of a variant if one is named.

        Raises:
            BundleError: a file is missing, changed or outside the folder, the schema version is
                unsupported, a graph has external data, this installation computes other features
                than the exporter did, or there is no such variant.
        """
        self.path = path
        full = _read_manifest(path)
        self.manifest = full.as_variant(variant)
        self._smaller = {} if variant is None else full.variant(variant).files
        encoder = self._smaller.get(ENCODER, ENCODER)
        needed = {encoder: b"", VOCABULARY: b"", GOLDEN: b""}
        for name in needed:
            if name not in self.manifest.files:
                raise BundleError(f"{path / MANIFEST}: files: {name} is not listed; export again")
        # They can be large, and only one graph of each kind is used.
        later = {ESTABLISHED, ENCODER, *(spec.file for spec in self.manifest.towers)}
        later |= {file for known in self.manifest.variants for file in known.files.values()}
        for name in self.manifest.files:
            if name in needed:
                needed[name] = self._verified(name)
            elif name not in later:
                self._verified(name)
        self._encoder = needed[encoder]
        self._check_graph(encoder, self._encoder)
        vocabulary = Vocabulary.parse(needed[VOCABULARY], str(path / VOCABULARY))
        self.featurizer = Featurizer(vocabulary, self.manifest.folding_version)
        self._golden = self._check_fingerprint(needed[GOLDEN])
        for spec in self.manifest.towers:
            self._check_tower(spec)

    def encoder_bytes(self) -> bytes:
        """Verified ONNX graph of the encoder."""
        return self._encoder

    def release_encoder_bytes(self) -> None:
        """Free the graph's bytes after a session was created from them."""
        self._encoder = b""

    def tower(self, name: str) -> TowerSpec:
        """Specification of a tower by name.

        Raises:
            BundleError: there is no such tower.
        """
        for spec in self.manifest.towers:
            if spec.name == name:
                return spec
        known = ", ".join(spec.name for spec in self.manifest.towers) or "none"
        raise BundleError(f"{self.path} has no tower {name!r}; it has: {known}")

    def tower_bytes(self, name: str) -> bytes:
        """Verified ONNX graph of a tower, read from disk at each call.

        Raises:
            BundleError: there is no such tower, or its file has changed.
        """
        file = self._file_of(self.tower(name))
        content = self._verified(file)
        self._check_graph(file, content)
        return content

    def tower_inputs(self, name: str) -> TowerInputs:
        """Preprocessor of a tower.

        Raises:
            BundleError: there is no such tower, or this installation computes other inputs for the
                golden payloads than the exporter did.
            MissingExtra: the tokenizer library is not installed.
        """
        spec = self.tower(name)
        file = spec.tokenizer_file
        tokenizer = None if file is None else self._verified(file)
        inputs = inputs_of(spec, tokenizer, str(self.path / (file or spec.file)))
        found = inputs_fingerprint(inputs, golden_payloads(spec, self._golden))
        wanted = self._check_of(spec).inputs_fingerprint
        if found != wanted:
            raise BundleError(
                f"{self.path}: this installation computes other inputs of tower {name!r} than the "
                f"exporter did (fingerprint {found[:12]}…, manifest "
                f"{wanted[:12]}…); use the release that exported it "
                f"({self.manifest.created_by}) or export again"
            )
        return inputs

    def established(self) -> Established | None:
        """Streamers that the recommender knows; None if the bundle has none.

        Raises:
            BundleError: the file is missing or changed, or its arrays are inconsistent.
        """
        if ESTABLISHED not in self.manifest.files:
            return None
        file, space = self.path / ESTABLISHED, self.manifest.id_space
        found = Established.parse(self._verified(ESTABLISHED), str(file))
        width = found.vectors.shape[1]
        if space is None or width != space.dim:
            known = "none" if space is None else f"{space.dim} numbers"
            raise BundleError(
                f"{file}: the vectors have {width} numbers, the manifest's id_space has {known}; "
                "export again"
            )
        return found

    def read(self, name: str) -> bytes | None:
        """Verified content of a file; None if it is not listed. Raises `BundleError`."""
        return self._verified(name) if name in self.manifest.files else None

    def _verified(self, name: str) -> bytes:
        entry = self.manifest.files[name]
        try:
            content = (self.path / name).read_bytes()
        except OSError as error:
            raise BundleError(
                f"{self.path / name} can't be read: {error.strerror}; export again"
            ) from error
        if len(content) != entry.size_bytes:
            raise BundleError(
                f"{self.path / name} has {len(content)} bytes, the manifest says "
                f"{entry.size_bytes}; export again"
            )
        if hashlib.sha256(content).hexdigest() != entry.sha256:
            raise BundleError(
                f"{self.path / name} was changed: its SHA-256 is not the manifest's; export again"
            )
        return content

    def _check_graph(self, name: str, content: bytes) -> None:
        try:
            has_more = has_external_data(content)
        except BundleError as error:
            raise BundleError(f"{self.path / name} is damaged: {error}; export again") from error
        if has_more:
            raise BundleError(
                f"{self.path / name} keeps tensors in external files, which are not covered by the "
                "manifest; export it as one file"
            )

    def _file_of(self, spec: TowerSpec) -> str:
        return self._smaller.get(spec.file, spec.file)

    def _check_of(self, spec: TowerSpec) -> TowerCheck:
        for check in self.manifest.tower_checks:
            if check.name == spec.name:
                return check
        raise BundleError(
            f"{self.path / MANIFEST}: tower_checks: {spec.name} is not listed; export again"
        )

    def _check_tower(self, spec: TowerSpec) -> None:
        self._check_of(spec)
        for name in (*spec.files, self._file_of(spec)):
            if name not in self.manifest.files:
                raise BundleError(
                    f"{self.path / MANIFEST}: files: {name} is not listed; export again"
                )
        file = self._file_of(spec)
        self._check_graph(file, self._verified(file))
        widths = {space.name: space.width for space in self.featurizer.vocabulary.spaces}
        if widths.get(spec.name) != spec.width:
            raise BundleError(
                f"{self.path / MANIFEST}: towers: {spec.name} gives {spec.width} numbers, the "
                f"vocabulary's space of that name has {widths.get(spec.name, 'none')}; export again"
            )

    def _check_fingerprint(self, golden: bytes) -> list[StreamerProfile]:
        try:
            profiles = [
                StreamerProfile.model_validate_json(line) for line in golden.splitlines() if line
            ]
            found = fingerprint(self.featurizer, profiles)
        except (ValidationError, UnreadableContent) as error:
            why = first_problem(error) if isinstance(error, ValidationError) else str(error)
            raise BundleError(
                f"{self.path / GOLDEN} can't be read by this release: {why}; use the release that "
                f"exported it ({self.manifest.created_by}) or export again"
            ) from error
        if found != self.manifest.features_fingerprint:
            raise BundleError(
                f"{self.path}: this installation computes other features of the golden profiles "
                f"than the exporter did (fingerprint {found[:12]}…, manifest "
                f"{self.manifest.features_fingerprint[:12]}…); use the release that exported it "
                f"({self.manifest.created_by}) or export again"
            )
        return profiles


def _read_manifest(path: Path) -> Manifest:
    file = path / MANIFEST
    try:
        raw: Any = from_json(file.read_bytes())
    except OSError as error:
        raise BundleError(f"{file} can't be read: {error.strerror}; is this a bundle?") from error
    except ValueError as error:
        raise BundleError(f"{file} is not JSON: {error}; export again") from error
    fields = cast(dict[str, object], raw) if isinstance(raw, dict) else {}
    version = fields.get("schema_version")
    if version != BUNDLE_SCHEMA_VERSION:
        raise BundleError(
            f"{file}: schema_version is {version!r}, this release reads "
            f"{BUNDLE_SCHEMA_VERSION}; export the model again with this release"
        )
    try:
        manifest = Manifest.model_validate(fields)
    except ValidationError as error:
        raise BundleError(f"{file}: {first_problem(error)}; export again") from error
    for name in manifest.files:
        if not _is_inside(name):
            raise BundleError(f"{file}: files: {name!r} is outside of the bundle")
    return manifest


def _is_inside(name: str) -> bool:
    return not {"\\", "\0"} & set(name) and not {"", ".", ".."} & set(name.split("/"))


def file_entry(content: bytes) -> FileEntry:
    """Manifest entry of a file with this content."""
    return FileEntry(sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
