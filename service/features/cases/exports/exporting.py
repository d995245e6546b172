"""Exports of a case: a table, lines of JSON, or an archive with all of it."""

import csv
import hashlib
import io
import tempfile
from collections.abc import AsyncGenerator, Generator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import IO, Literal, NamedTuple

from service.engine.work.lanes import Lane, Lanes
from service.errors import CaseChanged
from service.features.cases.expanding import Expander, unpacked
from service.features.cases.exports import archive
from service.features.cases.exports.archive import Archive, profile_name
from service.features.cases.keeping import Kept, KeptCases
from service.features.cases.records import RUN, Copy, Decided, Event, Member
from service.features.cases.shown import case_fields, entry_fields, member_fields, verdict_fields
from service.files.cells import safe
from service.http.ndjson import line_of
from service.store.documents import Entry

Format = Literal["csv", "ndjson", "zip"]
MEDIA_TYPES: Mapping[Format, str] = {
    "csv": "text/csv; charset=utf-8",
    "ndjson": "application/x-ndjson",
    "zip": "application/zip",
}
COLUMNS = (
    "streamer_id", "state", "hop", "probability", "path", "weakest_link", "verdict", "note",
    "decided_by", "decided_at", "profile_changed",
)  # fmt: skip
_CELLS: Mapping[bool | None, str] = {None: "", False: "false", True: "true"}
_BOM = b"\xef\xbb\xbf"
_EVENTS_AT_ONCE = 200
_TRIES = 3
_CHUNK = 1 << 16
_IN_MEMORY = 1 << 20


@dataclass(frozen=True, eq=False)
class _Moment:
    """A case as of one moment."""

    kept: Kept
    members: Sequence[Member]
    verdicts: Mapping[str, Decided]
    is_outdated: bool
    events: Sequence[tuple[Entry, Event]]


class Exported(NamedTuple):
    """A file that shows a case.

    Attributes:
        parts: of it.
        members: ids of those whom it shows.
    """

    parts: AsyncGenerator[bytes, None]
    members: Sequence[str]


class Exports:
    """The use-case behind `GET /v1/cases/{case_id}/export`."""

    def __init__(self, kept: KeptCases, expander: Expander, lanes: Lanes) -> None:
        """Read `kept`; `expander` tells whose profile changed; files are written in `lanes`."""
        self._kept = kept
        self._expander = expander
        self._lanes = lanes

    async def export(self, case_id: str, file_format: Format) -> Exported:
        """A file that is written already.

        Raises:
            CaseNotFound: there is no such case.
            CaseChanged: it changed again and again meanwhile.
        """
        moment = await self._moment(case_id)
        file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed by parts
        try:
            if file_format == "zip":
                await self._write_archive(file, moment)
            else:
                lines = _csv(moment) if file_format == "csv" else _lines(moment)
                await self._lanes.run_in_slices(_written(file, lines), Lane.HEAVY)
        except BaseException:
            file.close()
            raise
        return Exported(self._parts(file), [member.streamer_id for member in moment.members])

    async def _parts(self, file: IO[bytes]) -> AsyncGenerator[bytes, None]:
        with file:
            file.seek(0)
            while part := await self._lanes.run(lambda: file.read(_CHUNK), Lane.HEAVY):
                yield part

    async def _moment(self, case_id: str) -> _Moment:
        """Raises as `export`."""
        for _ in range(_TRIES):
            kept = await self._kept.get(case_id)
            run = kept.case.run
            verdicts = await self._kept.all_verdicts(case_id)
            events: list[tuple[Entry, Event]] = []
            after: int | None = 0
            while after is not None:
                part, after = await self._kept.events(case_id, after, _EVENTS_AT_ONCE)
                events += part
            now = await self._kept.get(case_id)
            if now.revision == kept.revision:
                members = (
                    [] if run is None else await self._kept.members(case_id, run, 0, run.members)
                )
                outdated = await self._expander.in_thread(
                    partial(kept.case.is_outdated_by, verdicts)
                )
                decided = await self._expander.decided(verdicts)
                return _Moment(kept, members, decided, outdated, events)
        raise CaseChanged("the case changed each time while it was read; export it again")

    async def _write_archive(self, file: IO[bytes], moment: _Moment) -> None:
        made = Archive(file)
        case = moment.kept.case
        run = None if case.run is None else RUN.dump_python(case.run, mode="json")
        about = {**case_fields(moment.kept), "outdated": moment.is_outdated, "run": run}

        def write() -> Generator[None, None, None]:
            made.add(archive.CASE, line_of(about))
            for name, lines in (
                (archive.MEMBERS, _members(moment)),
                (archive.EDGES, (line_of(asdict(e)) for m in moment.members for e in m.edges)),
                (archive.VERDICTS, _verdicts(moment)),
                (archive.EVENTS, (line_of(entry_fields(*each)) for each in moment.events)),
                (archive.TABLE, _csv(moment)),
            ):
                parts: list[bytes] = []
                for line in lines:
                    parts.append(line)
                    yield
                made.add(name, b"".join(parts))
                yield

        await self._lanes.run_in_slices(write(), Lane.HEAVY)
        if case.run is not None:
            members = {member.streamer_id: member for member in moment.members}
            told: list[bytes] = []
            async for copies in self._kept.copies(case.case_id, case.run, [*members]):

                def add(some: Mapping[str, Copy] = copies) -> Generator[None, None, None]:
                    for name, copy in some.items():
                        if (profile := unpacked(copy)) is not None:
                            made.add(profile_name(name), profile)
                        told.append(_told_of(members[name], copy, profile))
                        yield

                await self._lanes.run_in_slices(add(), Lane.HEAVY)
            made.add(archive.PROFILES, b"".join(told))
        await self._lanes.run(made.close, Lane.HEAVY)


def _written(file: IO[bytes], lines: Iterable[bytes]) -> Generator[None, None, None]:
    for line in lines:
        file.write(line)
        yield


def _csv(moment: _Moment) -> Generator[bytes, None, None]:
    yield _BOM + _row(COLUMNS)
    for member in moment.members:
        verdict = moment.verdicts.get(member.streamer_id)
        decided = ("", "", "", "", "")
        if verdict is not None:
            record, changed = verdict.record, _CELLS[verdict.profile_changed]
            decided = record.verdict, record.note, record.key_name, f"{record.at:.3f}", changed
        yield _row(
            [
                member.streamer_id,
                member.state,
                member.hop,
                member.probability,
                " ".join(member.path),
                " ".join(member.weakest_link or ()),
                *decided,
            ]
        )


def _row(cells: Sequence[object]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow([safe(cell) for cell in cells])
    return text.getvalue().encode()


def _members(moment: _Moment) -> Generator[bytes, None, None]:
    for member in moment.members:
        fields = member_fields(member, moment.verdicts.get(member.streamer_id))
        yield line_of({**fields, "digest": member.digest})


def _told_of(member: Member, copy: Copy, profile: bytes | None) -> bytes:
    """What an archive says of a profile that it has, or why it has none."""
    if profile is None:
        state, sha256 = "erased" if copy.digest else "not_stored", None
    else:
        state = archive.AS_SEEN if copy.digest == member.digest else archive.CHANGED
        sha256 = copy.sha256 or hashlib.sha256(profile).hexdigest()
    return line_of(
        {
            "streamer_id": member.streamer_id,
            "state": state,
            "version": copy.version,
            "digest": copy.digest,
            "sha256": sha256,
        }
    )


def _lines(moment: _Moment) -> Generator[bytes, None, None]:
    for member in moment.members:
        fields = member_fields(member, moment.verdicts.get(member.streamer_id))
        yield line_of({**fields, "edges": [asdict(edge) for edge in member.edges]})


def _verdicts(moment: _Moment) -> Generator[bytes, None, None]:
    for name, verdict in moment.verdicts.items():
        fields = {**verdict_fields(verdict), "digest": verdict.record.digest}
        yield line_of({"streamer_id": name, **fields})
