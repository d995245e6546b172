"""Settings of the service: from arguments first, then the environment (`STREAMER_...`)."""

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1 << 20


class Limits(BaseModel):
    """What a single request may ask for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    body_limit_bytes: Annotated[int, Field(ge=1024)] = 8 * MIB
    bulk_body_limit_bytes: Annotated[int, Field(ge=1024)] = 256 * MIB
    bulk_lines: Annotated[int, Field(ge=1)] = 10_000
    max_k: Annotated[int, Field(ge=1)] = 1000
    max_seeds: Annotated[int, Field(ge=1)] = 100
    max_dedup_items: Annotated[int, Field(ge=2)] = 10_000
    visible_timeout_ms: Annotated[int, Field(ge=0)] = 2000


class Encoding(BaseModel):
    """How profiles are batched into the encoder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threads: Annotated[int, Field(ge=1)] = 1
    max_batch: Annotated[int, Field(ge=1)] = 16
    max_wait_ms: Annotated[float, Field(ge=0)] = 2.0
    max_queue: Annotated[int, Field(ge=1)] = 512
    deadline_ms: Annotated[int, Field(ge=1)] = 5000


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
    reencode: bool = False
    limits: Limits = Limits()
    encoding: Encoding = Encoding()

    @property
    def is_open_to_the_network(self) -> bool:
        """Whether anyone but this machine can reach the address."""
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host != "localhost"
