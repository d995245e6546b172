"""A client before a network that fails."""

import pytest

from service.client import Client, Patience
from tests.reliability.fault_proxy import HTTP_WRITES, FaultProxy
from tests.service.client.faults import PATIENCE, check, is_keyed, write_through_faults
from tests.service.conftest import Serve
from tests.service.data_sets import profile

pytestmark = pytest.mark.slow
WRITES = 300


def test_no_write_is_lost_and_none_is_done_twice(serve: Serve) -> None:
    service = serve()
    told, proxy = write_through_faults(service, WRITES, share=0.2, late=2)
    assert told.faults > WRITES / 8
    assert proxy.commits_cut > WRITES / 16
    lost, doubled = check(service, told)
    assert lost == 0
    if is_keyed(service):
        assert doubled == 0
    else:  # a put whose answer was lost is put again: the same profile, under another version
        assert doubled <= proxy.commits_cut + 2


def test_a_load_through_cuts_gives_every_line_its_result(serve: Serve) -> None:
    service = serve()
    with FaultProxy(int(service.url.rpartition(":")[2]), HTTP_WRITES) as proxy:
        faults = (proxy.cut_after_commit, proxy.cut_in_mid_reply, proxy.reset_before_commit)

        def fail(done: int) -> None:
            faults[done // 20 % 3]()

        with Client(f"http://127.0.0.1:{proxy.port}", patience=PATIENCE) as client:
            profiles = map(profile, range(WRITES))
            found = list(client.load(profiles, chunk_lines=20, at_once=1, progress=fail))
        assert proxy.commits_cut >= 2 * (WRITES // 20 // 3) - 1
    assert [result.line for result in found] == list(range(1, WRITES + 1))
    assert {result.outcome for result in found} == {"created", "unchanged"}
    stored = service.streamers()
    assert {i: s["profile"] for i, s in stored.items()} == {
        p["streamer_id"]: p for p in map(profile, range(WRITES))
    }
    assert service.put("last") == WRITES + 1  # none was written twice


def test_questions_go_on_through_a_network_that_cuts(serve: Serve) -> None:
    service = serve()
    service.put("a", tags=["cooking"])
    with FaultProxy(int(service.url.rpartition(":")[2]), rb"GET /v1/") as proxy:
        patience = Patience(attempts=4, first_pause_s=0.01)
        with Client(f"http://127.0.0.1:{proxy.port}", patience=patience) as client:
            for fail in (proxy.cut_after_commit, proxy.cut_in_mid_reply, proxy.reset_before_commit):
                fail(3)
                assert client.get("a").version == 1
            proxy.cut()
            assert client.similar("a").hits == []
