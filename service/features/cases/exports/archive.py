"""The archive of a case: a zip of which every byte is accounted for, checked without a service.

`manifest.json` has the SHA-256 of each other file. The files are not compressed, and order, times
and attributes are fixed, so the same files make the same archive: a flipped byte anywhere shows.
"""

import hashlib
import io
import json
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from service.engine.expansion.paths import Link, Rules, settle
from service.features.cases.records import MOST_EVENTS

FORMAT = 1
MANIFEST, CASE, MEMBERS, EDGES = "manifest.json", "case.json", "members.ndjson", "edges.ndjson"
VERDICTS, EVENTS, TABLE = "verdicts.ndjson", "events.ndjson", "members.csv"
PROFILES = "profiles.ndjson"
"""Of each member, what its profile is or why there is none; archives of older releases lack it."""
AS_SEEN, CHANGED = "as_seen", "changed"
"""Whether a profile is the one that the run saw, or was written since, before it was copied."""
_MEDIA_LEFT_OUT = b'"sha256"'
"""In a profile that was stored without its media; its digest is that of the profile with them."""
_NEEDED = (CASE, MEMBERS, EDGES, VERDICTS, EVENTS, TABLE)
_CHUNK = 1 << 16
_PLACES = 6
_UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError),
    *(OSError, EOFError, ValueError, KeyError, TypeError, OverflowError, MemoryError),
)
"""What reading raises where a damaged file says something impossible of itself."""


class Damaged(Exception):
    """The archive is not as it was written; the text names what differs."""


@dataclass(frozen=True)
class Checked:
    """What a sound archive has; `changed` profiles were written since the run saw them."""

    case_id: str
    members: int
    edges: int
    events: int
    profiles: int
    changed: int


class Archive:
    """Writes an archive. Close it, which writes the manifest."""

    def __init__(self, file: IO[bytes]) -> None:
        """Write to a file that is empty."""
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED)
        self._known: dict[str, dict[str, Any]] = {}

    def add(self, name: str, content: bytes) -> None:
        """Write a file."""
        self._known[name] = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
        }
        self._zip.writestr(_entry(name), content)

    def close(self) -> None:
        """Write the manifest and what ends an archive."""
        self._zip.writestr(_entry(MANIFEST), _manifest(self._known))
        self._zip.close()


def profile_name(streamer_id: str) -> str:
    """File of a profile; a colon is none of Windows' letters."""
    return f"profiles/{streamer_id.replace(':', '%3A')}.json"


def verify(path: Path) -> Checked:
    """Check an archive: its bytes, and that its members follow from its edges.

    Raises:
        Damaged: something differs.
        OSError: it can't be read.
    """
    with path.open("rb") as given:
        try:
            with zipfile.ZipFile(given) as found:
                return _checked(given, found)
        except _UNREADABLE as error:
            raise Damaged(f"it can't be read: {error!r}") from error


def _checked(given: IO[bytes], found: zipfile.ZipFile) -> Checked:
    known = _listed(found, found.namelist())
    for name, listed in known.items():
        if hashlib.sha256(found.read(name)).hexdigest() != listed.get("sha256"):
            raise Damaged(f"{name} is not the file that the manifest names")
    _compare_bytes(given, found, [*known])
    return _follows(found, known)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.create_system = 3
    entry.external_attr = 0o644 << 16
    return entry


def _manifest(known: Mapping[str, Mapping[str, Any]]) -> bytes:
    return json.dumps({"format": FORMAT, "files": known}, indent=1).encode()


def _listed(found: zipfile.ZipFile, names: list[str]) -> dict[str, dict[str, Any]]:
    """Files of the manifest, in the order of the archive."""
    if MANIFEST not in names:
        raise Damaged(f"there is no {MANIFEST}: it is no archive of a case")
    manifest: Any = json.loads(found.read(MANIFEST))
    if not isinstance(manifest, dict):
        raise Damaged(f"{MANIFEST} is no JSON object")
    fields = cast(dict[str, Any], manifest)
    if fields.get("format") != FORMAT:
        raise Damaged(f"format {fields.get('format')!r}: this release reads {FORMAT}")
    known = cast(dict[str, dict[str, Any]], fields["files"])
    if [*known, MANIFEST] != names:
        raise Damaged("the archive has other files than its manifest names")
    missing = [name for name in _NEEDED if name not in known]
    if missing:
        raise Damaged(f"{', '.join(missing)} is missing")
    return known


def _compare_bytes(given: IO[bytes], found: zipfile.ZipFile, names: list[str]) -> None:
    """Write the archive again, and compare."""
    with tempfile.TemporaryFile() as again:
        archive = Archive(again)
        for name in names:
            archive.add(name, found.read(name))
        archive.close()
        again.seek(0)
        given.seek(0)
        while True:
            one, other = given.read(_CHUNK), again.read(_CHUNK)
            if one != other:
                raise Damaged("the archive has bytes that no file of it accounts for")
            if not one:
                return


def _follows(found: zipfile.ZipFile, known: Mapping[str, Mapping[str, Any]]) -> Checked:
    case: dict[str, Any] = json.loads(found.read(CASE))
    members = list(_lines(found, MEMBERS))
    edges = list(_lines(found, EDGES))
    events = list(_lines(found, EVENTS))
    numbers, last = [event["number"] for event in events], case["events"]
    if numbers != list(range(last + 1 - len(events), last + 1)) or (
        len(events) < min(last, MOST_EVENTS)
    ):
        raise Damaged(f"{EVENTS} does not have each event of the case once")
    run = case["run"]
    if run is not None:
        query = run["query"]
        rules = Rules(query["hops"], query["min_probability"], query["decay"])
        links = [Link(edge["a"], edge["b"], edge["probability"]) for edge in edges]
        membership = settle(links, run["sources"], run["barred"], rules)
        follow = {n: round(membership.value(n), _PLACES) for n in membership.hops()}
        listed = {each["streamer_id"]: each["probability"] for each in members}
        if follow != listed:
            names = sorted(n for n in {**follow, **listed} if follow.get(n) != listed.get(n))
            raise Damaged(f"the edges do not lead to the members: {', '.join(names[:5])}")
    profiles = [name for name in known if name.startswith("profiles/")]
    changed = _changed(found, known, members)
    return Checked(case["case_id"], len(members), len(edges), len(events), len(profiles), changed)


def _changed(
    found: zipfile.ZipFile,
    known: Mapping[str, Mapping[str, Any]],
    members: Sequence[Mapping[str, Any]],
) -> int:
    """How many profiles were written since they were seen; all others are as they were seen."""
    digests = {each["streamer_id"]: each["digest"] for each in members}
    if PROFILES not in known:
        for streamer_id, digest in digests.items():
            name = profile_name(streamer_id)
            if name in known and known[name]["sha256"] != digest:
                raise Damaged(f"{name} is not the profile that was seen")
        return 0
    copied = list(_lines(found, PROFILES))
    if [each["streamer_id"] for each in copied] != [*digests]:
        raise Damaged(f"{PROFILES} does not have each member once")
    for each in copied:
        name = profile_name(each["streamer_id"])
        sha256 = known[name]["sha256"] if name in known else None
        if each["sha256"] != sha256:
            raise Damaged(f"{name} is not the profile that was copied")
        if each["state"] == AS_SEEN:
            digest = digests[each["streamer_id"]]
            is_whole = sha256 is None or _MEDIA_LEFT_OUT not in found.read(name)
            if each["digest"] != digest or (is_whole and sha256 != digest):
                raise Damaged(f"{name} is not the profile that was seen")
    return sum(each["state"] == CHANGED for each in copied)


def _lines(found: zipfile.ZipFile, name: str) -> Iterator[dict[str, Any]]:
    with found.open(name) as file:
        for line in io.TextIOWrapper(file, "utf-8"):
            yield json.loads(line)
