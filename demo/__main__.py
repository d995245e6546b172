"""The whole path in one command: data, training, export, serving, loading, five answers.

It drives the command lines only, each in a process of its own, and keeps what they make under
`build/demo/<name>`, so that a second run starts the service and asks at once.
"""

import argparse
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from demo.duplicates import show_duplicates
from demo.errors import DemoError
from demo.examples import leave_examples
from demo.lists import show_list
from demo.profiles import read_column, read_profiles, telling
from demo.questions import show_cold_start, show_dedup, show_similar
from demo.serving import Service, require_free_port, serving
from demo.steps import LEAST_STREAMERS, Steps, build, make_world, run

# A demo should not take long, nor need a pretrained encoder: fewer steps and landmarks than the
# recipe has.
WORLD_SETTINGS = ("steps=100", "kernel_landmarks=1500", "text_tower=")


def demo(args: argparse.Namespace) -> None:
    """Everything, in order."""
    started = time.monotonic()
    require_free_port(args.port)
    name = args.data.resolve().name if args.data else "world"
    folder: Path = args.build / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"--build {args.build} can't be used: {error.strerror}"
        raise DemoError(f"{reason}; choose another folder") from error
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
        leave_examples(service, profiles)
        splits = read_column(data / "splits.csv", "streamer_id", "split")
        groups = read_column(data / "duplicates.csv", "streamer_id", "group")
        alone = {i: profile for i, profile in profiles.items() if i not in groups}
        show_similar(service, profiles, telling(alone or profiles, splits, "train"))
        show_cold_start(service, profiles, telling(alone or profiles, splits, "test"))
        show_dedup(service, profiles, groups)
        show_duplicates(service, profiles)
        show_list(service, telling(alone or profiles, splits, "train"))
        print(f"\nAnswered {time.monotonic() - started:.0f} s after the start.")
        if not args.once:
            print(f"\nThe console:         {service.url}/console/")
            print(f"The API, to try out: {service.url}/docs     (Ctrl-C ends the service)")
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
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--data", type=Path, help="a data set folder, instead of the simulated one")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--streamers", type=int, default=3000, help="size of the simulated world")
    parser.add_argument("--build", type=Path, default=Path("build/demo"), help="where to keep it")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for fit")
    parser.add_argument("--once", action="store_true", help="end after the answers")
    args = parser.parse_args(arguments)
    if args.streamers < LEAST_STREAMERS:
        parser.error(f"--streamers must be at least {LEAST_STREAMERS}, not {args.streamers}")
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
