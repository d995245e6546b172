"""Errors of jobs."""

from service.errors.base import RequestError, Unavailable


class JobNotFound(RequestError):
    """There is no such job, or it finished so long ago that it is no longer kept."""

    status, code, title = 404, "job_not_found", "Unknown job"
    example = (
        "job '019a1b2c3d4e5f60718293a4b5c6' is not known; finished jobs are kept for 24 h at most"
    )


class JobStateConflict(RequestError):
    """The job is in a state in which that can't be done; `detail` names both."""

    status, code, title = 409, "job_state_conflict", "The job's state does not allow it"
    example = "the job is running: only a failed or cancelled one can be retried"


class ResultNotHere(RequestError):
    """The job's result is a file of another replica, or the file is lost."""

    status, code, title = 409, "result_not_here", "The result is not on this replica"
    example = "the result lies in the spool 'host-1-0f3c9a1b', and this replica has another one"


class InputChanged(RequestError):
    """What a job reads was changed, replaced or removed while it ran; retry it to begin anew."""

    status, code, title = 409, "input_changed", "The input of the job changed"
    example = "/path: 'new.jsonl' was changed while it was read; retry the job to begin anew"


class JobRestored(RequestError):
    """The job was queued or running when the backup was made from which the store was restored.

    Nobody runs it. Retried, it goes on where it stood then, if its files are still there.
    """

    status, code, title = 409, "job_restored", "The job is of before a restore"
    example = (
        "the store was restored from a backup that was made while the job was running; retry it to "
        "go on where it stood then"
    )


class RangeNotSatisfiable(RequestError):
    """The file ends before the part that `Range` asks for; `Content-Range` has its length."""

    status, code, title = 416, "range_not_satisfiable", "The file has no such part"
    example = "the file has 2882841 bytes, and 'bytes=99999999-' begins behind them"


class SpoolFull(Unavailable):
    """The files of jobs take all the room that they may have; older ones go in time."""

    status, code, title = 507, "spool_full", "There is no room for files of jobs"
    example = (
        "the files of jobs may take 17179869184 bytes in all; try again when older ones are gone"
    )


class TooManyJobs(Unavailable):
    """So many jobs are queued or running that no more are taken; try again after `Retry-After`."""

    code, title = "too_many_jobs", "Too many jobs"
    example = "100 jobs are queued or running; try again later"


class JobGivenUp(Unavailable):
    """Whoever ran the job died or lost the store, time and again; see their logs, then retry it."""

    code, title = "job_given_up", "The job is given up"
    example = "5 processes that ran this job died or lost the store; see their logs, then retry it"
