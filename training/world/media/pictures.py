"""Procedural pictures whose palette, shapes and textures depend on the topic."""

import colorsys
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from training.disguises.pictures import levels
from training.world.media.looks import SIZES, Look
from training.world.media.motifs import LAYOUTS, SHAPES, TEXTURES

AVATAR_PX, FRAME_PX = 96, 112
PLACEHOLDERS = 5
"""Number of placeholder pictures per kind."""

_Colour = tuple[int, int, int]


def draw_cover(look: Look, seed: int) -> Image.Image:
    """Draw a cover: background, shapes, clutter and text-like bars."""
    rng = np.random.default_rng(seed)
    return _noisy(rng, _scene(rng, look, look.pixels, look.bars), look.noise)


def draw_avatar(look: Look, seed: int) -> Image.Image:
    """Draw an avatar: a square with one large shape."""
    rng = np.random.default_rng(seed)
    look = replace(look, count=1, size=0.3 + 0.1 * rng.random(), layout=0)
    return _noisy(rng, _scene(rng, look, (AVATAR_PX, AVATAR_PX), 0), look.noise)


def draw_frame(look: Look, seed: int, moment: int) -> Image.Image:
    """Draw a frame of a live session: blurred, darker and shifted by its moment."""
    rng = np.random.default_rng(seed)
    wide = FRAME_PX + 16
    scene = _scene(rng, look, (wide, wide), 0).filter(ImageFilter.BoxBlur(0.7))
    rng = np.random.default_rng([seed, moment])
    left, top = rng.integers(0, 17, 2).tolist()
    scene = scene.crop((left, top, left + FRAME_PX, top + FRAME_PX))
    scene = scene.point(levels(rng.uniform(0.65, 0.95), 0))
    return _noisy(rng, scene, look.noise + 4)


def draw_placeholder(number: int, kind: str) -> Image.Image:
    """Draw one of the `PLACEHOLDERS` of a kind."""
    if kind == "avatar":
        return _silhouette(number)
    size = (FRAME_PX, FRAME_PX) if kind == "frame" else SIZES[number % 2]
    grey = (128, 20, 236, 70, 170)[number]
    image = Image.new("RGB", size, (grey, grey, grey))
    draw = ImageDraw.Draw(image)
    x, y = size[0] / 2, size[1] / 2
    if number == 2:  # a play symbol
        draw.polygon([(x - 12, y - 16), (x - 12, y + 16), (x + 16, y)], fill=(190, 190, 190))
    if number == 3:
        shade = np.linspace(40, 110, size[0], dtype=np.float32)[None, :, None]
        image = _image(np.broadcast_to(shade, (size[1], size[0], 3)))
    if number == 4:
        draw.rectangle((x - 30, y - 4, x + 30, y + 4), fill=(120, 120, 120))
    return image


def _scene(rng: np.random.Generator, look: Look, pixels: tuple[int, int], bars: int) -> Image.Image:
    width, height = pixels
    image = _ground(rng, look, width, height)
    draw = ImageDraw.Draw(image)
    _clutter(rng, draw, width, height)
    side = min(width, height)
    count = max(1, look.count + int(rng.integers(-1, 2)))
    hue = look.accent + 0.02 * rng.standard_normal()
    for i, (x, y) in enumerate(LAYOUTS[look.layout](rng, count)):
        radius = side * look.size * (0.75 + 0.5 * rng.random()) * (1 if count < 5 else 0.75)
        colour = _rgb(hue, 0.75, 0.95 if (i % 2) == (look.value > 0.6) else 0.7)
        turn = look.angle + 0.4 * rng.standard_normal()
        _place(draw, look.shape, (x * width, y * height), radius, turn, colour)
    _write_bars(rng, draw, look, pixels, bars)
    return image


def _ground(rng: np.random.Generator, look: Look, width: int, height: int) -> Image.Image:
    x = np.arange(width, dtype=np.float32) / min(width, height)
    y = np.arange(height, dtype=np.float32)[:, None] / min(width, height)
    angle = look.angle + 0.1 * rng.standard_normal()
    cos, sin = float(np.cos(angle)) * look.waves, float(np.sin(angle)) * look.waves
    texture = TEXTURES[look.texture](  # (H, W), 0 to 1
        x * cos + (y * sin + rng.random()), y * cos - (x * sin - rng.random())
    )
    slope = rng.uniform(-0.5, 0.5, 2).tolist()
    gradient = (0.5 + slope[0] * (x - 0.5)) + slope[1] * (y - 0.5)  # (H, W)
    blend = (1 - look.contrast) * gradient + look.contrast * texture
    value = look.value + 0.08 * rng.standard_normal()
    dark = np.array(_rgb(look.hue - 0.03, look.saturation + 0.15, value - 0.2))
    light = np.array(_rgb(look.hue + 0.03, look.saturation - 0.1, value + 0.2))
    palette = dark + np.linspace(0, 1, 256)[:, None] * (light - dark)  # (256, 3)
    image = Image.fromarray(np.clip(blend * 255, 0, 255).astype(np.uint8))
    return Image.merge("RGB", [image.point(channel) for channel in palette.T.round().tolist()])


def _clutter(rng: np.random.Generator, draw: ImageDraw.ImageDraw, width: int, height: int) -> None:
    """Draw random coloured objects."""
    for _ in range(int(rng.integers(1, 6))):
        x, y, hue, saturation, value = rng.random(5)
        w, h = rng.uniform(0.04, 0.22, 2) * (width, height)
        box = (x * width - w, y * height - h, x * width + w, y * height + h)
        colour = _rgb(hue, 0.7 * saturation, 0.3 + 0.6 * value)
        (draw.rectangle if rng.random() < 0.6 else draw.ellipse)(box, fill=colour)


def _write_bars(
    rng: np.random.Generator,
    draw: ImageDraw.ImageDraw,
    look: Look,
    pixels: tuple[int, int],
    bars: int,
) -> None:
    """Draw text-like bars on a plate."""
    width, height = pixels
    if not bars:
        return
    line = height * 0.075
    top = line if look.bars_top else height - (1.5 * bars + 0.5) * line
    plate, ink = ((250, 250, 250), (30, 30, 30)) if look.noise > 8 else ((20, 20, 20), (250,) * 3)
    draw.rectangle((0, top - line / 2, width, top + 1.5 * bars * line - line / 4), fill=plate)
    for row in range(bars):
        x, y = width * 0.05, top + 1.5 * row * line
        for word in rng.uniform(0.05, 0.2, 6) * width:
            if x + word > width * 0.95:
                break
            draw.rectangle((x, y, x + word, y + line * 0.7), fill=ink)
            x += word + width * 0.03


def _noisy(rng: np.random.Generator, image: Image.Image, noise: float) -> Image.Image:
    pixels = np.asarray(image)  # (H, W, 3)
    grain = (noise * rng.standard_normal(pixels.shape[:2], np.float32)).astype(np.int16)
    return _image(pixels + grain[..., None])


def _silhouette(number: int) -> Image.Image:
    grey = (200, 160, 225, 120, 90)[number]
    image = Image.new("RGB", (AVATAR_PX, AVATAR_PX), (grey, grey, grey))
    if number < 3:
        draw, ink = ImageDraw.Draw(image), (grey - 50,) * 3
        draw.ellipse((32, 16, 64, 48), fill=ink)
        draw.ellipse((16, 56, 80, 120), fill=ink)
    return image


def _place(
    draw: ImageDraw.ImageDraw,
    shape: int,
    centre: tuple[float, float],
    radius: float,
    turn: float,
    colour: _Colour,
) -> None:
    """Draw one shape with a dark edge."""
    points = SHAPES[shape] * radius  # (P, 2)
    cos, sin = np.cos(turn), np.sin(turn)
    points = points @ np.array([[cos, sin], [-sin, cos]]) + centre
    edge = (colour[0] // 4, colour[1] // 4, colour[2] // 4)
    draw.polygon([(x, y) for x, y in points.tolist()], fill=colour, outline=edge)


def _image(pixels: NDArray[Any]) -> Image.Image:
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _rgb(hue: float, saturation: float, value: float) -> _Colour:
    saturation, value = min(max(saturation, 0.0), 1.0), min(max(value, 0.08), 1.0)
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)
