"""Encoding of the texts of a whole corpus, each once, whoever shows it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from model_export.contract.pieces import pieces_of
from model_export.contract.streamer import StreamerProfile
from model_export.contract.towers import Payload, TowerSpec, payload_key, payload_of
from service.engine.encoding.tower_jobs import key_of, seen_by
from service.engine.encoding.tower_pool import PART, TowerPool
from service.engine.work.lanes import Lane
from service.errors import ServiceError
from service.features.streamers.lines import profile_of
from service.files.part_rows import Part, PartRows
from service.files.text_vectors import AboutTexts, TextWriter, part_of
from service.files.whole_file import whole_file, writing
from service.settings import Limits

_BATCH = 4 * PART


class TextEncoder:
    """Encodes the texts of one part, by their hash."""

    def __init__(self, work: TowerPool, limits: Limits) -> None:
        """Encode by the towers of texts in `work`, of profiles within `limits`."""
        self._work = work
        self._limits = limits
        self._towers = [spec for spec in work.specs if spec.text is not None]
        self._waiting: dict[str, dict[bytes, Payload]] = {spec.name: {} for spec in self._towers}

    async def encode(
        self,
        source: PartRows,
        part: Part,
        about: AboutTexts,
        out: Path,
        tell: Callable[[int, int], None],
    ) -> AboutTexts:
        """Encode the texts of all rows whose hash is in a part; rows that can't be read show none.

        Args:
            source: all rows of the input.
            part: of the texts.
            about: of the file, before any text.
            out: the file; one that is there is replaced.
            tell: is called with how much of the input is read, and how much there is.

        Raises:
            UnreadableInput: the input can't be read, or changed meanwhile.
            Unwritable: the file can't be written.
        """
        with whole_file(out) as draft:
            with writing(out):
                writer = TextWriter(draft)
            try:
                for name, line in source.rows():
                    profile = self._profile(line)
                    if profile is not None:
                        self._collect(profile, part)
                    for spec in self._towers:
                        if len(self._waiting[spec.name]) >= _BATCH:
                            await self._write(spec, writer, out)
                    tell(source.done(name), source.total)
                for spec in self._towers:
                    await self._write(spec, writer, out)
                source.check()
                about = about.model_copy(update={"texts": writer.count})
                with writing(out):
                    writer.finish(about)
            except BaseException:
                writer.discard()
                raise
        tell(source.total, source.total)
        return about

    def _profile(self, line: bytes) -> StreamerProfile | None:
        try:
            return profile_of(line, self._limits)
        except (ValidationError, ServiceError):
            return None

    def _collect(self, profile: StreamerProfile, part: Part) -> None:
        pieces = pieces_of(profile)
        for spec in self._towers:
            for piece in seen_by(spec, pieces):
                if part_of(payload_key(piece), part.count) == part.number:
                    key = b"".join(key_of(spec, piece))
                    if key not in self._waiting[spec.name]:
                        self._waiting[spec.name][key] = payload_of(piece, profile)

    async def _write(self, spec: TowerSpec, writer: TextWriter, out: Path) -> None:
        waiting = self._waiting[spec.name]
        with writing(out):
            wanted = writer.missing(waiting)
        todo = [(key, payload) for key, payload in waiting.items() if key in wanted]
        waiting.clear()
        for start in range(0, len(todo), PART):
            some = todo[start : start + PART]
            vectors = await self._work.encode(spec.name, [p for _, p in some], Lane.BULK)
            packed = [np.asarray(vector, "<f2").tobytes() for vector in vectors]
            with writing(out):
                writer.add(list(zip([key for key, _ in some], packed, strict=True)))
