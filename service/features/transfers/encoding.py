"""Encoding of a part of a file of profiles, without a service, by what a service encodes with."""

import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from service.engine.encoding.pipeline import EncodedProfile, EncodingPipeline
from service.engine.encoding.profile_reader import ToRead
from service.engine.work.lanes import Lanes
from service.errors import InvalidRequest, ServiceError
from service.features.streamers.lines import LineReader, short_problem
from service.features.transfers.encoded import row_of
from service.features.transfers.media_patience import MediaPatience
from service.files.encoded import About, EncodedWriter, NotEncoded
from service.files.part_rows import PartRows
from service.files.whole_file import draft_of, put_in_place, whole_file, writing
from service.settings import Limits

CHUNK_ROWS, CHUNK_BYTES = 64, 1 << 20
"""Rows that are encoded together; long ones fill a chunk earlier."""
REMEMBERED = 1 << 18
"""Ids of so many rows, the last ones, are known again: memory does not grow with the part."""
_GIVEN_CHARS = 1 << 16
"""Of a rejected row, in the file of those."""
_Chunk = list[tuple[int, bytes]]


class PartEncoder:
    """Encodes parts, in bounded memory."""

    def __init__(self, pipeline: EncodingPipeline, lanes: Lanes, limits: Limits) -> None:
        """Encode by `pipeline`, in `lanes`, profiles within `limits`."""
        self._pipeline = pipeline
        self._reader = LineReader(limits, lanes)
        self._patience = MediaPatience()

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
            source: the rows; of those with one id among `REMEMBERED`, the first counts.
            about: metadata of the file, before any row.
            out: the file; one that is there is replaced.
            rejects: file of the rows that can't be encoded, with the reasons. One that was written
                beside a file with the name of `out` is replaced, or removed if all rows can be.
            tell: is called with how much of the part is done, and how much it has.

        Returns:
            The metadata of the file.

        Raises:
            UnreadableInput: the input can't be read.
            NotEncoded: something else is in the place of `rejects`.
            Unwritable: a file can't be written.
        """
        with _Rejects(rejects, out, source.unit) as refused, whole_file(out) as draft:
            with writing(out):
                writer = EncodedWriter(draft, about)
            try:
                rows = without = 0
                ids = _Ids(source.unit)
                for chunk in _chunks(source.rows()):
                    for item in await self._encode(chunk, ids, refused):
                        row, size = row_of(item)
                        with writing(out):
                            writer.add(row, size)
                        rows += 1
                        without += item.encoded is None
                    tell(source.done(chunk[-1][0]) + 1, source.total)
                source.check()
                counts = {"rows": rows, "without_content": without, "rejected": refused.count}
                about = about.model_copy(update=counts)
                with writing(out):
                    writer.finish(about)
            except BaseException:
                writer.discard()
                raise
            refused.keep()
        return about

    async def _encode(
        self, chunk: _Chunk, ids: "_Ids", refused: "_Rejects"
    ) -> list[EncodedProfile]:
        profiles, wrong = await self._reader.read(chunk)
        given = dict(chunk)
        shown = list(profiles.values())

        async def encode(places: Sequence[int]) -> Mapping[int, EncodedProfile | ServiceError]:
            items = [ToRead(shown[i]) for i in places]
            return dict(zip(places, await self._pipeline.encode_many(items), strict=True))

        found = await self._patience.encoded(shown, encode)
        done: list[EncodedProfile] = []
        for place, (name, profile) in enumerate(profiles.items()):
            item = found[place]
            if isinstance(item, ServiceError):
                refused.add(name, profile.streamer_id, item, given[name])
            elif (repeated := ids.add(name, profile.streamer_id)) is not None:
                refused.add(name, profile.streamer_id, repeated, given[name])
            else:
                done.append(item)
        for name, error in wrong.items():
            refused.add(name, None, error, given[name])
        return done


class _Ids:
    """Where the ids of the last rows stand, of which the first row of each is taken."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._names: OrderedDict[str, int] = OrderedDict()

    def add(self, name: int, streamer_id: str) -> ServiceError | None:
        """Note the id of a row; what is wrong if an earlier one has it."""
        first = self._names.setdefault(streamer_id, name)
        if first != name:
            told = f"{streamer_id!r} is already at {self._unit} {first}; keep one of them"
            return InvalidRequest.of("/streamer_id", told)
        if len(self._names) > REMEMBERED:
            self._names.popitem(last=False)
        return None


class _Rejects:
    """The rows that can't be encoded, in a file that begins with the name of what is encoded."""

    def __init__(self, path: Path, out: Path, unit: str) -> None:
        self._path = path
        self._out = {"out": out.name}
        self._unit = unit
        self._lines: BinaryIO | None = None
        self.count = 0

    def __enter__(self) -> "_Rejects":
        self._check()
        self._draft = draft_of(self._path)
        return self

    def __exit__(self, *_: object) -> None:
        if self._lines is not None:
            with suppress(OSError):  # the disk is full, and the rest does not matter
                self._lines.close()
        self._draft.unlink(missing_ok=True)

    def add(self, name: int, streamer_id: str | None, error: ServiceError, given: bytes) -> None:
        """Write down a row, by its name, with what is wrong."""
        known: dict[str, Any] = {} if streamer_id is None else {"streamer_id": streamer_id}
        text = given.decode("utf-8", "replace").rstrip("\r\n")[:_GIVEN_CHARS]
        row = {self._unit: name, **known, "error": short_problem(error), "given": text}
        with writing(self._path):
            if self._lines is None:
                self._lines = self._draft.open("xb")
            self._lines.write(_json({**self._out, **row}) + b"\n")
        self.count += 1

    def keep(self) -> None:
        """Put the file in its place; without a row, there is none."""
        with writing(self._path):
            if self._lines is None:
                self._path.unlink(missing_ok=True)
                return
            self._lines.close()
            put_in_place(self._draft, self._path)

    def _check(self) -> None:
        """Refuse a path at which is something that would be lost; raises `NotEncoded`."""
        if not self._path.exists():
            return
        begin = _json(self._out)[:-1] + b", "
        if self._path.is_file():
            with self._path.open("rb") as file:
                if file.read(len(begin)) == begin:
                    return
        raise NotEncoded(
            f"{self._path} has no rejected rows of {self._out['out']}, and would be lost: move it "
            "away, or give another file by --rejects"
        )


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode(errors="replace")  # of a file's name


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
