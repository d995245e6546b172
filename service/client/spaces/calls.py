"""Requests of spaces."""

import uuid
from pathlib import Path
from urllib.parse import quote

from service.client.calls import KEY, Call, params_of, reader_of
from service.client.models import GenerationOut, OwnVectorOut, SpaceOut, SpacesOut, UserErasedOut

MEDIA_TYPES = {
    ".jsonl": "application/x-ndjson",
    ".ndjson": "application/x-ndjson",
    ".npz": "application/x-npz",
    ".parquet": "application/vnd.apache.parquet",
}
"""Of files with hand-overs, by how their names end."""
HAND_OVER_S = 3600
SWITCH_S = 660
"""The service waits for itself and then for its other replicas, 300 s each as it is set."""


def _at(space: str, *rest: str) -> str:
    return "/".join(["/v1/spaces", *(quote(part, safe="") for part in (space, *rest))])


def _once() -> dict[str, str]:
    """What names a request that is sent again."""
    return {KEY: f'"{uuid.uuid4()}"'}


def spaces() -> Call[SpacesOut]:
    """`GET /v1/spaces`."""
    return Call("GET", "/v1/spaces", reader_of(SpacesOut))


def space(name: str) -> Call[SpaceOut]:
    """`GET /v1/spaces/{space}`."""
    return Call("GET", _at(name), reader_of(SpaceOut))


def hand_over(
    name: str, generation: str, file: Path, promote: bool, force: bool
) -> Call[GenerationOut]:
    """`PUT /v1/spaces/{space}/generations/{generation}`.

    Raises:
        ValueError: the file's name does not tell what it is.
        OSError: the file is not there.
    """
    media_type = MEDIA_TYPES.get(file.suffix)
    if media_type is None:
        raise ValueError(f"{file}: a hand-over is a file of {', '.join(MEDIA_TYPES)}")
    return Call(
        "PUT",
        _at(name, "generations", generation),
        reader_of(GenerationOut),
        params=params_of(promote=promote, force=force),
        file=file,
        headers={"Content-Type": media_type, "Content-Length": str(file.stat().st_size)},
        is_repeatable=False,
    )


def promote(name: str, generation: str, force: bool) -> Call[SpaceOut]:
    """`POST /v1/spaces/{space}/generations/{generation}:promote`; takes back nothing newer."""
    path = f"{_at(name, 'generations', generation)}:promote"
    params = params_of(force=force)
    return Call("POST", path, reader_of(SpaceOut), params=params, headers=_once())


def roll_back(name: str) -> Call[SpaceOut]:
    """`POST /v1/spaces/{space}:rollback`: sent again with its key, it goes back no further."""
    return Call("POST", f"{_at(name)}:rollback", reader_of(SpaceOut), headers=_once())


def delete(name: str, generation: str) -> Call[None]:
    """`DELETE /v1/spaces/{space}/generations/{generation}`."""
    return Call(
        "DELETE",
        _at(name, "generations", generation),
        lambda _: None,
        is_repeatable=False,
        statuses=frozenset({204}),
    )


def erase_user(name: str, user_id: str) -> Call[UserErasedOut]:
    """`DELETE /v1/spaces/{space}/users/{user_id}`."""
    return Call("DELETE", _at(name, "users", user_id), reader_of(UserErasedOut))


def own_vector(name: str, streamer_id: str) -> Call[OwnVectorOut]:
    """`GET /v1/spaces/{space}/streamers/{streamer_id}`."""
    return Call("GET", _at(name, "streamers", streamer_id), reader_of(OwnVectorOut))
