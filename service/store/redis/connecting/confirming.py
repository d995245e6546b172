"""Commands whose answer counts only once replicas have all that the primary did until then.

WAIT waits for what its own connection wrote, and a command that writes nothing (a repeated
request, or one that reads what an earlier one did) would not wait for what it has seen. So a
PUBLISH comes before it: replicas get it in order, behind everything the primary did, and neither
key nor append-only log has it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from service.errors import NotReplicated
from service.store.redis.connecting.address import StoreAddress

Argument = bytes | str | int

_READS = frozenset(
    (
        *("CONFIG", "INFO", "TIME", "BGREWRITEAOF", "SCAN", "EXISTS", "PTTL", "GET"),
        *("HGET", "HMGET", "HGETALL", "HKEYS", "HLEN", "HSTRLEN", "HSCAN", "HEXISTS"),
        *("ZRANGE", "ZRANGEBYLEX", "ZREVRANGEBYLEX", "ZRANDMEMBER", "ZCARD", "ZSCORE", "ZMSCORE"),
        *("XRANGE", "XREVRANGE", "XREAD"),
    )
)
_CHANNEL = "ss:confirm"


def writes(command: Sequence[Argument]) -> bool:
    """Whether a command may change something, as all do that are not known to read."""
    return str(command[0]).split()[0] not in _READS


def found_something(answer: Any) -> bool:
    """Whether a reading command found anything: what is not there rests on nothing."""
    if isinstance(answer, list):
        return any(found_something(part) for part in cast(list[Any], answer))
    return answer is not None


def with_confirmation(
    commands: Sequence[Sequence[Argument]], address: StoreAddress, *, one_step: bool
) -> list[list[Argument]]:
    """What is sent for commands in one pipeline; their names as bytes, to get raw answers."""
    lines: list[list[Argument]] = [[str(name).encode(), *rest] for name, *rest in commands]
    if one_step:
        lines = [[b"MULTI"], *lines, [b"EXEC"]]
    return [*lines, *confirmation(address)]


def confirmation(address: StoreAddress) -> list[list[Argument]]:
    """The commands that ask for it."""
    return [
        [b"PUBLISH", _CHANNEL, b""],
        [b"WAIT", address.replicas, address.replica_timeout_ms],
    ]


def answers_of(
    answers: Sequence[Any],
    commands: Sequence[Sequence[Argument]],
    callbacks: Mapping[str, Callable[[Any], Any]],
    *,
    one_step: bool,
) -> list[Any]:
    """What was answered to commands, without the confirmation, as redis-py gives it.

    Raises:
        ResponseError: the first that one of them, or the confirmation, was answered with.
    """
    found = list(answers)
    _raise_first(found)
    found = found[:-2]
    if one_step:
        found = cast(list[Any], found[-1])
        _raise_first(found)
    return [
        callbacks[name](answer) if (name := str(command[0])) in callbacks else answer
        for command, answer in zip(commands, found, strict=True)
    ]


def check_confirmed(acknowledged: int, address: StoreAddress) -> None:
    """That enough replicas acknowledged.

    Raises:
        NotReplicated: too few did, within the time.
    """
    if acknowledged < address.replicas:
        raise NotReplicated(
            f"{acknowledged} of {address.replicas} replicas acknowledged within "
            f"{address.replica_timeout_ms} ms: the primary has done what was asked for, and it is "
            "lost if that fails now; repeat the request, with its Idempotency-Key if it had one"
        )


def _raise_first(answers: Sequence[Any]) -> None:
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
