"""What is in memory is bounded, however much is sent at once."""

import json
from pathlib import Path

from tests.service.conftest import Serve
from tests.service.process import Service

MIB = 1 << 20


def peak_bytes(service: Service) -> int:
    """The most memory that the process ever had."""
    status = Path(f"/proc/{service.process.pid}/status").read_text(encoding="utf-8")
    (peak,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(peak) * 1024


def test_a_bulk_of_long_lines_is_written_in_small_parts(serve: Serve) -> None:
    service = serve()
    service.put("a", tags=["cooking"])
    before = peak_bytes(service)
    picture = {"data": "A" * (3 * MIB), "content_type": "image/png"}
    profiles = [{"streamer_id": f"s{i}", "tags": ["cooking"], "avatar": picture} for i in range(40)]
    results = service.bulk(profiles)
    assert [r["outcome"] for r in results] == ["created"] * 40, json.dumps(results)[:500]
    assert peak_bytes(service) - before < 200 * MIB  # 120 MiB were sent
