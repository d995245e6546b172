"""Settings of the service: from arguments first, then the environment (`STREAMER_...`)."""

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.maxima import MOST_DEDUP_ITEMS, MOST_SEEDS
from service.settings.access import Audit, Oidc, RateLimits
from service.settings.groups import MIB, Group
from service.settings.models import Models
from service.settings.spaces import Spaces
from service.settings.store import Store
from service.settings.types import AsciiKey, ByComma, HostName, HostPattern
from service.settings.webhooks import Webhooks


class Limits(Group):
    """What a single request may ask for."""

    body_limit_bytes: Annotated[int, Field(ge=1024)] = 8 * MIB
    """Largest body of a request, and largest line of `:bulk`. Pictures and sounds in base64 count:
    8 MiB hold 6 MB of them."""
    body_values: Annotated[int, Field(ge=1024)] = 500_000
    """Most JSON values of a body, and of a line of `:bulk`, that is longer than 64 KiB; counted by
    its commas. Beyond, 422."""
    bulk_body_limit_bytes: Annotated[int, Field(ge=1024)] = 256 * MIB
    """Largest body of a `:bulk` request."""
    body_timeout_s: Annotated[float, Field(gt=0)] = 60
    """Seconds for a body to arrive, else 408. A `:bulk` body may take longer, but not pause for so
    long."""
    bulk_min_bytes: Annotated[int, Field(ge=1)] = 4096
    """Fewest bytes of a `:bulk` body in each `body_timeout_s` in which the service waits for it,
    else 408 in the last line: who sends a few bytes now and then would keep its place for ever."""
    bodies_bytes: Annotated[int, Field(ge=1024)] = 512 * MIB
    """Most memory of all bodies being received or answered, except of `:bulk`; beyond, 503."""
    bulk_lines: Annotated[int, Field(ge=1)] = 10_000
    """Most lines of a `:bulk` request."""
    max_k: Annotated[int, Field(ge=1)] = 1000
    """Most hits of one answer, and most neighbours and most users of a cold start."""
    max_explained: Annotated[int, Field(ge=1)] = 50
    """Most hits of an answer with `explain`: each is encoded again for every modality."""
    max_seeds: Annotated[int, Field(ge=1, le=MOST_SEEDS)] = 100
    """Most positive seeds of a question, and most negative ones."""
    max_dedup_items: Annotated[int, Field(ge=2, le=MOST_DEDUP_ITEMS)] = 10_000
    """Most streamers of a `dedup` request."""
    page_bytes: Annotated[int, Field(ge=1024)] = MIB
    """Most bytes of profiles on one page of `GET /v1/streamers`; a longer profile has its own."""
    visible_timeout_ms: Annotated[int, Field(ge=0)] = 2000
    """How long a question waits for its `after_sequence`, else 503."""
    max_lag_s: Annotated[float, Field(ge=1)] = 10
    """Lag of the index behind the store, in seconds, above which the service is not ready and its
    answers are not `complete`."""
    store_grace_s: Annotated[float, Field(ge=0)] = 5
    """A store that gives no answer for fewer seconds leaves the service ready: it answers from
    memory, and `/readyz` says so in `degraded_because`. Counts from the first question without an
    answer; the store is asked once a second. The lag that grows meanwhile does not count."""


class Server(Group):
    """HTTP connections."""

    header_limit_bytes: Annotated[int, Field(ge=1024, le=MIB)] = 64 << 10
    """Largest request line and header fields of one request, together; also of what a body has
    beside its content (chunk extensions, trailers). Beyond, 431."""
    header_timeout_s: Annotated[float, Field(gt=0, le=600)] = 10
    """Time from opening a connection, or from the first byte of a later request on it, to the end
    of the header."""
    idle_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 60
    """How long an open connection may wait for its next request, or for a client that takes nothing
    of its answer."""
    max_connections: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Most open connections; by default what the limit of open files allows, at most 4096. One more
    closes the connection that has waited longest for a request; where all are in use it gets 503,
    unless it asks for a probe."""
    drain_s: Annotated[float, Field(ge=0, le=60)] = 1
    """How long `/readyz` says 503 after SIGTERM before the port closes."""
    hosts: Annotated[tuple[HostName, ...], *ByComma] = ()
    """Names, beside those of this machine, by which a service without an API key may be called
    (`Host` header), by comma."""


class Log(Group):
    """What is written to standard error."""

    format: Literal["text", "json"] = "text"
    """`text` for people, `json` for programs that collect logs: one object per line."""
    requests: bool = False
    """One line per request, with ids and no content."""


class Work(Group):
    """Work in threads: long searches, encoders, decoding, explanations, duplicates, bulk writes."""

    threads: Annotated[int, Field(ge=2)] = 3
    """Threads, each on one core. Heavy and bulk work leaves one of them to interactive work."""
    max_queue: Annotated[int, Field(ge=16)] = 1024
    """Most items of one kind that wait for a thread: searches, profiles, pieces; beyond, 503."""
    deadline_ms: Annotated[int, Field(ge=1)] = 5000
    """Longest wait for the result of interactive work, and for a turn to be explained, else 503."""
    slow_deadline_ms: Annotated[int, Field(ge=1)] = 30_000
    """Longest wait for the result of one step of heavy or bulk work, else 503."""


class Encoding(Group):
    """How profiles are batched into the encoder."""

    max_batch: Annotated[int, Field(ge=1)] = 16
    """Most profiles of one batch, for those who wait for an answer."""
    reproducible: bool = False
    """Encode every profile, and every piece that a tower reads, by itself: no bit of a vector then
    depends on what is encoded at the same time, and `encode` makes the same bytes. Encoding takes
    up to three times as long."""


class Paging(Group):
    """Answers that are handed out page by page."""

    keep_s: Annotated[float, Field(gt=0)] = 300
    """Seconds for which an answer is kept after its last page was asked for."""
    max_hits: Annotated[int, Field(ge=1)] = 10_000_000
    """Most hits of all kept answers together, about 12 bytes each; the oldest answers go first. The
    newest one is always kept."""


class Index(Group):
    """How the nearest streamers are found."""

    backend: Literal["faiss", "milvus"] = "faiss"
    """`faiss`: the whole index is in this process. `milvus`: vectors are in Milvus
    (`STREAMER_MILVUS_URI`), and the settings of FAISS below are not read."""
    kind: Annotated[str, Field(min_length=1, max_length=200)] = "auto"
    """`auto`, `exact` (every search scans all rows), or a FAISS factory string such as
    `IVF1024,SQfp16` or `HNSW32`."""
    from_rows: Annotated[int, Field(ge=100)] = 50_000
    """Below so many streamers every search is exact, whatever the kind."""
    recall: Annotated[float, Field(ge=0.5, le=0.999)] = 0.99
    """Share of the 50 nearest of stored rows that an approximate index must find to serve."""
    floor: Annotated[float, Field(ge=0, le=0.999)] = 0.95
    """Share of the nearest that it must find on live questions; where it finds less, by more than
    chance explains, searches are exact until another index has proved itself on these as well."""
    device: Literal["cpu", "gpu"] | None = None
    """Where the index is searched; by default where profiles are encoded (`STREAMER_DEVICE`)."""
    gpu_temp_mib: Annotated[int, Field(ge=16)] = 256
    """Scratch memory on a GPU, in MiB."""
    snapshot_s: Annotated[float, Field(ge=0)] = 60
    """Least seconds between two snapshots of the index, which make the next start quick; 0 = no
    snapshots."""
    snapshot_changes: Annotated[int, Field(ge=1)] = 5000
    """Writes since the last snapshot after which the next one is due."""
    snapshot_from_rows: Annotated[int, Field(ge=0)] = 20_000
    """Below so many streamers there is no snapshot: reading the store takes as long."""


class Milvus(Group):
    """Milvus as the index (`STREAMER_INDEX__BACKEND=milvus`)."""

    lists: Annotated[int, Field(ge=1, le=65_536)] = 1024
    """Inverted lists of each segment's index (IVF_FLAT, `nlist`); a change takes effect in the next
    collection."""
    probes: Annotated[int, Field(ge=1, le=65_536)] = 64
    """Lists that a plain search looks into (`nprobe`); exact and filtered ones look into all."""
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 5
    """Time for one call of Milvus. Questions that it does not answer are answered with 503."""
    margin_s: Annotated[float, Field(ge=6, le=3600)] = 20
    """What was written to Milvus is also kept in memory for so long. At least `timeout_s` plus
    Milvus's `common.gracefulTime` (5 s), twice over."""
    lease_s: Annotated[float, Field(ge=1, le=600)] = 10
    """A process that writes the log to Milvus and gives no sign for so many seconds is replaced."""
    audit_s: Annotated[float, Field(ge=10)] = 600
    """How often the whole collection is compared with what is stored, and repaired."""
    overlay_rows: Annotated[int, Field(ge=1000)] = 200_000
    """Most versions of streamers that are kept in memory until Milvus shows them; beyond,
    questions get 503 until it does."""


class Towers(Group):
    """How towers read texts, pictures and sounds, in bundles that have any."""

    max_batch: Annotated[int, Field(ge=1)] = 16
    """Most pieces of one batch."""
    decode_threads: Annotated[int, Field(ge=1)] = 1
    """Pictures and sounds decoded at once for those who wait for an answer, and as many for bulk
    writes; each may take up to 400 MB."""
    recent_bytes: Annotated[int, Field(ge=0)] = 64 * MIB
    """Memory for the vectors of recent pieces, which are then not encoded again."""


class Media(Group):
    """Pictures and sounds: keeping their bytes; fetching them, off while `url_hosts` is empty."""

    keep_bytes: bool = True
    """Store the bytes of pictures and sounds that come in base64. Otherwise the SHA-256 of each is
    stored alone, which saves the store's memory; another model can't read them any more."""
    url_hosts: Annotated[tuple[HostPattern, ...], *ByComma] = ()
    """Hosts that may be asked, by comma: `media.example.org,*.cdn.example.org`. A pattern stands
    for every name below it, not for itself. Always https."""
    url_ports: Annotated[tuple[Annotated[int, Field(ge=1, le=65535)], ...], *ByComma] = (443,)
    """Ports that a URL may name, by comma."""
    url_max_bytes: Annotated[int, Field(ge=1024)] = 8 * MIB
    """Largest picture or sound. Fetches under way hold `url_concurrency` times as much memory,
    twice that while they end."""
    url_timeout_ms: Annotated[int, Field(ge=1)] = 10_000
    """Time for one URL in all: waiting, name, redirects, last byte."""
    url_connect_timeout_ms: Annotated[int, Field(ge=1)] = 2000
    """Time to connect to one address, and for its TLS handshake."""
    url_idle_timeout_ms: Annotated[int, Field(ge=1)] = 3000
    """Longest pause between two parts of an answer."""
    url_concurrency: Annotated[int, Field(ge=1)] = 8
    """Fetches at once; others wait."""
    url_concurrency_per_host: Annotated[int, Field(ge=1)] = 4
    """Fetches at once from one host."""


class Jobs(Group):
    """Imports and exports: long work that goes on after a restart."""

    at_once: Annotated[int, Field(ge=0, le=16)] = 2
    """Jobs that this process runs at once; 0 = it takes jobs and leaves them to other replicas with
    the same spool."""
    max_queued: Annotated[int, Field(ge=1, le=1000)] = 100
    """Most jobs that are queued or running, all replicas together; beyond, 503."""
    lease_s: Annotated[float, Field(ge=1, le=600)] = 10
    """A running job whose process gives no sign for so many seconds is taken over."""
    keep_s: Annotated[float, Field(ge=1)] = 86_400
    """How long finished jobs are kept, with the results of exports and the uploads of failed or
    cancelled imports. Beyond 10,000 jobs those that finished first go before."""
    spool_dir: Path | None = None
    """Folder of uploads and results, by default `jobs` below the data folder. Replicas that share
    it run each other's jobs; otherwise each runs those that it took."""
    spool_bytes: Annotated[int, Field(ge=MIB)] = 16 << 30
    """Most bytes of files in the spool; beyond, 507."""
    upload_limit_bytes: Annotated[int, Field(ge=1024)] = 4 << 30
    """Largest upload of an import."""
    import_dir: Path | None = None
    """Folder below which imports may name a file by its path; by default none may."""


class Duplicates(Group):
    """Groups of duplicates over the whole corpus."""

    evaluate: bool = True
    """Whether this process may be the one that keeps them up to date: it needs memory for every
    streamer (`GET /v1/duplicates` answers either way, as long as one process does it). Cases are
    expanded by whichever does, so it should run jobs as well."""


class Watchlists(Group):
    """Watchlists, and the alerts that they raise."""

    evaluate: bool = True
    """Whether this process may be the one that matches every write with all watchlists: it keeps
    their seeds in memory (some 4 KB each)."""
    max_lists: Annotated[int, Field(ge=1, le=100_000)] = 2000
    """Most watchlists that are kept; beyond, 409."""
    max_seeds: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    """Most seeds of all watchlists together; beyond, 409."""
    max_open_alerts: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    """Most open alerts of one watchlist. What it matches beyond is counted and raises none before
    some are decided: a list that matches everybody fills neither the store nor anybody's day."""


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
    """The exported model: the folder that `model_export` wrote."""
    data_dir: Path = Path("data")
    """Folder of the embedded store and of the snapshots of the index; one service at a time."""
    host: str = "127.0.0.1"
    """Address to listen on. Any other than loopback needs an API key."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """Port to listen on; 0 = any free one."""
    api_key: AsciiKey | None = None
    """The first admin key, sent as `Authorization: Bearer <key>`: it has all scopes, and makes the
    other keys (`POST /v1/keys`)."""
    redis_url: Annotated[
        SecretStr | None,
        Field(validation_alias=AliasChoices("redis_url", "REDIS_URL", "STREAMER_REDIS_URL")),
    ] = None
    """An external Valkey or Redis instead of the embedded one. Give it `appendfsync always`.
    `STREAMER_STORE__...` is about its replicas, too. `STREAMER_REDIS_URL` is the same."""
    milvus_uri: Annotated[
        SecretStr | None,
        Field(validation_alias=AliasChoices("milvus_uri", "MILVUS_URI", "STREAMER_MILVUS_URI")),
    ] = None
    """Where Milvus is, such as `http://milvus:19530`; for `STREAMER_INDEX__BACKEND=milvus`. Several
    independent clusters by comma, the preferred one first: `http://a:19530,http://b:19530`. Each is
    known by its host and port, or by a name that stays when these change: `a=http://a:19530`. There
    may be 8. `STREAMER_MILVUS_URI` is the same."""
    milvus_token: SecretStr | None = None
    """`user:password` of Milvus, or its API key. Clusters that differ have theirs in their address:
    `http://user:password@a:19530`."""
    device: Literal["cpu", "gpu"] = "cpu"
    """`gpu` encodes and searches on an NVIDIA GPU, and refuses to start where ONNX Runtime or FAISS
    would fall back to the CPU. Not yet run on a GPU."""
    dim: Annotated[int, Field(ge=1)] | None = None
    """A shorter width of the embedding that the bundle's card lists: less memory and faster search
    for a little quality. Another model version to a data folder."""
    variant: Literal["fp16", "int8"] | None = None
    """The smaller graphs of a bundle that has them. Another model version to a data folder."""
    reencode: bool = False
    """Encode all stored profiles again when the bundle is another model; otherwise the service
    refuses to start on them."""
    accept_data_loss: bool = False
    """Start although the store has lost writes that were acknowledged; otherwise the service
    refuses to start on it and names the remedy."""
    store: Store = Store()
    limits: Limits = Limits()
    rate_limits: RateLimits = RateLimits()
    server: Server = Server()
    log: Log = Log()
    work: Work = Work()
    encoding: Encoding = Encoding()
    index: Index = Index()
    milvus: Milvus = Milvus()
    paging: Paging = Paging()
    towers: Towers = Towers()
    media: Media = Media()
    jobs: Jobs = Jobs()
    duplicates: Duplicates = Duplicates()
    webhooks: Webhooks = Webhooks()
    watchlists: Watchlists = Watchlists()
    spaces: Spaces = Spaces()
    models: Models = Models()
    oidc: Oidc = Oidc()
    audit: Audit = Audit()

    @property
    def store_folder(self) -> Path:
        """Of the embedded store."""
        return self.data_dir / "store"

    @property
    def snapshots_folder(self) -> Path:
        """Of saved indexes."""
        return self.data_dir / "index"

    @property
    def spool_folder(self) -> Path:
        """Of uploads and results of jobs."""
        return self.jobs.spool_dir or self.data_dir / "jobs"

    @property
    def spaces_folder(self) -> Path:
        """Of hand-overs that are being received."""
        return self.spaces.spool_dir or self.data_dir / "spaces"

    @property
    def is_open_to_the_network(self) -> bool:
        """Whether anyone but this machine can reach the address."""
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host != "localhost"
