"""Erasure of a streamer: what can be removed is removed at once, what persists is named."""

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from service.errors import StreamerNotFound
from service.store.base import StreamerStore

Delete = Callable[[str, int | None], Awaitable[int]]
Forget = Callable[[str], Awaitable[int]]


@dataclass(frozen=True)
class Persisting:
    """What is left of a streamer.

    Attributes:
        where: a place.
        what: of the streamer.
        until: how long, or what ends it.
    """

    where: str
    what: str
    until: str


@dataclass(frozen=True)
class Erased:
    """What was done.

    Attributes:
        streamer_id: whose data.
        sequence: of the delete; None if it was not stored.
        log_entries: entries of the store's log with its vectors that were removed.
        outreach: records of outreach that it was taken out of.
        rewriting: whether the store has begun to rewrite its file without it.
        persists: what is left, and where.
    """

    streamer_id: str
    sequence: int | None
    log_entries: int
    outreach: int
    rewriting: bool
    persists: Sequence[Persisting]


@dataclass(frozen=True)
class Known:
    """What is known of the places where data stays.

    Attributes:
        is_established: whether the bundle lists a streamer; None where no bundle is known.
        pages_s: seconds for which answers in pages are kept.
        audit_days: days for which the audit log is kept.
        has_files: whether saved indexes and names of this replica are removed as well.
        may_have_milvus: whether vectors are in Milvus, or may be.
    """

    is_established: Callable[[str], bool] | None
    pages_s: float
    audit_days: float
    has_files: bool
    may_have_milvus: bool


class Erasure:
    """Erases streamers."""

    def __init__(
        self,
        store: StreamerStore,
        delete: Delete,
        drop: Callable[[str], Awaitable[None]],
        known: Known,
        forget_outreach: Forget,
        *erase_copies: Callable[[str], Awaitable[object]],
    ) -> None:
        """Erase from a store, and from the files of this replica.

        Args:
            store: of the streamers.
            delete: removes a record if it has a version; raises StreamerNotFound and
                VersionConflict.
            drop: removes what names a streamer beside its record, and where `known` has them the
                saved indexes and names of this replica.
            known: what else there is.
            forget_outreach: takes a streamer out of the records of who was written to.
            erase_copies: each removes what else has a streamer: saved lists and groups of
                duplicates that are no more its id, cases and watchlists copies of its profile,
                spaces its ID-embedding, the layout of the map its vector, reports of models its id.
        """
        self._store = store
        self._delete = delete
        self._drop = drop
        self._known = known
        self._forget_outreach = forget_outreach
        self._erase_copies = erase_copies

    async def erase(self, streamer_id: str, expected_version: int | None) -> Erased:
        """Remove a streamer, also one that was deleted before; repeating it does no harm.

        Ratings that name it go too, as an answer or as a seed.

        Raises:
            VersionConflict: it is not at `expected_version`.
            Unavailable: the store can't do it at the moment; what was done before stays done.
        """
        # One that is not stored may be in the log, and may be written again from now on.
        begins = (await self._store.position()).sequence + 1
        sequence: int | None = None
        with contextlib.suppress(StreamerNotFound):
            sequence = await self._delete(streamer_id, expected_version)
        before = sequence or begins
        for erase_copies in self._erase_copies:
            await erase_copies(streamer_id)
        removed = await self._store.forget(streamer_id, before)
        outreach = await self._forget_outreach(streamer_id)
        await self._drop(streamer_id)
        rewriting = await self._store.rewrite_files()
        return Erased(
            streamer_id,
            sequence,
            removed,
            outreach,
            rewriting,
            self._persisting(streamer_id, rewriting),
        )

    def _persisting(self, streamer_id: str, rewriting: bool) -> list[Persisting]:
        known = self._known
        found = [
            Persisting(
                "file of the store",
                "profile and vectors, as bytes that nothing reads",
                "the rewrite that has begun ends: seconds, minutes for millions of streamers"
                if rewriting
                else "the store rewrites its file; erase it again later to ask for that",
            ),
            Persisting(
                "dictionary of `compact`",
                "pieces that at least twenty stored accounts showed",
                "it stays",
            ),
            Persisting(
                "file of names",
                "pieces of name, tags and bio, which nothing reads",
                (
                    "this replica removes them: seconds, minutes for millions of streamers; others "
                    if known.has_files
                    else "replicas "
                )
                + "remove them when they merge their files, or without their folder `names`",
            ),
            Persisting(
                "other replicas" if known.has_files else "replicas",
                "vector, in memory and in their saved indexes",
                "in memory a second; in a saved index until the next one is saved",
            ),
            Persisting(
                "ANN segment of the index",
                "vector, without its id, as codes that no answer shows",
                "the next index is saved; graph and fast-scan kinds, and an index on a GPU, until "
                "the segment is built anew",
            ),
            Persisting(
                "memory of services",
                "ids in answers that are handed out in pages, vectors of recent pieces; its vector "
                "without its id, where the map was fitted on it",
                f"{known.pages_s:g} s after a page was asked for; pieces until others push them "
                "out, the map until another is fitted, or a restart",
            ),
            Persisting(
                "files of jobs",
                "profile, in results of exports and in uploads of imports",
                "their jobs are removed, STREAMER_JOBS__KEEP_S after their end; an import that "
                "has not ended may write it again",
            ),
            Persisting(
                "jobs",
                "id, in lines that an import refused, in what expansions of cases changed and in "
                "questions, which may have a profile",
                "they are removed, STREAMER_JOBS__KEEP_S after their end",
            ),
            Persisting(
                "backups",
                "profile and vectors",
                "you delete them; after a restore, erase it again",
            ),
            Persisting(
                "copies that a salvage or a restore left (`appendonlydir.damaged-...`, "
                "`store.before-...`)",
                "profile and vectors",
                "you delete them",
            ),
            Persisting(
                "files that `encode` wrote, and its rejected rows",
                "profile and vectors",
                "you delete them",
            ),
            Persisting(
                "seeds of lists and watchlists that were given as a profile or a vector",
                "what was given, which has no id",
                "you change or delete the list; what the last ten runs of a list were asked, until "
                "ten newer ones",
            ),
            Persisting(
                "judgements, events",
                "id",
                "you take the judgement back; 100,000 newer events of the kind",
            ),
            Persisting(
                "messages of webhooks",
                "id, in what was sent or was given up",
                "100 newer ones that arrived, 1,000 newer ones that were given up, of each webhook",
            ),
            Persisting("cases", "id, with what was decided and its edges", "you delete the case"),
            Persisting(
                "spaces",
                "ID-embedding in the memory of services and in their files without a name, which "
                "no answer shows",
                "other generations are served, or a restart; a hand-over that has it brings it "
                "back, so leave it out there",
            ),
            Persisting(
                "watchlists, alerts",
                "id, with the channels that matched and a hash of the profile",
                "you change the list; alerts stay",
            ),
            Persisting(
                "audit log", "id", f"{known.audit_days:g} days after the last entry of the file"
            ),
        ]
        if known.may_have_milvus:
            found.append(
                Persisting(
                    "Milvus, with every model that is kept",
                    "id, embedding, tokens and numbers of facets",
                    "seconds, once the process that writes there has read the delete; in a cluster "
                    "that is down, and of a kept model whose bundle no replica has, until it is "
                    "back or the model is retired; in files of Milvus until it compacts",
                )
            )
        if known.is_established is None or known.is_established(streamer_id):
            is_known = known.is_established is not None
            found.append(
                Persisting(
                    "bundle" if is_known else "bundle, if it lists this streamer",
                    "id, ID-embedding and shared audience, in the list of the established",
                    "a bundle is served that was trained without it",
                )
            )
        return found
