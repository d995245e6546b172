"""Chooses the model that answers a live question, and draws questions for the shadow."""

import hashlib
import random
from collections.abc import Sequence

from starlette.types import Scope

from service.engine.work.lanes import Lanes
from service.features.models.comparing.open_models import OpenModel
from service.features.models.following import ModelFollower
from service.features.models.live.counts import LiveCounts
from service.features.models.live.keeping import ShadowReports
from service.features.models.live.shadowing import Shadowing
from service.features.models.records import Live
from service.features.similar.asking import SimilarQuery
from service.features.similar.live import LiveQuestions
from service.features.similar.service import Similar
from service.http.auth.callers import KEYLESS, Caller
from service.store.base import StreamerStore

_CLIENT_ID = b"x-client-id"
_CANARY = "streamer.canary"
_WAIT_MS = 100
"""The longest that a question waits until the canary's index has what the active one has."""


class LiveModels(LiveQuestions):
    """The models of a process, as live questions find them.

    Attributes:
        counts: of questions, by model.
        reports: of shadows.
    """

    def __init__(
        self,
        follower: ModelFollower,
        models: Sequence[OpenModel],
        reports: ShadowReports,
        store: StreamerStore,
        lanes: Lanes,
    ) -> None:
        """Follow what the store says.

        Args:
            follower: what this process holds.
            models: that are open, those that were opened last at the end.
            reports: of shadows.
            store: of the streamers that these name.
            lanes: where shadows are asked.
        """
        self.counts = LiveCounts()
        self.reports = reports
        self._follower = follower
        self._models = models
        self._shadow = Shadowing(
            models, lambda: follower.live, reports, store, lanes, follower.replica
        )

    def start(self) -> None:
        """Begin to ask shadows, on the running event loop."""
        self._shadow.start()

    async def stop(self) -> None:
        """Ask no more."""
        await self._shadow.stop()

    async def flush(self) -> None:
        """Add what this process has counted to the report of the shadow."""
        await self._shadow.flush()

    async def canary_for(self, scope: Scope, own: Similar) -> Similar | None:
        """What answers a caller in place of `own`; see `LiveQuestions.canary_for`."""
        # The short way may have asked already, and left the question to the framework's route.
        if _CANARY not in scope:
            scope[_CANARY] = await self._canary_for(scope, own)
        return scope[_CANARY]

    async def _canary_for(self, scope: Scope, own: Similar) -> Similar | None:
        live = self._follower.live
        if live is None or not live.canary_share or own.model_version != live.compared_with:
            return None
        if place_of(scope, live.model_version) >= live.canary_share:
            return None
        found = self._open(live)
        if found is None:
            self.counts.give_way("not_here")
            return None
        if not await found.follower.reaches(own.sequence, _WAIT_MS):
            self.counts.give_way("behind")
            return None
        return found.similar

    def could_not_answer(self) -> None:
        """Count it; see `LiveQuestions.could_not_answer`."""
        self.counts.give_way("error")

    def note(self, answered_by: Similar, hits: int, took_s: float) -> bool:
        """Count a question, and draw it or not; see `LiveQuestions.note`."""
        self.counts.note(answered_by.model_version, hits, took_s)
        live = self._follower.live
        return live is not None and random.random() < live.shadow_sample

    def sample(self, query: SimilarQuery, body_bytes: int | None) -> None:
        """Take a question for the shadow; see `LiveQuestions.sample`."""
        live = self._follower.live
        if live is not None:
            self._shadow.take(live, query, body_bytes)

    def _open(self, live: Live) -> OpenModel | None:
        """The canary, if it may answer here and lacks nothing."""
        name = live.model_version
        found = [each for each in self._models if each.model_version == name]
        if not found or not self._follower.is_indexed(name):
            return None
        return found[-1]


def place_of(scope: Scope, model_version: str) -> float:
    """Where a caller stands between 0 and 1: the same for a model on every replica, at any time.

    By `X-Client-Id`, else by the key; without keys by the address of the connection. Another model
    has other callers first.
    """
    name = _caller_name(scope)
    digest = hashlib.blake2b(model_version.encode() + b"\0" + name, digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _caller_name(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == _CLIENT_ID and value:
            return b"client\0" + value
    caller: Caller = scope["caller"]
    if caller.key_id != KEYLESS.key_id:
        return b"key\0" + caller.key_id.encode()
    client = scope.get("client")
    return b"address\0" + (client[0].encode() if client else b"")
