"""The report for owners of a GPU, run on the CPU: every step but CUDA itself."""

import re
import subprocess
import sys
from pathlib import Path

import faiss
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def report(*options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.benchmarks.gpu_report", *map(str, options)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_report_has_every_figure(tmp_path: Path) -> None:
    out = tmp_path / "new" / "report.txt"
    done = report("--device", "cpu", "--rows", 4000, "--out", out)
    assert done.returncode == 0, done.stderr
    text = out.read_text(encoding="utf-8")
    assert text in done.stdout
    differences = re.findall(r"largest difference (\S+)", text)
    assert [float(found) for found in differences] == [0, 0]  # the CPU with itself
    (row,) = re.findall(r"\| IVF128,SQfp16 \(auto\) \| .+ \|", text)
    recall, *figures = (float(cell.replace(",", "")) for cell in row.split("|")[3:-1])
    assert recall > 0.98
    assert min(figures) > 0
    before, most = re.findall(r"memory: (\S+) MiB before, (\S+) at most", text)[0]
    assert float(most.replace(",", "")) > float(before.replace(",", "")) > 0
    assert "before: 10 of the ten nearest are found, by Flat" in text
    assert "after: 10 of the ten nearest are found, by exact" in text
    assert "Flat failed on the gpu: CUDA error 719" in text
    assert "the process ended with status 0" in text


@pytest.mark.skipif(getattr(faiss, "get_num_gpus", int)() > 0, reason="has a GPU")
def test_without_a_gpu_it_says_so_in_one_line(tmp_path: Path) -> None:
    done = report("--out", tmp_path / "report.txt")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert re.match(r"no report: (this FAISS is built for the CPU|FAISS sees 0 GPUs)", line)
    assert not (tmp_path / "report.txt").exists()
