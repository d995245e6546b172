"""Spaces: what was handed over, what of it is served, and the switch from one to another."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from service.engine.spaces.active import ActiveSpaces, ServedGeneration
from service.engine.spaces.established import OwnVector, own_vector
from service.engine.spaces.generation import Generation
from service.engine.work.lanes import Lanes
from service.errors import GenerationInUse, HandOverUnderWay, NotReady
from service.features.spaces.checking import Before
from service.features.spaces.erasing import erase_row, erase_streamer
from service.features.spaces.following import POLL_S, SpaceFollower, prepared_for_s
from service.features.spaces.graduation import Graduations
from service.features.spaces.patient_work import in_a_thread
from service.features.spaces.preparing import Preparation, check_prepared, superseded
from service.features.spaces.receiving import Form, Receiver
from service.features.spaces.records import (
    contended,
    generation_of,
    no_space,
    previous_of,
    promotable,
    promoted,
)
from service.settings.spaces import Spaces as Settings
from service.store.events import NewEvent
from service.store.once import Once
from service.store.spaces import (
    ErasedRow,
    GenerationRecord,
    SpaceChange,
    SpaceRecord,
    SpaceStore,
)

_TRIES = 20
BundleSpace = Callable[[str], Before | None]
"""What the bundle itself knows of a space; None of a space that it does not know."""


@dataclass(frozen=True)
class ShownSpace:
    """A space as it is told.

    Attributes:
        record: what the store says.
        serving: name of the generation that this replica serves; None while it serves none.
        problem: why this replica can't load what it should serve.
    """

    record: SpaceRecord
    serving: str | None
    problem: str | None


class Spaces:
    """Takes hand-overs, and switches what is served on all replicas at once."""

    def __init__(
        self,
        store: SpaceStore,
        receiver: Receiver,
        follower: SpaceFollower,
        active: ActiveSpaces,
        lanes: Lanes,
        settings: Settings,
        bundle_space: BundleSpace,
        graduations: Graduations,
    ) -> None:
        """Keep spaces in `store`.

        Args:
            store: of the spaces.
            receiver: of hand-overs.
            follower: keeps `active` equal to the store.
            active: what this replica serves.
            lanes: where work is done.
            settings: of spaces.
            bundle_space: what the bundle knows of a space.
            graduations: tells of streamers that become established.
        """
        self.active = active
        self._store = store
        self._receiver = receiver
        self._follower = follower
        self._lanes = lanes
        self._settings = settings
        self._bundle_space = bundle_space
        self._graduations = graduations
        self._preparation = Preparation(store, follower, settings.promote_timeout_s)

    async def hand_over(
        self, space: str, generation: str, parts: AsyncIterator[bytes], form: Form, key_id: str
    ) -> GenerationRecord:
        """Store a generation; it is not served yet. See `Receiver.receive`."""

        async def before() -> Before | None:
            return await self._before(space)

        return await self._receiver.receive(space, generation, parts, form, key_id, before)

    async def all(self) -> list[ShownSpace]:
        """All spaces, by name."""
        found = await self._store.all()
        return [self._shown(SpaceRecord.of_json(found[name])) for name in sorted(found)]

    async def get(self, space: str) -> ShownSpace:
        """A space.

        Raises:
            SpaceNotFound: there is none of this name.
        """
        return self._shown((await self._read(space))[1])

    def own(self, space: str, streamer_id: str) -> tuple[ServedGeneration, OwnVector | None]:
        """What is served of a space, and what that has of a streamer.

        Raises:
            SpaceNotFound: nothing of it is served.
            NotReady: what is served is not in memory here yet.
        """
        served = self.active.get(space)
        if served is None:
            if space in self.active.expected():
                raise NotReady(f"what is served of the space {space!r} is being loaded", 5)
            raise no_space(space, self.active.names(), "served")
        return served, own_vector(served, streamer_id, self._settings.min_interactions)

    async def promote(
        self, space: str, generation: str, *, force: bool = False, once: Once | None = None
    ) -> ShownSpace:
        """Serve a generation, on all replicas at once; another promotion under way is given up.

        Every replica has it in memory before any of them serves it.

        Args:
            space: of which.
            generation: its name.
            force: though it failed its checks.
            once: names the request: sent again, it would take back what was promoted since.

        Raises:
            IdempotencyKeyReused: another request has the name of this one.
            SpaceNotFound, GenerationNotFound: there is none.
            GenerationRefused: it failed its checks, and `force` was not asked for.
            HandOverUnderWay: another one is being promoted since.
            NotReady: this replica can't load it.
            StoreUnavailable: the store does not answer.
        """
        _, record = await self._read(space)
        if once is not None and await self._store.was_done(once):  # looked at after the record
            return await self.get(space)
        chosen = promotable(record, generation, force=force)
        is_served = record.served[-1:] == [generation]
        if not is_served:
            chosen = await self._prepare(space, generation, force=force)

        def serve(known: SpaceRecord) -> SpaceRecord:
            promotable(known, generation, force=force)
            if known.active is not None and known.active.chunks_id == chosen.chunks_id:
                # Perhaps promoted by another request meanwhile.
                return known if known.preparing is None else replace(known, preparing=None)
            if is_served:
                raise superseded(space, generation)
            check_prepared(known, chosen)
            served = [name for name in known.served if name != generation]
            return promoted(known, [*served, generation], forced=force)

        await self._switch(space, serve, is_news=True, once=once)
        return await self.get(space)

    async def roll_back(self, space: str, once: Once | None = None) -> ShownSpace:
        """Serve the generation that was served before.

        Args:
            space: of which.
            once: names the request: sent again, it would go back one more.

        Raises:
            IdempotencyKeyReused: another request has the name of this one.
            SpaceNotFound: there is no such space.
            NothingBefore: none was served before, or it is not kept any more.
            HandOverUnderWay: another one is being promoted since, or was.
            NotReady: this replica can't load it.
            StoreUnavailable: the store does not answer.
        """
        _, record = await self._read(space)
        if once is not None and await self._store.was_done(once):  # looked at after the record
            return await self.get(space)
        previous, left = previous_of(record), record.served[-1]
        await self._prepare(space, previous.generation, force=True)

        def serve(known: SpaceRecord) -> SpaceRecord:
            if known.served[-1:] != [left]:  # whoever asks again would go back from there
                now = f"{known.served[-1]!r}" if known.served else "none"
                raise HandOverUnderWay(
                    f"generation {left!r} of {space!r} was to be left, and {now} is served since, "
                    "by another request: roll back again if that one is to be left too"
                )
            check_prepared(known, previous)
            if known.served[-2:-1] != [previous.generation]:
                raise superseded(space, previous.generation)
            return promoted(known, known.served[:-1], forced=False)

        await self._switch(space, serve, is_news=False, once=once)
        return await self.get(space)

    async def delete(self, space: str, generation: str) -> None:
        """Remove a generation; with its last one the space goes.

        Raises:
            SpaceNotFound, GenerationNotFound: there is none.
            GenerationInUse: it is served, and there are others.
            StoreUnavailable: the store does not answer.
        """
        for _ in range(_TRIES):
            text, known = await self._read(space)
            record = generation_of(known, generation)
            if known.served[-1:] == [generation] and len(known.generations) > 1:
                raise GenerationInUse(
                    f"generation {generation!r} of {space!r} is served: promote another one, or "
                    "roll back, first"
                )
            after = replace(
                known,
                generations=[g for g in known.generations if g is not record],
                served=[name for name in known.served if name != generation],
                preparing=None if known.preparing == generation else known.preparing,
            )
            new = after.to_json() if after.generations else b""
            change = SpaceChange(space, text, new, drop=[record.chunks_id])
            if await self._store.change(change):
                await self._follower.refresh()
                return
        raise contended(space)

    async def erase_user(self, space: str, user_id: str) -> int:
        """Remove a user from all generations of a space; from how many.

        Raises:
            SpaceNotFound: there is no such space.
            StoreUnavailable: the store does not answer; asked again, it goes on.
        """
        row = ErasedRow("user", user_id)
        count = await erase_row(self._store, space, row, partial(in_a_thread, self._lanes))
        await self._read(space)  # not before: its first generation may be being received
        await self._follower.refresh()
        return count

    async def erase_streamer(self, streamer_id: str) -> int:
        """Remove a streamer's vector from all generations of all spaces; from how many.

        Raises:
            StoreUnavailable: the store does not answer; asked again, it goes on.
        """
        in_thread = partial(in_a_thread, self._lanes)
        count = await erase_streamer(self._store, streamer_id, in_thread)
        await self._follower.refresh()
        return count

    def _shown(self, record: SpaceRecord) -> ShownSpace:
        served, active = self.active.get(record.space), record.active
        return ShownSpace(
            record,
            None if served is None else served.generation.generation,
            None if active is None else self._follower.problems.get(active.chunks_id),
        )

    async def _read(self, space: str) -> tuple[bytes, SpaceRecord]:
        text = await self._store.get(space)
        if not text:
            raise no_space(space, sorted(await self._store.all()), "known")
        return text, SpaceRecord.of_json(text)

    async def _before(self, space: str) -> Before | None:
        """What a hand-over is compared with: what is served, or what the bundle knows."""
        text = await self._store.get(space)
        record = SpaceRecord.of_json(text).active if text else None
        if record is None:
            return self._bundle_space(space)
        await self._preparation.here(record.chunks_id)
        held = self._follower.holds(record.chunks_id)
        if held is None:
            raise NotReady(
                f"generation {record.generation!r} of {space!r} is still being loaded, and a new "
                "one is compared with it; try again",
                5,
            )
        generation = held.generation
        name = f"generation {record.generation!r}"
        return Before(
            name,
            generation.streamer_ids,
            generation.vectors,
            generation.user_ids,
            generation.user_vectors,
        )

    async def _prepare(self, space: str, generation: str, *, force: bool) -> GenerationRecord:
        """Have every replica load a generation, which is returned when they have, or in time.

        Raises:
            HandOverUnderWay: another one is being promoted since.
            NotReady: this replica can't load it.
        """

        def prepare(known: SpaceRecord) -> SpaceRecord:
            promotable(known, generation, force=force)
            until = time.time() + prepared_for_s(self._settings.promote_timeout_s)
            return replace(known, preparing=generation, preparing_until=until)

        after = await self._change(space, prepare)
        await self._follower.refresh()
        prepared = generation_of(after, generation)
        await self._preparation.everywhere(space, prepared)
        return prepared

    async def _switch(
        self,
        space: str,
        serve: Callable[[SpaceRecord], SpaceRecord],
        *,
        is_news: bool,
        once: Once | None = None,
    ) -> None:
        """Move the pointer, and wait until this replica and those that poll have followed."""
        compared: tuple[Generation | None, Generation] | None = None
        graduates: Mapping[str, NewEvent] = {}
        for _ in range(_TRIES):
            text, known = await self._read(space)
            if once is not None and await self._store.was_done(once):  # it came twice at once
                return
            after = serve(known)
            if after is known and once is None:
                await self._follower.refresh()
                return
            events: list[NewEvent] = []
            if after.served != known.served:
                new = generation_of(after, after.served[-1])
                held = self._follower.holds(new.chunks_id)
                if held is None:
                    what = f"generation {new.generation!r} of {space!r}"
                    raise NotReady(f"{what} is not in memory", 5)
                before = self.active.get(space)
                pair = before and before.generation, held.generation
                if is_news and pair != compared:  # it takes long, and others erase rows meanwhile
                    graduates, compared = await self._graduations.between(before, held), pair
                    held = self._follower.holds(new.chunks_id) or held
                events = [e for name, e in graduates.items() if name not in held.erased_streamers]
            change = SpaceChange(space, text, after.to_json(), events=events, once=once)
            if await self._store.change(change):
                await self._follower.refresh()
                await asyncio.sleep(POLL_S)
                return
        raise contended(space)

    async def _change(self, space: str, make: Callable[[SpaceRecord], SpaceRecord]) -> SpaceRecord:
        for _ in range(_TRIES):
            text, known = await self._read(space)
            after = make(known)
            if await self._store.change(SpaceChange(space, text, after.to_json())):
                return after
        raise contended(space)
