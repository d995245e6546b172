"""Reads which clusters of Milvus there are from their addresses."""

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from service.errors import StartupError

_NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63})=(.*)", re.DOTALL)
_MOST = 8
_SCHEMES = ("http", "https", "tcp")
_PORTS = {"https": 443}


class Cluster(NamedTuple):
    """A cluster of Milvus.

    Attributes:
        name: by which the store knows what is in it.
        uri: its address.
        token: `user:password`, or an API key; empty where the address has it, or there is none.
    """

    name: str
    uri: str
    token: str


def clusters_of(addresses: str, token: str) -> list[Cluster]:
    """The clusters of `STREAMER_MILVUS_URI`, the preferred one first.

    Args:
        addresses: by comma; each may have a name: `a=http://host:19530`.
        token: of those whose address has none.

    Raises:
        StartupError: an address can't be read, or two have the same name.
    """
    found: list[Cluster] = []
    for position, part in enumerate(addresses.split(","), start=1):
        named = _NAMED.fullmatch(part.strip())
        name, uri = named.groups() if named else ("", part.strip())
        try:
            address = urlsplit(uri)
            place = f"{address.hostname}:{address.port or _PORTS.get(address.scheme, 19530)}"
        except ValueError:
            address, place = None, ""
        if address is None or address.scheme not in _SCHEMES or not address.hostname:
            raise StartupError(  # without the address, which may have a password
                f"STREAMER_MILVUS_URI: address {position} is none such as http://milvus:19530"
            )
        found.append(Cluster(name or place, uri, "" if address.username else token))
    names = [each.name for each in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise StartupError(
            f"STREAMER_MILVUS_URI names {twice[0]} twice: give each cluster an address and a name "
            "of its own"
        )
    if len(found) > _MOST:
        raise StartupError(f"STREAMER_MILVUS_URI has {len(found)} clusters; at most {_MOST}")
    return found
