"""Settings of the service: from arguments first, then the environment (`STREAMER_...`)."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

MIB = 1 << 20
MOST_SEEDS = 1000
MOST_DEDUP_ITEMS = 100_000
"""Hard maxima: the request schemas have them, and no limit can be set above."""

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST_PATTERN = re.compile(rf"(?:\*\.{_LABEL}\.|{_LABEL}\.)(?:{_LABEL}\.)*[a-z]{_LABEL}")
"""A name of two labels or more, the last not a number; `*.` stands for any labels before them."""


def _host_pattern(text: str) -> str:
    pattern = text.lower()
    if len(pattern) > 253 or not _HOST_PATTERN.fullmatch(pattern):
        raise ValueError(
            f"{text!r} is not a host: write media.example.org, or *.example.org for all below it; "
            "no address, no port, and other scripts in their xn-- form"
        )
    return pattern


def _by_comma(value: Any) -> Any:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


HostPattern = Annotated[str, AfterValidator(_host_pattern)]
ByComma = (NoDecode, BeforeValidator(_by_comma))
"""A list in one environment variable: `a,b`."""


class Limits(BaseModel):
    """What a single request may ask for.

    Attributes:
        body_limit_bytes: of a request.
        bulk_body_limit_bytes: of a request with many lines.
        body_timeout_s: seconds that a body may take; one with many lines may pause so long.
        bulk_lines: profiles in one such request.
        max_k: hits in one answer.
        max_explained: the same, with reasons: each hit is encoded again for each modality.
        max_seeds: wanted ones, and unwanted ones.
        max_dedup_items: streamers in one list.
        visible_timeout_ms: how long a question waits for a write to become visible.
        max_lag_s: an index that lacks writes of so many seconds ago is not ready.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    body_limit_bytes: Annotated[int, Field(ge=1024)] = 8 * MIB
    bulk_body_limit_bytes: Annotated[int, Field(ge=1024)] = 256 * MIB
    body_timeout_s: Annotated[float, Field(gt=0)] = 60
    bulk_lines: Annotated[int, Field(ge=1)] = 10_000
    max_k: Annotated[int, Field(ge=1)] = 1000
    max_explained: Annotated[int, Field(ge=1)] = 50
    max_seeds: Annotated[int, Field(ge=1, le=MOST_SEEDS)] = 100
    max_dedup_items: Annotated[int, Field(ge=2, le=MOST_DEDUP_ITEMS)] = 10_000
    visible_timeout_ms: Annotated[int, Field(ge=0)] = 2000
    max_lag_s: Annotated[float, Field(ge=1)] = 10


class Encoding(BaseModel):
    """How profiles are batched into the encoder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threads: Annotated[int, Field(ge=1)] = 1
    max_batch: Annotated[int, Field(ge=1)] = 16
    max_wait_ms: Annotated[float, Field(ge=0)] = 2.0
    max_queue: Annotated[int, Field(ge=1)] = 512
    deadline_ms: Annotated[int, Field(ge=1)] = 5000


class Searching(BaseModel):
    """How questions that take a while are answered beside the others.

    Attributes:
        threads: searches at once, each on one core.
        max_queue: searches that may wait for a thread.
        deadline_ms: for a search in that queue.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    threads: Annotated[int, Field(ge=1)] = 2
    max_queue: Annotated[int, Field(ge=1)] = 512
    deadline_ms: Annotated[int, Field(ge=1)] = 5000


class Paging(BaseModel):
    """Answers that are handed out page by page.

    Attributes:
        keep_s: how long one is kept after a page of it was asked for.
        max_hits: of all that are kept; each takes about 12 bytes. The last one is always kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    keep_s: Annotated[float, Field(gt=0)] = 300
    max_hits: Annotated[int, Field(ge=1)] = 10_000_000


class Index(BaseModel):
    """How the nearest are found.

    Attributes:
        kind: `auto`, `exact`, or a FAISS factory string such as `IVF1024,SQfp16` or `HNSW32`.
        from_rows: with fewer streamers, every one is looked at whatever the kind.
        recall: the share of the 50 nearest that anything but `exact` must find to be used.
        floor: when it finds a smaller share on questions that are really asked, everyone is looked
            at, until another one has proved itself on these questions too.
        device: where it is searched; by default where profiles are encoded.
        gpu_temp_mib: scratch memory on a GPU.
        snapshot_s: it is saved at most so often, for a quick start; 0 = never.
        snapshot_changes: after so many writes; fewer are read from the store's log in a moment.
        snapshot_from_rows: with fewer streamers, it is built as fast from the store.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Annotated[str, Field(min_length=1, max_length=200)] = "auto"
    from_rows: Annotated[int, Field(ge=100)] = 50_000
    recall: Annotated[float, Field(ge=0.5, le=0.999)] = 0.99
    floor: Annotated[float, Field(ge=0, le=0.999)] = 0.95
    device: Literal["cpu", "gpu"] | None = None
    gpu_temp_mib: Annotated[int, Field(ge=16)] = 256
    snapshot_s: Annotated[float, Field(ge=0)] = 60
    snapshot_changes: Annotated[int, Field(ge=1)] = 5000
    snapshot_from_rows: Annotated[int, Field(ge=0)] = 20_000


class Towers(BaseModel):
    """How towers read pieces, in bundles that have any.

    Attributes:
        threads: runs of towers at once, each on one core.
        max_batch: pieces of one run.
        max_wait_ms: how long a run waits for more pieces.
        max_queue: pieces that may wait for a tower, of all requests together; the same number of
            pictures and sounds may wait to be decoded.
        deadline_ms: for a piece in one of these queues.
        decode_threads: pictures and sounds decoded at once; each may take up to 400 MB.
        recent_bytes: of vectors that are kept in memory for pieces that come again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    threads: Annotated[int, Field(ge=1)] = 1
    max_batch: Annotated[int, Field(ge=1)] = 16
    max_wait_ms: Annotated[float, Field(ge=0)] = 2.0
    max_queue: Annotated[int, Field(ge=16)] = 512
    deadline_ms: Annotated[int, Field(ge=1)] = 5000
    decode_threads: Annotated[int, Field(ge=1)] = 1
    recent_bytes: Annotated[int, Field(ge=0)] = 64 * MIB


class Media(BaseModel):
    """Fetching pictures and sounds by URL; off while `url_hosts` is empty.

    Attributes:
        url_hosts: names, and patterns such as `*.example.org`: every name below, not itself.
        url_ports: the ports that a URL may name.
        url_max_bytes: of one picture or sound. What is under way at once holds `url_concurrency`
            times as much memory, twice while a fetch is ending.
        url_timeout_ms: for one URL in all: waiting, name, redirects, last byte.
        url_connect_timeout_ms: for one address to connect, and for its TLS handshake.
        url_idle_timeout_ms: between two parts of an answer.
        url_concurrency: fetches under way at once; others wait.
        url_concurrency_per_host: the same, for one host.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url_hosts: Annotated[tuple[HostPattern, ...], *ByComma] = ()
    url_ports: Annotated[tuple[Annotated[int, Field(ge=1, le=65535)], ...], *ByComma] = (443,)
    url_max_bytes: Annotated[int, Field(ge=1024)] = 8 * MIB
    url_timeout_ms: Annotated[int, Field(ge=1)] = 10_000
    url_connect_timeout_ms: Annotated[int, Field(ge=1)] = 2000
    url_idle_timeout_ms: Annotated[int, Field(ge=1)] = 3000
    url_concurrency: Annotated[int, Field(ge=1)] = 8
    url_concurrency_per_host: Annotated[int, Field(ge=1)] = 4


class Settings(BaseSettings):
    """Where the service finds its model and its data, and whom it answers.

    Nested values are set as `STREAMER_LIMITS__MAX_K=500`; an empty variable counts as not set.
    """

    model_config = SettingsConfigDict(
        env_prefix="STREAMER_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
    )

    bundle: Path
    data_dir: Path = Path("data")
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    api_key: Annotated[SecretStr, Field(min_length=1)] | None = None
    redis_url: Annotated[
        SecretStr | None,
        Field(validation_alias=AliasChoices("redis_url", "REDIS_URL", "STREAMER_REDIS_URL")),
    ] = None
    device: Literal["cpu", "gpu"] = "cpu"
    dim: Annotated[int, Field(ge=1)] | None = None
    variant: Literal["fp16", "int8"] | None = None
    reencode: bool = False
    limits: Limits = Limits()
    encoding: Encoding = Encoding()
    searching: Searching = Searching()
    index: Index = Index()
    paging: Paging = Paging()
    towers: Towers = Towers()
    media: Media = Media()

    @property
    def store_folder(self) -> Path:
        """Of the embedded store."""
        return self.data_dir / "store"

    @property
    def is_open_to_the_network(self) -> bool:
        """Whether anyone but this machine can reach the address."""
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host != "localhost"
