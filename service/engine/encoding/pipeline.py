"""Profile in, vectors out: reading of pieces, towers, features, encoder."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from model_export.contract.features import Features
from model_export.contract.pieces import Piece, pieces_of
from model_export.contract.streamer import StreamerProfile
from service.engine.encoding.onnx_encoder import Encoded, tokens_of
from service.engine.encoding.profile_reader import Fingerprint, Reader, Thumbnail, ToRead
from service.engine.work.lanes import Lane
from service.engine.work.leisure import is_at_leisure
from service.errors import ServiceError
from service.store.base import Record

Encode = Callable[[Features], Awaitable[Encoded]]
EncodeMany = Callable[[Sequence[Features], Lane], Awaitable[list[Encoded]]]


@dataclass(frozen=True, eq=False)
class EncodedProfile:
    """A profile with its features, and its vectors where it has usable content.

    Attributes:
        profile: as it was given.
        features: what the featuriser made of it.
        encoded: its vectors; None without usable content.
        tower_vectors: what the towers made of its pieces, packed.
    """

    profile: StreamerProfile
    features: Features
    encoded: Encoded | None
    tower_vectors: bytes = b""


@dataclass(frozen=True, eq=False)
class Shown:
    """What version `version` of a stored streamer shows: its own pieces, and what was read of them.

    `thumbnails` are those of its pictures, `fingerprints` those of its sounds, by their source.
    """

    version: int
    pieces: Sequence[Piece]
    features: Features
    thumbnails: Mapping[str, Thumbnail]
    fingerprints: Mapping[str, Fingerprint]


class EncodingPipeline:
    """Encodes profiles with the towers and the encoder of one model; stores nothing."""

    def __init__(
        self, reader: Reader, encode: Encode, encode_many: EncodeMany, model_version: str
    ) -> None:
        """Encode what `reader` finds in a profile.

        Args:
            reader: from a profile to features.
            encode: one item, batched with others that come at the same time.
            encode_many: many items, in a lane of their own.
            model_version: of the bundle that all of these come from.
        """
        self._reader = reader
        self._encode = encode
        self._encode_many = encode_many
        self.model_version = model_version

    @property
    def has_towers(self) -> bool:
        """Whether the model reads single pieces (texts, pictures, sounds) with towers."""
        return self._reader.has_towers

    async def encode(self, item: ToRead) -> EncodedProfile:
        """Encode one profile.

        Raises:
            InvalidRequest: the model can't read a part of it.
            Unavailable: too much waits already, or an address can't be asked at the moment.
        """
        if is_at_leisure():
            (found,) = await self.encode_many([item])
            if isinstance(found, ServiceError):
                raise found
            return found
        read = await self._reader.read(item)
        encoded = await self._encode(read.features) if read.features.usable else None
        return EncodedProfile(item.profile, read.features, encoded, read.tower_vectors)

    async def encode_many(self, items: Sequence[ToRead]) -> list[EncodedProfile | ServiceError]:
        """Encode profiles, in order; in place of one that can't be read, what is wrong."""
        read = await self._reader.read_many(items)
        usable = [r.features for r in read if not isinstance(r, ServiceError) and r.features.usable]
        vectors = iter(await self.encode_features(usable, Lane.BULK))
        done: list[EncodedProfile | ServiceError] = []
        for item, r in zip(items, read, strict=True):
            if isinstance(r, ServiceError):
                done.append(r)
                continue
            encoded = next(vectors) if r.features.usable else None
            done.append(EncodedProfile(item.profile, r.features, encoded, r.tower_vectors))
        return done

    async def encode_features(self, usable: Sequence[Features], lane: Lane) -> list[Encoded]:
        """Encode features, all of them usable; those of a similar length together.

        Raises:
            Overloaded: too much waits already.
        """
        order = sorted(range(len(usable)), key=lambda i: tokens_of(usable[i]))
        encoded = await self._encode_many([usable[i] for i in order], lane)
        return [found for _, found in sorted(zip(order, encoded, strict=True), key=itemgetter(0))]

    def shown(self, record: Record, features: Features | None = None) -> Shown | None:
        """What a stored streamer shows; None where another model encoded it.

        Another model would have read it in another way. A profile may be large: call it in a
        thread.

        Args:
            record: of the streamer.
            features: of this version of it, where they are known already.
        """
        if record.model_version != self.model_version:
            return None
        pieces = pieces_of(StreamerProfile.model_validate_json(record.profile))
        if features is None:
            features = self._reader.as_stored(pieces, record.tower_vectors)
        thumbnails = self._reader.thumbnails(pieces, record.tower_vectors)
        fingerprints = self._reader.fingerprints(pieces, record.tower_vectors)
        return Shown(record.version, pieces, features, thumbnails, fingerprints)

    def features_of(self, pieces: Sequence[Piece]) -> Features:
        """Features of pieces by themselves; no tower runs.

        Raises:
            UnreadableContent: a vector was made for another model.
        """
        return self._reader.features_of(pieces)

    def thumbnails(self, item: EncodedProfile) -> Mapping[str, Thumbnail]:
        """Thumbnails of the pictures of a profile that was encoded, by their source."""
        return self._reader.thumbnails(pieces_of(item.profile), item.tower_vectors)

    def fingerprints(self, item: EncodedProfile) -> Mapping[str, Fingerprint]:
        """Prints of the sounds of a profile that was encoded, by their source."""
        return self._reader.fingerprints(pieces_of(item.profile), item.tower_vectors)
