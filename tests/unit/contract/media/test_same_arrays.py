"""The same bytes give the same arrays in every process, and need no more than was installed."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from model_export.contract.media import (
    AudioSpec,
    ImageSpec,
    decode_audio,
    decode_image,
    prepare_image,
    thumbnail_of,
)
from tests.unit.contract.media.files import COVER, DECLARED, SOUND, encoded, saved, scene, tone
from tests.support.machine import HANGS_S

ROOT = Path(__file__).parents[4]

FRESH = """
import hashlib, json, sys
from pathlib import Path
from model_export.contract.media import (
    AudioSpec, ImageSpec, decode_audio, decode_image, thumbnail_of, prepare_image,
)

folder = Path(sys.argv[1])
heard = AudioSpec(rate_hz=16_000, seconds=2)
seen = ImageSpec(size_px=64, resize_px=72, interpolation="bicubic")
made = {}
for path in sorted(folder.iterdir()):
    declared = path.name.replace("+", "/").partition(".")[0]
    if declared.startswith("image"):
        image = decode_image(path.read_bytes(), declared, "x")
        array = prepare_image(image, seen).tobytes() + thumbnail_of(image).tobytes()
    else:
        array = decode_audio(path.read_bytes(), declared, heard, "x").tobytes()
    made[path.name] = hashlib.sha256(array).hexdigest()
print(json.dumps(made))
"""

WITHOUT = """
import sys
sys.modules.update({name: None for name in sys.argv[1].split()})
import model_export.contract, model_export.contract.media as media
from model_export.contract import bundle, features, streamer
from model_export.contract.errors import MissingExtra
taken = {"PIL", "av", "soxr", "soundfile", "torch"} & {n for n, m in sys.modules.items() if m}
assert not taken, taken
spec = media.AudioSpec(rate_hz=16_000, seconds=2)
png = bytes.fromhex(sys.argv[2])
for read in (
    lambda: media.decode_image(png, "image/png", "videos[0].cover"),
    lambda: media.decode_audio(b"fLaC" + bytes(50), "audio/flac", spec, "videos[0].audio"),
):
    try:
        read()
    except MissingExtra as error:
        print(error.extra, error)
"""


def fresh(script: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=HANGS_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_two_processes_make_the_same_arrays(tmp_path: Path) -> None:
    heard = AudioSpec(rate_hz=16_000, seconds=2)
    seen = ImageSpec(size_px=64, resize_px=72, interpolation="bicubic")
    here: dict[str, str] = {}
    for kind in ("JPEG", "PNG", "WEBP", "GIF"):
        declared, data = f"image/{kind.lower()}", saved(scene(1), kind)
        name = declared.replace("/", "+") + ".1"
        (tmp_path / name).write_bytes(data)
        image = decode_image(data, declared, COVER)
        array = prepare_image(image, seen).tobytes() + thumbnail_of(image).tobytes()
        here[name] = hashlib.sha256(array).hexdigest()
    for kind, declared in DECLARED.items():
        data = encoded(tone(3, 48_000), kind, 48_000, layout="stereo")
        name = f"{declared.replace('/', '+')}.{kind}"
        (tmp_path / name).write_bytes(data)
        array = decode_audio(data, declared, heard, SOUND).tobytes()
        here[name] = hashlib.sha256(array).hexdigest()
    assert len(here) == 4 + len(DECLARED)
    assert json.loads(fresh(FRESH, str(tmp_path))) == here


def test_the_contract_is_imported_without_decoders() -> None:
    data = saved(scene(1, 8, 8), "PNG").hex()
    lines = fresh(WITHOUT, "PIL av soxr", data).splitlines()
    assert [line.split()[0] for line in lines] == ["images", "audio"]
    assert lines[0].endswith("pip install 'similar-streamer[images]'")
    assert lines[1].endswith("pip install 'similar-streamer[audio]'")


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_square_is_what_it_was_in_the_last_release(kind: str) -> None:
    """It changes when resampling does: then features of older bundles no longer fit."""
    ramp = scene(7, 160, 120) if kind == "PNG" else scene(7, 160, 120).quantize(64)
    spec = ImageSpec(size_px=64, resize_px=72, interpolation="bicubic")
    data = saved(ramp, kind)
    image = decode_image(data, f"image/{kind.lower()}", COVER)
    digest = hashlib.sha256(prepare_image(image, spec).tobytes()).hexdigest()[:16]
    assert digest == {"PNG": "8f9a1190d3e104a3", "GIF": "c0476793335ae18d"}[kind]
