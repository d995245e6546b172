"""Memory usage of this process."""

from pathlib import Path


def peak_rss_mib() -> float:
    """Peak resident memory of this process, in MiB.

    Read from `/proc`, since `getrusage` includes the memory of the parent at the time of the fork.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024
