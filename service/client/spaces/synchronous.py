"""Written by `generate.py` from `spaces/asynchronous.py`: change that, not this."""

# fmt: off

from collections.abc import Sequence
from pathlib import Path

from service.client.transport import Transport
from service.client.models import GenerationOut, OwnVectorOut, SpaceOut, UserErasedOut
from service.client.spaces import calls
from service.client.spaces.calls import HAND_OVER_S, SWITCH_S


class Spaces:
    """ID-embeddings that the recommender hands over, by generation."""

    def __init__(self, transport: Transport) -> None:
        """Ask by `transport`."""
        self._transport = transport

    def all(self, *, deadline_s: float | None = None) -> Sequence[SpaceOut]:
        """All spaces, with what was handed over."""
        return (self._transport.call(calls.spaces(), deadline_s)).spaces

    def get(self, space: str, *, deadline_s: float | None = None) -> SpaceOut:
        """A space: what is served, and what was handed over."""
        return self._transport.call(calls.space(space), deadline_s)

    def hand_over(
        self,
        space: str,
        generation: str,
        file: Path,
        *,
        promote: bool = False,
        force: bool = False,
        deadline_s: float = HAND_OVER_S,
    ) -> GenerationOut:
        """Hand over all vectors of a space, from a file; sent once, never again by itself.

        Args:
            space: its name.
            generation: a new name.
            file: of lines (.jsonl), a NumPy archive (.npz) or Parquet (.parquet).
            promote: serve it at once, if it passes its checks; else `Conflict`.
            force: although it fails them; needs the scope admin.
            deadline_s: of this call.

        Raises:
            ValueError: the file's name does not tell what it is.
            OSError: the file can't be read.
        """
        call = calls.hand_over(space, generation, file, promote, force)
        return self._transport.call(call, deadline_s, attempts=1)

    def promote(
        self,
        space: str,
        generation: str,
        *,
        force: bool = False,
        deadline_s: float = SWITCH_S,
    ) -> SpaceOut:
        """Serve a generation, on all replicas at once."""
        return self._transport.call(calls.promote(space, generation, force), deadline_s)

    def roll_back(self, space: str, *, deadline_s: float = SWITCH_S) -> SpaceOut:
        """Serve the generation that was served before."""
        return self._transport.call(calls.roll_back(space), deadline_s)

    def delete(self, space: str, generation: str, *, deadline_s: float | None = None) -> None:
        """Delete a generation that is not served; with the last one the space goes."""
        self._transport.call(calls.delete(space, generation), deadline_s)

    def erase_user(
        self, space: str, user_id: str, *, deadline_s: float = SWITCH_S
    ) -> UserErasedOut:
        """Erase a user from all generations of a space."""
        return self._transport.call(calls.erase_user(space, user_id), deadline_s)

    def own_vector(
        self, space: str, streamer_id: str, *, deadline_s: float | None = None
    ) -> OwnVectorOut:
        """Whether a streamer is established, and its vector."""
        return self._transport.call(calls.own_vector(space, streamer_id), deadline_s)
