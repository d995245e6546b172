"""Tells the audit log whom jobs write and read: every id, before the job reports it as done."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from service.features.jobs.runner import RunningJob, persist
from service.http.auth.audit import AuditLog


class JobRecord:
    """The entries of jobs in the audit log of this process."""

    def __init__(self, log: AuditLog) -> None:
        """Write to `log`."""
        self._log = log

    async def note(self, job: RunningJob, ids: Sequence[str]) -> None:
        """Write ids, in entries of at most `most_ids`, with the job and whose key started it.

        A job that is continued after a crash may tell a few ids a second time.

        Raises:
            AuditUnavailable: the log can't be written, and the settings do not go on without.
        """
        fields = {
            "kind": "job",
            "at": round(time.time(), 4),
            "key_id": job.job.key_id or job.input.get("key_id"),  # of an earlier release's
            "job_id": job.job.job_id,
            "action": job.job.kind,
        }
        most = self._log.most_ids
        entries: list[Mapping[str, Any]] = [
            fields | {"ids": list(ids[i : i + most])} for i in range(0, len(ids), most)
        ]

        async def write() -> None:
            given = entries.copy()
            entries.clear()  # from now on they wait in the log, also if this fails
            await self._log.write(given)

        if entries:
            await persist(write)
