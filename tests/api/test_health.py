"""Probes and metrics: what an orchestrator and Prometheus read."""

import httpx

from tests.support.api import Api
from tests.support.service import Service


def test_probes_need_no_key_and_say_what_is_served(api: Api, service: Service) -> None:
    sequence = api.put_streamer("probe-1", tags=["cooking"])
    with httpx.Client(base_url=service.url, trust_env=False) as anybody:
        assert anybody.get("/livez").status_code == 200
        assert anybody.get("/startupz").status_code == 200
        ready = anybody.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["index_sequence"] >= sequence
    assert ready.json()["model_version"] == "test-0"
    assert ready.json()["degraded_because"] is None
