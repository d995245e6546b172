"""The use-cases behind `/v1/lists`: lists of questions, saved ones, and what they held."""

import asyncio
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from service.engine.work.lanes import Lanes
from service.errors import FieldError, InvalidRequest, ListNotFound
from service.features.lists.building import Excluded, ListBuilder
from service.features.lists.formats.kept import bare, new_of, packed, unpacked
from service.features.lists.rows import Before, BuiltList, Provenance
from service.features.lists.saved import Run, SavedList, SavedLists
from service.features.lists.schemas import ListQuestionIn, RunIn
from service.features.outreach.service import Outreach
from service.store.base import StreamerStore

_AT_ONCE = 1000
"""Streamers that the store is asked for together."""


class Asker(NamedTuple):
    """Who asks, by what request.

    Attributes:
        key_id: of the caller's key.
        key_name: likewise.
        request_id: of the request; a run that is made again by the same one is kept once.
    """

    key_id: str
    key_name: str
    request_id: str


class Lists:
    """Makes lists, and keeps questions and what was answered to them."""

    def __init__(
        self,
        builder: ListBuilder,
        saved: SavedLists,
        outreach: Outreach,
        streamers: StreamerStore,
        lanes: Lanes,
    ) -> None:
        """Make lists.

        Args:
            builder: makes them.
            saved: questions, and whom lists of them held.
            outreach: whom it names is left out.
            streamers: who is stored.
            lanes: where those who are left out are gone through.
        """
        self._lanes = lanes
        self._streamers = streamers
        self._builder = builder
        self._outreach = outreach
        self.saved = saved

    async def check(self, question: ListQuestionIn) -> None:
        """Refuse at once what a job would refuse later; raises as `preview`."""
        await self._builder.ready(question, await self._excluded(question))

    async def preview(self, question: ListQuestionIn, by: Asker) -> tuple[BuiltList, Provenance]:
        """The list of a question, of which nothing is kept.

        Raises:
            StreamerNotFound: names every seed that is not stored.
            InvalidRequest: the question can't be answered as it is.
            PrecisionNotPromised: the model's calibration can't promise it.
            ListNotFound: there is no list of which members are to be left out.
            NotYetVisible, NotReady, StoreUnavailable, Overloaded: at the moment.
        """
        asked_at = time.time()
        built = await self._builder.build(question, await self._excluded(question))
        return built, Provenance(asked_at, *by)

    async def run(self, saved: SavedList, how: RunIn, by: Asker) -> tuple[BuiltList, Provenance]:
        """The list of a saved question; it is kept as its last run.

        Raises:
            ListNotFound: the run to compare with is not kept, or the list was deleted meanwhile.
            ServiceError: as `preview`.
        """
        asked_at = time.time()
        question = question_of(saved, how)
        named = await self._stored([*dict.fromkeys([*seeds_of(question), *question.exclude.ids])])
        repeated = by.key_id, by.request_id
        before = await self.saved.held(saved, how.new_since, repeated)
        ids = None if before is None else frozenset(before[1])
        excluded = await self._excluded(question)
        built = await self._builder.build(question, excluded, Before(ids, how.new_only))
        held = await self._stored([row.streamer_id for row in built.held])
        previous = None if before is None else before[0].run
        told = await self._lanes.run_in_slices(packed(built, held, previous))
        summary = built.summary
        made = Run(
            0,
            asked_at,
            *by,
            rows=len(held),
            new=built.new,
            model_version=summary["model_version"],
            index_sequence=summary["index_sequence"],
        )
        made = await self.saved.add(saved, made, held, told)
        # An erasure may have looked before the run was kept, and who asked may leave before this.
        named += held + [one for row in built.held for one in row.copies]
        looking = asyncio.ensure_future(self._take_out_gone(saved, made, named))
        await asyncio.shield(looking)
        return built, Provenance(asked_at, *by, saved.name, made.run, previous)

    async def kept(
        self, saved: SavedList, run: Run, held: Sequence[str], new_only: bool
    ) -> tuple[BuiltList, Provenance]:
        """A kept run as the list that it told, of everybody whom it holds.

        Args:
            saved: the list.
            run: one of its runs that is kept.
            held: whom that holds, by rank.
            new_only: only rows that the run before did not have.

        Raises:
            ListNotFound: the run is not kept any more.
            InvalidRequest: `new_only`, and who was new is not kept.
            StoreUnavailable, Overloaded: at the moment.
        """
        document = await self.saved.told(saved, run.run)
        by = run.at, run.key_id, run.key_name, run.request_id, saved.name, run.run
        if document is None:
            await self.saved.held(saved, run.run)  # raises if a later run took its place meanwhile
            if new_only:
                detail = f"can't be true: of run {run.run} only whom it held is kept"
                raise InvalidRequest.of_parameter("new_only", detail)
            question = question_of(saved, RunIn())
            built = bare(question, held, run.model_version, run.index_sequence)
            return built, Provenance(*by)
        built, previous = await self._lanes.run_in_slices(unpacked(document, held))
        return new_of(built) if new_only else built, Provenance(*by, previous)

    async def _take_out_gone(self, saved: SavedList, run: Run, named: Sequence[str]) -> None:
        named = [*dict.fromkeys(named)]
        stored = set(await self._stored(named))
        if gone := [one for one in named if one not in stored]:
            await self.saved.take_out(saved, run, gone)

    async def _stored(self, ids: Sequence[str]) -> list[str]:
        """Those who are stored, in their order."""
        found: list[str] = []
        for start in range(0, len(ids), _AT_ONCE):
            part = ids[start : start + _AT_ONCE]
            known = await self._streamers.digests(part)
            found += [one for one, digest in zip(part, known, strict=True) if digest is not None]
        return found

    async def _excluded(self, question: ListQuestionIn) -> Excluded:
        """Everybody who is left out, beside the seeds: there may be millions."""
        wanted = question.exclude
        parts: list[Iterable[Sequence[str]]] = [[wanted.ids]]
        warnings: list[str] = []
        if wanted.held_by is not None:
            try:
                kept = await self.saved.get(wanted.held_by)
            except ListNotFound as error:
                pointed = FieldError("/exclude/list", error.detail)
                raise ListNotFound(error.detail, [pointed]) from error
            held = await self.saved.held(kept, None)
            if held is None:
                warnings.append(
                    f"exclude.list: {kept.name!r} has no run yet, so it excludes nobody"
                )
            else:
                parts.append([held[1]])
        if wanted.outreach_since is not None:
            parts.append(await self._outreach.written_to(wanted.outreach_since))

        def together() -> Generator[None, None, set[str]]:
            found = set[str]()
            for ids in chain.from_iterable(parts):
                found.update(ids)
                yield
            return found

        return Excluded(await self._lanes.run_in_slices(together()), warnings)


def question_of(saved: SavedList, how: RunIn) -> ListQuestionIn:
    """The question of a saved list, as a run asks it."""
    fields: Mapping[str, Any] = saved.question
    if how.language is not None:
        fields = {**fields, "language": how.language}
    if how.after_sequence > fields.get("after_sequence", 0):
        fields = {**fields, "after_sequence": how.after_sequence}
    return ListQuestionIn.model_validate(fields)


def seeds_of(question: ListQuestionIn) -> Sequence[str]:
    """Ids of the seeds that are stored streamers."""
    seeds = (*question.positive, *question.negative)
    return [seed.streamer_id for seed in seeds if seed.streamer_id is not None]
