"""A small real bundle for tests of the service: same graph contract, no training, no torch.

The table has one random row per token, so two profiles are as near as the tokens they share; the
words and tags that it knows are in `KNOWN`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from model_export.contract.bundle import (
    BUNDLE_SCHEMA_VERSION,
    CARD,
    ENCODER,
    ESTABLISHED,
    GOLDEN,
    MANIFEST,
    VOCABULARY,
    DuplicateThreshold,
    IdSpace,
    Manifest,
    Parity,
    TowerCheck,
    file_entry,
)
from model_export.contract.calibration import Calibration, Curve, Knot, ScoreCalibration
from model_export.contract.established import BehaviourGraph, Established
from model_export.contract.evidence import EVIDENCE, packaged
from model_export.contract.features import Featurizer, fingerprint
from model_export.contract.pieces import MODALITIES, Piece
from model_export.contract.streamer import StreamerProfile
from model_export.contract.text import label_token, text_tokens
from model_export.contract.towers import (
    TOWERS,
    TowerSpec,
    golden_payloads,
    inputs_fingerprint,
    inputs_of,
)
from model_export.contract.vocabulary import Space, Vocabulary
from model_export.golden import golden_profiles
from tests.support import media_towers, towers

DIM, CONTENT_DIM, ID_DIM, SPACE_WIDTH = 128, 128, 8, 4
SHORT_DIM = 32
SPACE = "test-cover"
TOPICS: Mapping[str, str] = {
    "cooking": "kitchen recipe noodles soup 美食 家常菜 红烧肉 做饭",
    "gaming": "ranked match raid boss 游戏 开黑 上分 电竞",
    "music": "guitar vocal cover concert 音乐 唱歌 吉他 弹唱",
    "travel": "mountain beach hostel train 旅行 户外 徒步 露营",
}
BOILERPLATE = "欢迎关注"


def curve(fewest: int, most: int | None, *knots: tuple[float, float, float]) -> Curve:
    """A curve through (score, precision, what is promised)."""
    made = [
        Knot(score=score, precision=precision, at_least=promised, answers=float(i), pairs=100 * i)
        for i, (score, precision, promised) in enumerate(knots, start=1)
    ]
    return Curve(fewest=fewest, most=most, queries=100, knots=made)


CALIBRATION = Calibration(
    embedding=ScoreCalibration(
        source="right = set by hand",
        base_rate=0.01,
        curves=[
            curve(1, None, (0.75, 0.95, 0.9), (0.5, 0.75, 0.7), (0.0, 0.5, 0.4)),
            curve(1, 1, (0.625, 0.9, 0.8), (0.0, 0.6, 0.5)),
        ],
    ),
    content=ScoreCalibration(
        source="right = copied by hand",
        base_rate=0.001,
        curves=[curve(1, None, (0.9375, 0.99, 0.96), (0.5, 0.9, 0.85))],
    ),
)
"""By the thresholds that the tests ask for, not by what this bundle does."""
ESTABLISHED_IDS = tuple(f"established-{i}" for i in range(8))


def vocabulary() -> Vocabulary:
    """Every topic's words, and tags named like topics and words."""
    known: dict[str, None] = {}
    for topic, words in TOPICS.items():
        for text in (topic, words):
            known.update(dict.fromkeys(text_tokens(text)))
        for tag in (topic, *words.split()):
            known.update(dict.fromkeys(label_token("t", tag)))
        known.update(dict.fromkeys(label_token("c", topic)))
    for language in ("zh", "en"):
        known.update(dict.fromkeys(label_token("l", language)))
    tokens = sorted(known)
    boring = Piece("bio", "text", "bio", text=BOILERPLATE).content_hash
    return Vocabulary(
        tokens,
        [10] * len(tokens),
        documents=100,
        buckets=256,
        spaces=(Space(SPACE, SPACE_WIDTH),),
        uninformative=frozenset({boring}),
    )


def _graph(words: Vocabulary, seed: int, content_dim: int) -> bytes:
    """The encoder as ONNX, by hand: bags of table rows, pooled vectors, linear maps.

    Vectors of all spaces, which have the same width, go through the same maps.
    """
    spaces = range(len(words.spaces))
    rng = np.random.default_rng(seed)
    known = 1 + len(words.tokens)
    table = rng.standard_normal((words.size, DIM)).astype(np.float32)
    table[known:] = 0  # unknown tokens carry no meaning
    table[0] = 0
    signs = rng.choice(np.array([-1, 1], np.float32), (words.size, content_dim))
    signs[0] = 0
    constants = {
        "table": table,
        "signs": signs,
        "to_embedding": rng.standard_normal((SPACE_WIDTH, DIM)).astype(np.float32),
        "to_content": rng.standard_normal((SPACE_WIDTH, content_dim)).astype(np.float32),
        "to_id": rng.standard_normal((DIM, ID_DIM)).astype(np.float32),
        "epsilon": np.array(1e-9, np.float32),
        "axis_1": np.array([1], np.int64),
        "axis_2": np.array([2], np.int64),
        "modalities": np.arange(1, 1 + len(MODALITIES), dtype=np.int64),
    }
    node = helper.make_node
    nodes = [
        node("Cast", ["token_counts"], ["counts"], to=TensorProto.FLOAT),
        node("Unsqueeze", ["counts", "axis_2"], ["weights"]),
        node("Gather", ["table", "token_ids"], ["rows"]),
        node("Mul", ["rows", "weights"], ["weighted"]),
        node("ReduceSum", ["weighted", "axis_1"], ["bag"], keepdims=0),
        node("Concat", [f"vectors_{i}" for i in spaces], ["vectors"], axis=1),
        node("ReduceSum", ["vectors", "axis_1"], ["pooled"], keepdims=0),
        node("MatMul", ["pooled", "to_embedding"], ["seen"]),
        node("Add", ["bag", "seen"], ["raw"]),
        *_normalised("raw", "embedding"),
        node("Gather", ["signs", "token_ids"], ["sign_rows"]),
        node("Mul", ["sign_rows", "weights"], ["sign_weighted"]),
        node("ReduceSum", ["sign_weighted", "axis_1"], ["sketch"], keepdims=0),
        node("MatMul", ["pooled", "to_content"], ["seen_sketch"]),
        node("Add", ["sketch", "seen_sketch"], ["raw_content"]),
        *_normalised("raw_content", "content"),
        node("MatMul", ["embedding", "to_id"], ["id_embedding"]),
        node(
            "Concat",
            ["token_modality", *(f"vectors_{i}_modality" for i in spaces)],
            ["places"],
            axis=1,
        ),
        node("Unsqueeze", ["places", "axis_2"], ["place_column"]),
        node("Equal", ["place_column", "modalities"], ["is_modality"]),
        node("Cast", ["is_modality"], ["one_hot"], to=TensorProto.FLOAT),
        node("ReduceSum", ["one_hot", "axis_1"], ["per_modality"], keepdims=0),
        node("ReduceSum", ["per_modality", "axis_1"], ["in_all"], keepdims=1),
        node("Add", ["in_all", "epsilon"], ["in_all_safe"]),
        node("Div", ["per_modality", "in_all_safe"], ["modality_weights"]),
    ]
    value = helper.make_tensor_value_info
    inputs = [
        value(name, TensorProto.INT64, ["rows", "tokens"])
        for name in ("token_ids", "token_counts", "token_modality")
    ]
    for i in spaces:
        shape = ["rows", f"vectors_{i}", SPACE_WIDTH]
        inputs.append(value(f"vectors_{i}", TensorProto.FLOAT, shape))
        inputs.append(value(f"vectors_{i}_modality", TensorProto.INT64, shape[:2]))
    outputs = [
        value("embedding", TensorProto.FLOAT, ["rows", DIM]),
        value("content", TensorProto.FLOAT, ["rows", content_dim]),
        value("modality_weights", TensorProto.FLOAT, ["rows", len(MODALITIES)]),
        value("id_embedding", TensorProto.FLOAT, ["rows", ID_DIM]),
    ]
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "encoder", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _normalised(source: str, target: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("ReduceL2", [source, "axis_1"], [f"{target}_norm"], keepdims=1),
        helper.make_node("Add", [f"{target}_norm", "epsilon"], [f"{target}_safe"]),
        helper.make_node("Div", [source, f"{target}_safe"], [target]),
    ]


def write_bundle(
    folder: Path,
    *,
    seed: int = 0,
    calibration: Calibration | None = CALIBRATION,
    behaviour: BehaviourGraph | None = None,
    tower: bool = False,
    media: bool = False,
    content_dim: int = CONTENT_DIM,
) -> Manifest:
    """Write a bundle; another seed is another model version.

    With a tower of texts, its space takes the place of the one of ready-made vectors; `media` adds
    one of pictures and one of sounds.
    """
    folder.mkdir(parents=True)
    words, specs, checks = vocabulary(), list[TowerSpec](), list[TowerCheck]()
    if tower:
        words = replace(words, spaces=(Space(towers.spec().name, towers.WIDTH),))
        specs, checks = [towers.spec()], [_write_tower(folder, golden_profiles(words))]
    if media:
        specs += [media_towers.image_spec(), media_towers.audio_spec()]
        words = replace(words, spaces=tuple(Space(s.name, s.width) for s in specs))
        checks += media_towers.write(folder)
    words.save(folder / VOCABULARY)
    (folder / ENCODER).write_bytes(_graph(words, seed, content_dim))
    golden = golden_profiles(words)
    lines = [json.dumps(p.dump(), ensure_ascii=False) for p in golden]
    (folder / GOLDEN).write_text("\n".join(lines) + "\n", encoding="utf-8")
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((len(ESTABLISHED_IDS), ID_DIM)).astype(np.float32)
    established = Established(ESTABLISHED_IDS, vectors, behaviour)
    (folder / ESTABLISHED).write_bytes(established.dump())
    (folder / CARD).write_text("# a bundle for tests\n", encoding="utf-8")
    manifest = Manifest(
        schema_version=BUNDLE_SCHEMA_VERSION,
        model_version=f"test-{seed}",
        recipe="test",
        dim=DIM,
        dims=[SHORT_DIM],
        content_dim=content_dim,
        id_space=IdSpace(name="test-ids", dim=ID_DIM),
        duplicate_threshold=DuplicateThreshold(value=0.8, source="set by hand"),
        calibration=calibration,
        data_digest="none",
        config={},
        metrics={},
        parity=Parity(max_abs_diff=0, min_cosine=1),
        towers=specs,
        tower_checks=checks,
        features_fingerprint=fingerprint(Featurizer(words), golden),
        files={
            str(p.relative_to(folder)): file_entry(p.read_bytes())
            for p in sorted(folder.rglob("*"))
            if p.is_file()
        },
        created_by="the tests",
    )
    write_manifest(folder, manifest.model_dump(mode="json"))
    return manifest


def _write_tower(folder: Path, golden: Sequence[StreamerProfile]) -> TowerCheck:
    spec, tokenizer = towers.spec(), towers.tokenizer()
    (folder / TOWERS).mkdir(exist_ok=True)
    (folder / spec.file).write_bytes(towers.graph())
    (folder / str(spec.tokenizer_file)).write_bytes(tokenizer)
    found = inputs_fingerprint(inputs_of(spec, tokenizer), golden_payloads(spec, golden))
    return TowerCheck(name=spec.name, max_abs_diff=0, min_cosine=1, inputs_fingerprint=found)


def write_manifest(folder: Path, manifest: Mapping[str, object]) -> None:
    """Replace the manifest, right or wrong."""
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")


def write_bundle_with_evidence(folder: Path) -> None:
    """A bundle with packaged evidence: what its small vocabulary does not know is rare."""
    write_bundle(folder)
    content = packaged().model_dump_json().encode()
    (folder / EVIDENCE).write_bytes(content)
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    manifest["files"][EVIDENCE] = file_entry(content).model_dump()
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
