"""Settings of who may ask, how often, and what is written down of it."""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from service.maxima import MOST_UNITS
from service.scopes import LimitedScope, Role, Scope
from service.settings.groups import MIB, Group
from service.settings.types import Algorithm, ByComma

Units = Annotated[int, Field(ge=0, le=MOST_UNITS)]


class RateLimits(Group):
    """Units of each scope that an API key may spend in `window_s` seconds; 0 = no limit.

    [Security](security.md#rate-limits) says what a request costs. The scope `admin` has no limit,
    and neither has a service without keys.
    """

    window_s: Annotated[int, Field(ge=1, le=86_400)] = 60
    """Seconds in which a limit that is used up is whole again. All services on one store should
    have the same."""
    streamers_read: Units = 60_000
    """Of `streamers:read`."""
    streamers_write: Units = 60_000
    """Of `streamers:write`."""
    search: Units = 120_000
    """Of `search`."""
    explain: Units = 12_000
    """Of `explain`: hits that are explained."""
    coldstart: Units = 60_000
    """Of `coldstart`."""
    spaces_write: Units = 60_000
    """Of `spaces:write`."""
    duplicates: Units = 300_000
    """Of `duplicates`."""
    cases: Units = 60_000
    """Of `cases`."""
    embeddings_read: Units = 60_000
    """Of `embeddings:read`."""

    def of(self, scope: LimitedScope) -> int:
        """Units of a scope."""
        return getattr(self, scope.replace(":", "_"))


class Audit(Group):
    """The audit log: who asked or changed what, in `audit/` below the data folder."""

    enabled: bool = True
    """Write it. Turned off, nothing is written, and the files that are there stay."""
    on_failure: Literal["refuse", "continue"] = "refuse"
    """What becomes of writes, exports, changes of keys and answers with vectors while the files
    can't be written: `refuse` with 503, or `continue` without. Questions are answered either way,
    and their entries wait; `/readyz` names it."""
    sync: bool = False
    """Have these entries on the disk before the answer is sent (fdatasync), not only with the
    operating system. Without, they survive the end of the process, not that of the machine."""
    keep_days: Annotated[float, Field(gt=0)] = 180
    """Days for which a file is kept after its last entry."""
    keep_bytes: Annotated[int, Field(ge=MIB)] = 10 << 30
    """Most bytes of all files; beyond, the oldest are removed before their time."""
    file_bytes: Annotated[int, Field(ge=1024)] = 64 * MIB
    """Size at which another file is begun."""
    file_hours: Annotated[float, Field(gt=0)] = 24
    """Age at which another file is begun."""
    anchor_s: Annotated[float, Field(gt=0)] = 10
    """Seconds between two anchors of the hash chain in the store."""
    ids: Annotated[int, Field(ge=1, le=1000)] = 50
    """Most ids of one entry; of more, the number is told. Streamers that were written, or read by
    an export, are all named, in several entries."""
    refusals_per_s: Annotated[float, Field(gt=0)] = 10
    """Refused requests (401, 403, 421, 429) that have an entry of their own, a second, and ten
    times as many at once; beyond, they are counted by status and route every 10 seconds."""


class Oidc(Group):
    """Access tokens (JWT) of an identity provider beside keys; off while `issuer` is not set."""

    issuer: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    """What `iss` of a token has to be. Needs `audience`, `jwks`, and the extra `oidc`."""
    audience: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    """What `aud` of a token has to have: the name of this service at the provider."""
    jwks: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    """The provider's public keys: a file, or a URL with https (http on this machine)."""
    algorithms: Annotated[tuple[Algorithm, ...], *ByComma, Field(min_length=1)] = ("RS256", "ES256")
    """Signatures that are taken, by comma."""
    claim: Annotated[str, Field(min_length=1, max_length=200)] = "scope"
    """Claim that tells what the caller may: words in a text, or a list of them."""
    grants: dict[str, Role | Scope] = {}  # noqa: RUF012 - copied by pydantic
    """Role or scope for each value of the claim, as JSON: `{"team-reco": "recommender"}`. A value
    that is not listed grants nothing."""
    leeway_s: Annotated[int, Field(ge=0, le=120)] = 30
    """By how many seconds the clocks may differ."""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.issuer is not None and (self.audience is None or self.jwks is None):
            raise ValueError("with an issuer, audience and jwks are needed too; set both")
        if self.jwks is not None and self.jwks.startswith("http://"):
            host = (urlsplit(self.jwks).hostname or "").lower()
            if host not in ("localhost", "127.0.0.1", "::1"):
                raise ValueError("jwks from another machine needs https://")
        return self
