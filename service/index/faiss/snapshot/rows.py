"""Takes snapshots of rows beside searches and writes, and fills rows from a snapshot."""

import contextlib
from collections.abc import Generator

import numpy as np
from pyroaring import BitMap

from service.files.checksummed import Broken
from service.index.faiss.rows.attributes import Attributes
from service.index.faiss.rows.columns import packed
from service.index.faiss.rows.numeric import slots_of
from service.index.faiss.rows.table import Rows
from service.index.faiss.snapshot.format import IndexSnapshot


@contextlib.contextmanager
def captured(rows: Rows) -> Generator[IndexSnapshot, None, None]:
    """A snapshot that stays as it is until the context ends.

    Streamers that change before it is given may be missing.
    """
    with rows.lock:
        used, ids, columns = len(rows.ids), rows.ids.copy(), rows.columns
        taken, live = BitMap(range(used)) - BitMap(rows.reuse.left()), rows.live.copy()
        segment, covered = rows.coverage.segment, rows.coverage.covered.copy()
        kept, names = rows.cold.kept(), rows.attributes.columns()
        began = rows.reuse.begin()
    try:
        parts: list[Attributes] = []
        for name in names:
            with rows.lock:
                parts.append(rows.attributes.copy(name))
            parts[-1].settle()
        with rows.lock:  # slots that were not left until now are whole in each of the copies
            gone = BitMap(rows.reuse.left(since=began))
        taken, live, covered = taken - gone, live - gone, covered - gone
        for slot in BitMap(range(used)) - taken:
            ids[slot] = ""
        yield IndexSnapshot(
            columns, ids, taken, live, covered, segment, parts, rows.cold.blocks, kept
        )
    finally:
        with rows.lock:
            rows.reuse.end(began)


def restore(rows: Rows, snapshot: IndexSnapshot) -> None:
    """Fill rows, which are empty and not in use yet, with a snapshot, and keep its arrays.

    Raises:
        Broken: it is not as it was written; the rows stay empty.
        OSError: there is no room for it; the rows stay empty.
    """
    used = len(snapshot.ids)
    rows.cold.load(snapshot.cold(np.ones(used, np.bool_)), snapshot.kept)
    slots: list[int] = slots_of(snapshot.taken).tolist()
    slot_of = {snapshot.ids[slot]: slot for slot in slots}
    if len(slot_of) != len(slots):
        raise Broken("the snapshot has a streamer twice")
    bits = packed(snapshot.live, used)
    snapshot.columns.bits[: len(bits)] = bits
    with rows.lock:
        rows.columns, rows.ids = snapshot.columns, list(snapshot.ids)
        rows.slot_of, rows.live = slot_of, snapshot.live
        rows.coverage.use(snapshot.segment, snapshot.covered, snapshot.live, used)
        (rows.attributes,) = snapshot.attributes
        rows.find_established()
        rows.reuse.restart(BitMap(range(used)) - snapshot.taken)
