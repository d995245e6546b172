"""Times that the supervisor of the embedded store waits."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """How long the supervisor waits, in seconds.

    Attributes:
        lock_s: for a predecessor to let go of the folder.
        start_s: for a store that starts to say anything, be it that it still reads its log.
        stop_s: for the store to end in order, before it is killed.
        first_restart_s: before the first restart; doubled for each store that dies soon after.
        longest_restart_s: at most so long.
        steady_s: a store that ran so long did not die "soon".
        watch_s: between two looks at the store and its disk.
        answer_s: for an answer at such a look; a store that takes longer is silent, since the look
            began.
        first_full_s: read-only after the store could not write; doubled each time that it tries
            again in vain.
        longest_full_s: at most so long.
    """

    lock_s: float = 5.0
    start_s: float = 120.0
    stop_s: float = 30.0
    first_restart_s: float = 0.05
    longest_restart_s: float = 1.0
    steady_s: float = 10.0
    watch_s: float = 1.0
    answer_s: float = 2.0
    first_full_s: float = 2.0
    longest_full_s: float = 60.0
