"""Small data set folders to read and to spoil."""

from pathlib import Path

LINES = {
    "streamers.jsonl": [
        '{"streamer_id": "a", "name": "Ana", "tags": ["chess"], "language": "en"}',
        '{"streamer_id": "b", "bio": "喜欢火锅", "videos": [{"video_id": "b1", "title": "毛肚"}]}',
        '{"streamer_id": "c", "avatar": {"vector": [0.5, 1, -2], "space": "s"}}',
        '{"streamer_id": "d", "attributes": {"n": 3, "x": 0.5, "ok": true, "t": "z"}}',
    ],
    "splits.csv": ["streamer_id,split", "a,train", "b,train", "c,val", "d,test"],
    "interactions.csv": [
        "user_id,streamer_id,weight",
        "u1,a,1",
        "u2,a,2.5",
        "u1,b,4",
        "u1,a,3",
        "u3,c,0",
    ],
    "relations.csv": ["streamer_id,related_id,weight", "a,b,1", "b,a,2", "c,d,0.5"],
    "duplicates.csv": ["streamer_id,group", "a,g", "b,g"],
    "labels.csv": ["streamer_id,label", "a,chess", 'b,"hot, pot"', "d,chess"],
}
"""File -> its lines; everything in it is right."""


def write_folder(folder: Path, changes: dict[tuple[str, int], bytes] | None = None) -> Path:
    """Write the folder, with some lines (file, number from 1) replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in LINES.items():
        content = [line.encode() for line in lines]
        for (file, number), line in (changes or {}).items():
            if file == name:
                content[number - 1] = line
        (folder / name).write_bytes(b"".join(line + b"\n" for line in content))
    return folder
