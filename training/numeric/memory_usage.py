"""What this process takes of the machine."""

from pathlib import Path


def peak_rss_mib() -> float:
    """The largest resident memory of this process so far, in MiB.

    From `/proc`: `getrusage` would count what the parent had when it started this process.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024
