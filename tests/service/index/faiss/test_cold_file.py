"""Every slot gives back what was written last, wherever it lies."""

import resource
import signal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.index.faiss.rows.cold_file import ColdFile
from tests.machine import opened_in

SKETCH = 8


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 5),
            st.sampled_from([b"", b"12345678", b"\0" * 8]),
            st.binary(max_size=20) | st.integers(380, 390).map(lambda n: b"f" * n),
        ),
        max_size=40,
    )
)
def test_the_last_record_of_each_slot(history: list[tuple[int, bytes, bytes]]) -> None:
    cold, written = ColdFile(SKETCH), dict[int, tuple[bytes, bytes]]()
    for slot, content, facets in history:
        cold.write(slot, content, facets)
        written[slot] = content.ljust(SKETCH, b"\0"), facets
        assert {s: cold.read(s) for s in written} == written


def test_nobody_else_sees_the_file(tmp_path: Path) -> None:
    cold = ColdFile(SKETCH, tmp_path)
    cold.write(3, b"12345678", b"{}")
    assert list(tmp_path.iterdir()) == []
    assert len(opened_in(tmp_path)) == 1
    del cold
    assert opened_in(tmp_path) == []


def test_what_the_disk_does_not_take_stays_in_memory() -> None:
    cold = ColdFile(SKETCH)
    cold.write(0, b"12345678", b"first")
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        for slot in range(1, 10):
            cold.write(slot, b"87654321", b"more %d" % slot)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert cold.read(0) == (b"12345678", b"first")
    assert [cold.read(s) for s in range(1, 10)] == [
        (b"87654321", b"more %d" % s) for s in range(1, 10)
    ]
    cold.write(9, b"12345678", b"there is room again")
    assert cold.read(9) == (b"12345678", b"there is room again")


def test_a_folder_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError):
        ColdFile(SKETCH, Path("/nowhere"))
