"""Encoding of a part of a file of profiles, without a service, by what a service encodes with."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from service.engine.encoding.pipeline import EncodedProfile, EncodingPipeline
from service.engine.encoding.profile_reader import ToRead
from service.engine.work.lanes import Lanes
from service.errors import ServiceError
from service.features.streamers.lines import LineReader, short_problem
from service.features.transfers.encoded import row_of
from service.files.encoded import About, EncodedWriter, whole_file
from service.files.part_rows import PartRows
from service.settings import Limits

CHUNK_ROWS, CHUNK_BYTES = 64, 1 << 20
"""Rows that are encoded together; long ones fill a chunk earlier."""
_GIVEN_CHARS = 1 << 16
"""Of a rejected row, in the file of those."""
_SPOOLED_BYTES = 1 << 20
_Chunk = list[tuple[int, bytes]]


class PartEncoder:
    """Encodes parts, in bounded memory."""

    def __init__(self, pipeline: EncodingPipeline, lanes: Lanes, limits: Limits) -> None:
        """Encode by `pipeline`, in `lanes`, profiles within `limits`."""
        self._pipeline = pipeline
        self._reader = LineReader(limits, lanes)

    async def encode(
        self,
        source: PartRows,
        about: About,
        out: Path,
        rejects: Path,
        tell: Callable[[int, int], None],
    ) -> About:
        """Encode a part to a file, which is there afterwards as a whole, or not at all.

        Args:
            source: the rows.
            about: metadata of the file, before any row.
            out: the file; one that is there is replaced.
            rejects: file of the rows that can't be encoded, with the reasons; removed if all can.
            tell: is called with how much of the part is done, and how much it has.

        Returns:
            The metadata of the file.

        Raises:
            UnreadableInput: the input can't be read.
            OSError: a file can't be written.
        """
        with whole_file(out) as draft, _Rejects(rejects, source.unit) as refused:
            writer = EncodedWriter(draft, about)
            try:
                rows = without = 0
                for chunk in _chunks(source.rows()):
                    for item in await self._encode(chunk, refused):
                        row, size = row_of(item)
                        writer.add(row, size)
                        rows += 1
                        without += item.encoded is None
                    tell(source.done(chunk[-1][0]) + 1, source.total)
                source.check()
                counts = {"rows": rows, "without_content": without, "rejected": refused.count}
                about = about.model_copy(update=counts)
                writer.finish(about)
            except BaseException:
                writer.discard()
                raise
            refused.keep()
        return about

    async def _encode(self, chunk: _Chunk, refused: "_Rejects") -> list[EncodedProfile]:
        profiles, wrong = await self._reader.read(chunk)
        given = dict(chunk)
        found = await self._pipeline.encode_many([ToRead(p) for p in profiles.values()])
        done: list[EncodedProfile] = []
        for (name, profile), item in zip(profiles.items(), found, strict=True):
            if isinstance(item, ServiceError):
                refused.add(name, profile.streamer_id, item, given[name])
            else:
                done.append(item)
        for name, error in wrong.items():
            refused.add(name, None, error, given[name])
        return done


class _Rejects:
    """The rows that can't be encoded."""

    def __init__(self, path: Path, unit: str) -> None:
        self._path = path
        self._unit = unit
        self.count = 0

    def __enter__(self) -> "_Rejects":
        self._lines = cast(BinaryIO, tempfile.SpooledTemporaryFile(_SPOOLED_BYTES).__enter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()

    def add(self, name: int, streamer_id: str | None, error: ServiceError, given: bytes) -> None:
        """Write down a row, by its name, with what is wrong."""
        known: dict[str, Any] = {} if streamer_id is None else {"streamer_id": streamer_id}
        text = given.decode("utf-8", "replace").rstrip("\r\n")[:_GIVEN_CHARS]
        entry = {self._unit: name, **known, "error": short_problem(error), "given": text}
        self._lines.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
        self.count += 1

    def keep(self) -> None:
        """Put the file in its place; without a row, there is none."""
        if not self.count:
            self._path.unlink(missing_ok=True)
            return
        self._lines.seek(0)
        with whole_file(self._path) as draft, draft.open("wb") as file:
            shutil.copyfileobj(self._lines, file)


def _chunks(rows: Iterator[tuple[int, bytes]]) -> Iterator[_Chunk]:
    chunk: _Chunk = []
    size = 0
    for row in rows:
        chunk.append(row)
        size += len(row[1])
        if len(chunk) == CHUNK_ROWS or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
