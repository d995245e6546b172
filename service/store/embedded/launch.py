"""Becomes the store: run as a script in a fresh interpreter, never imported.

    python -I -S launch.py PARENT_PID BINARY [ARGUMENT ...]

What has to happen between fork and exec happens here rather than in a `preexec_fn`, which may
deadlock in a process with threads. Descriptors that the parent passed (the folder's lock) and
signals that Python ignores (SIGXFSZ: a file over its limit is then an error, not a crash) stay so.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def become(parent_pid: int, command: list[str]) -> None:
    """Ask the kernel for a SIGTERM when the parent dies, then turn into `command`.

    Raises:
        OSError: the kernel refused, or `command[0]` can't be executed.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_pid:
        sys.exit("the service ended before its store began")  # no signal would ever come
    os.umask(0o077)
    os.execv(command[0], command)


if __name__ == "__main__":
    become(int(sys.argv[1]), sys.argv[2:])
