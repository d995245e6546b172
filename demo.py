"""The whole path in one command: data, training, export, serving, loading, three answers.

It drives the command lines only, each in a process of its own, and keeps what they make under
`build/demo/<name>`, so that a second run starts the service and asks at once.
"""

import argparse
import csv
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
SEED = 7
RECIPE = "transfer-plus"
WORLD_SETTINGS = ("steps=200",)  # little is gained after that, and a demo should not take long
LOADER = "training.encoder:load_checkpoint"
READY_TIMEOUT_S = 60
STOP_TIMEOUT_S = 30

Profile = dict[str, Any]


class DemoError(Exception):
    """Something that the person at the terminal can mend; one line."""


# --- running the command lines ------------------------------------------------------------------


def run(*arguments: str | Path) -> None:
    """Run `python -m ARGUMENTS` to its end, its output on ours.

    Raises:
        DemoError: it failed; it has said why.
    """
    command = [sys.executable, "-m", *map(str, arguments)]
    print(f"$ python -m {' '.join(map(str, arguments))}", flush=True)
    status = subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode
    if status != 0:
        raise DemoError(f"{arguments[0]} ended with status {status}")


@dataclass(frozen=True)
class Steps:
    """Which steps are done, each with a stamp of what it was made from."""

    folder: Path

    def is_done(self, name: str, inputs: str) -> bool:
        """Whether the step was finished with the same inputs."""
        file = self.folder / f"{name}.done"
        return file.is_file() and file.read_text(encoding="utf-8") == inputs

    def done(self, name: str, inputs: str) -> None:
        """Remember that the step is finished."""
        (self.folder / f"{name}.done").write_text(inputs, encoding="utf-8")

    def undo(self, name: str) -> None:
        """Forget that the step was finished."""
        (self.folder / f"{name}.done").unlink(missing_ok=True)


def stamp(folder: Path) -> str:
    """Changes whenever a data set folder does: names, sizes and times of its files."""
    files = sorted(file for file in folder.iterdir() if file.is_file())
    return " ".join(f"{f.name}:{f.stat().st_size}:{f.stat().st_mtime_ns}" for f in files)


def code(*folders: str) -> str:
    """Changes whenever the sources do: what an older release made is made again."""
    digest = hashlib.sha256()
    root = Path(__file__).parent
    for file in sorted(file for folder in folders for file in (root / folder).rglob("*.py")):
        digest.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def make_world(steps: Steps, streamers: int) -> Path:
    """The simulated data set, written unless it is there."""
    data, inputs = steps.folder / "data", f"{streamers} {SEED} {code('training/world')}"
    if not steps.is_done("world", inputs) or not data.is_dir():
        shutil.rmtree(data, ignore_errors=True)
        size = ["--streamers", str(streamers), "--seed", str(SEED)]
        run("training", "world", "--out", data, *size)
        steps.done("world", inputs)
    return data


def build(steps: Steps, data: Path, settings: Sequence[str] = ()) -> str:
    """Train and export into the folder of the steps, unless it is done; what it was made from."""
    checkpoint, bundle = steps.folder / "checkpoint", steps.folder / "bundle"
    sources = code("training", "model_export")
    inputs = " ".join([RECIPE, str(SEED), *settings, sources, stamp(data)])
    if steps.is_done("bundle", inputs) and (bundle / "manifest.json").is_file():
        print(f"reusing {bundle}")
        return inputs
    if not steps.is_done("begun", inputs):  # otherwise an interrupted fit goes on where it was
        shutil.rmtree(checkpoint, ignore_errors=True)
        steps.done("begun", inputs)
    fit = ["--data", data, "--recipe", RECIPE, "--out", checkpoint, "--seed", str(SEED)]
    run("training", "fit", *fit, *(f"--set={setting}" for setting in settings))
    shutil.rmtree(bundle, ignore_errors=True)
    run("model_export", LOADER, "--checkpoint", checkpoint, "--out", bundle)
    steps.done("bundle", inputs)
    steps.undo("loaded")
    return inputs


# --- the service --------------------------------------------------------------------------------


def require_free_port(port: int) -> None:
    """Find out before the long steps.

    Raises:
        DemoError: something listens there.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            reason = f"port {port} can't be used ({error.strerror})"
            raise DemoError(f"{reason}; say another one: make demo PORT={port + 1}") from error


@dataclass(frozen=True)
class Service:
    """A service that answers at `url`."""

    url: str
    process: subprocess.Popen[bytes]

    def ask(self, method: str, path: str, body: object | None = None) -> Any:
        """The JSON answer to a request.

        Raises:
            DemoError: the service refused; with what it said.
        """
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")
            raise DemoError(f"{method} {path}: {error.code} {said}") from error

    def is_ready(self) -> bool:
        """Whether /readyz says yes."""
        try:
            with urllib.request.urlopen(self.url + "/readyz", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False


def own_environment() -> dict[str, str]:
    """The environment without settings of another service, whose store must not be written."""
    return {k: v for k, v in os.environ.items() if k != "REDIS_URL" and k[:9] != "STREAMER_"}


@contextmanager
def serving(bundle: Path, state: Path, port: int, log: Path) -> Iterator[Service]:
    """A running service, ready; ended by SIGTERM and waited for, so that its store ends as well.

    Raises:
        DemoError: it did not come up; with the end of its log.
    """
    command = [sys.executable, "-m", "service", "serve", "--bundle", str(bundle)]
    command += ["--data-dir", str(state), "--host", HOST, "--port", str(port)]
    with log.open("wb") as output:
        # In a session of its own, Ctrl-C reaches this process alone, which then ends the service.
        process = subprocess.Popen(
            command, stdout=output, stderr=output, start_new_session=True, env=own_environment()
        )
    service = Service(f"http://{HOST}:{port}", process)
    try:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not service.is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-10:])
                raise DemoError(f"the service did not become ready; {log} ends with:\n{tail}")
            time.sleep(0.1)
        yield service
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and SIGKILL if that is not obeyed; a second Ctrl-C doesn't cut it short."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    finally:
        signal.signal(signal.SIGINT, before)


# --- the data, for people -----------------------------------------------------------------------


def read_profiles(data: Path) -> dict[str, Profile]:
    """The profiles by id, in the order of the file; a DemoError when it isn't there."""
    file = data / "streamers.jsonl"
    if not file.is_file():
        raise DemoError(f"{file} is missing; DATA must be a data set folder with that file")
    with file.open(encoding="utf-8") as lines:
        profiles = [json.loads(line) for line in lines if line.strip()]
    return {profile["streamer_id"]: profile for profile in profiles}


def read_column(file: Path, key: str, value: str) -> dict[str, str]:
    """Two columns of a CSV file as a mapping; empty when there is no such file."""
    if not file.is_file():
        return {}
    with file.open(encoding="utf-8", newline="") as rows:
        return {row[key]: row[value] for row in csv.DictReader(rows)}


def shorten(text: str, width: int) -> str:
    """At most `width` characters on one line."""
    flat = " ".join(text.split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def describe(profile: Profile) -> str:
    """Name, bio and tags on one line; of real data without bios, the name and more tags."""
    bio, tags = profile.get("bio"), profile.get("tags", [])
    parts = [profile.get("name") or profile["streamer_id"], shorten(bio, 60) if bio else ""]
    parts.append(" ".join(f"#{tag}" for tag in tags[: 4 if bio else 8]))
    return "  ".join(part for part in parts if part)


def telling(profiles: dict[str, Profile], splits: dict[str, str], split: str) -> Profile:
    """A streamer of the split to ask about: one whose bio nobody shares, or who has many tags."""
    bios = Counter(profile.get("bio") for profile in profiles.values())

    def worth(profile: Profile) -> tuple[bool, int]:
        bio = profile.get("bio") or ""
        return bios[bio] == 1 and len(bio) >= 12, min(len(profile.get("tags", [])), 5)

    fitting = [p for p in profiles.values() if splits.get(p["streamer_id"], split) == split]
    return max(fitting or profiles.values(), key=worth)


# --- three questions ----------------------------------------------------------------------------


def show_similar(service: Service, profiles: dict[str, Profile], profile: Profile) -> None:
    """Ask who is like a streamer that is stored."""
    print(f"\n1. Who is like {describe(profile)}\n")
    body = {"positive": [{"streamer_id": profile["streamer_id"]}], "k": 5, "explain": True}
    for hit in service.ask("POST", "/v1/similar", body)["hits"]:
        print(f"   {hit['score']:.3f}  {describe(of(profiles, hit))}")
        print(f"          {reasons(hit)}")


def of(profiles: dict[str, Profile], found: dict[str, Any]) -> Profile:
    """The profile of a found streamer; its id alone when it was written since the demo loaded."""
    return profiles.get(found["streamer_id"], {"streamer_id": found["streamer_id"]})


def reasons(hit: dict[str, Any]) -> str:
    """Why a streamer was found, in words."""
    why = hit["reasons"] or {}
    parts = [f"{field}: {', '.join(values[:5])}" for field, values in why.get("shared", {}).items()]
    if why.get("content_similarity") is not None:
        parts.append(f"content cosine {why['content_similarity']:.2f}")
    return "shared " + "; ".join(parts) if parts else ""


def show_cold_start(service: Service, profiles: dict[str, Profile], profile: Profile) -> None:
    """Ask what a recommender should take a newcomer for."""
    content = {key: value for key, value in profile.items() if key != "streamer_id"}
    print(f"\n2. A newcomer, whom no one has watched yet: {describe(profile)}\n")
    answer = service.ask("POST", "/v1/cold-start", {"profile": content, "neighbours": 5})
    for neighbour in answer["neighbours"]:
        print(f"   weight {neighbour['weight']:.2f}  {describe(of(profiles, neighbour))}")
        voters = [
            of(profiles, {"streamer_id": voter}).get("name", voter)
            for voter in neighbour["via"]
            if voter != neighbour["streamer_id"]
        ]
        if voters:
            print(f"{'':15}watched by the audience of {', '.join(voters)}")
    predicted = answer["id_embedding"]
    if predicted:
        what = f"{len(predicted['vector'])} numbers in the space {predicted['space']!r}"
        print(f"   ID-embedding: {what}, confidence {predicted['confidence']:.2f}")
    if answer["fallback"]["used"]:
        print(f"   fallback: {answer['fallback']['reason']}")


def show_dedup(service: Service, profiles: dict[str, Profile], groups: dict[str, str]) -> None:
    """Ask which accounts of a list are copies; without known ones in the data, make two."""
    sizes = Counter(groups.values())
    wanted = [group for group, size in sizes.items() if 2 <= size <= 4][:3]
    copies = [profiles[i] for i, group in groups.items() if group in wanted]
    others = [p for p in profiles.values() if sizes[groups.get(p["streamer_id"], "")] < 2]
    if not copies:
        originals = sorted(others, key=lambda p: -len(p.get("tags", [])))[:2]
        copies = originals + [reuploaded(profile) for profile in originals]
    items = copies + [p for p in others if p not in copies][: 12 - len(copies)]
    items.sort(key=lambda p: p["streamer_id"])
    print(f"\n3. Which of these {len(items)} accounts are copies?\n")
    by_id = {item["streamer_id"]: item for item in items}
    body = {"ids": list(by_id)} if wanted else {"profiles": items}
    answer = service.ask("POST", "/v1/dedup", {**body, "mode": "clusters"})
    for cluster in answer["clusters"]:
        for member in cluster["members"]:
            i = member["streamer_id"]
            truth = f"  ({groups[i]} in truth)" if i in groups else ""
            print(f"   {member['score']:.3f}  {i}  {describe(by_id[i])}{truth}")
        print()
    found = f"{len(answer['clusters'])} groups above {answer['threshold']:.2f}"
    print(f"   {found}; {len(answer['unique'])} accounts stand alone")


def reuploaded(profile: Profile) -> Profile:
    """A copy as cheats make it: another id and name, the tags in another order, one left out."""
    tags = profile.get("tags", [])
    changed = {"name": f"{profile.get('name', 'the same')} (official)", "tags": tags[:0:-1]}
    return {**profile, **changed, "streamer_id": f"{profile['streamer_id']}-copy"}


# --- the command --------------------------------------------------------------------------------


def demo(args: argparse.Namespace) -> None:
    """Everything, in order."""
    started = time.monotonic()
    require_free_port(args.port)
    name = args.data.resolve().name if args.data else "world"
    folder: Path = args.build / name
    folder.mkdir(parents=True, exist_ok=True)
    steps = Steps(folder)
    data: Path = args.data or make_world(steps, args.streamers)
    profiles = read_profiles(data)
    inputs = build(steps, data, args.set or (() if args.data else WORLD_SETTINGS))
    state = folder / "state"
    loaded = steps.is_done("loaded", inputs) and state.is_dir()
    if not loaded:
        shutil.rmtree(state, ignore_errors=True)  # it may hold another model's vectors
    with serving(folder / "bundle", state, args.port, folder / "service.log") as service:
        if not loaded:
            run("service", "load", data, "--url", service.url)
            steps.done("loaded", inputs)
        splits = read_column(data / "splits.csv", "streamer_id", "split")
        groups = read_column(data / "duplicates.csv", "streamer_id", "group")
        alone = {i: profile for i, profile in profiles.items() if i not in groups}
        show_similar(service, profiles, telling(alone or profiles, splits, "train"))
        show_cold_start(service, profiles, telling(alone or profiles, splits, "test"))
        show_dedup(service, profiles, groups)
        print(f"\nAnswered {time.monotonic() - started:.0f} s after the start.")
        if not args.once:
            print(f"\nThe API, to try out: {service.url}/docs     (Ctrl-C ends the service)")
            stay(service, folder / "service.log")


def stay(service: Service, log: Path) -> None:
    """Wait for Ctrl-C; a DemoError when the service ends by itself."""
    try:
        status = service.process.wait()
    except KeyboardInterrupt:
        print("\nstopping")
        return
    raise DemoError(f"the service ended with status {status}; see {log}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 0 = all went well (Ctrl-C at the end included), 1 = failed, 130 = stopped."""
    parser = argparse.ArgumentParser(prog="demo.py", description=__doc__)
    parser.add_argument("--data", type=Path, help="a data set folder, instead of the simulated one")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--streamers", type=int, default=5000, help="size of the simulated world")
    parser.add_argument("--build", type=Path, default=Path("build/demo"), help="where to keep it")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for fit")
    parser.add_argument("--once", action="store_true", help="end after the answers")
    args = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
    try:
        demo(args)
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; the next run goes on from the last finished step", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
