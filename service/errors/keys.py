"""Errors of API keys, of callers without one, and of the keys that name a write."""

from service.errors.base import RequestError, Unavailable


class OriginNotAllowed(RequestError):
    """Without an API key only pages of this service may ask it, and `Origin` is another one."""

    status, code, title = 403, "origin_not_allowed", "The origin of the page is not allowed"
    example = "Origin is 'https://example.org': add its name to STREAMER_SERVER__HOSTS"


class HostNotAllowed(RequestError):
    """Without an API key the service answers to names of this machine, and `Host` is another."""

    status, code, title = 421, "host_not_allowed", "The host name is not this machine's"
    example = "Host is 'example.org': call it as localhost, or set STREAMER_API_KEY"


class MissingScope(RequestError):
    """The API key lacks the scope that this needs; `detail` names it."""

    status, code, title = 403, "missing_scope", "The API key may not be used for this"
    example = (
        "this needs the scope 'streamers:write', and the key 3f9c1a2b7d04 has search; ask an "
        "admin for a key with it, such as one of the role 'operations' or 'admin'"
    )


class RateLimited(Unavailable):
    """The API key has used up its rate limit; ask again after `Retry-After` seconds."""

    status, code, title = 429, "rate_limited", "The rate limit of the API key is used up"
    example = (
        "the key 3f9c1a2b7d04 has used up 60000 units of 'search' in 60 s; ask again in 2 s, and "
        "an admin for a higher limit if that happens often"
    )


class KeyNotFound(RequestError):
    """There is no API key of this id; it may have been revoked."""

    status, code, title = 404, "key_not_found", "Unknown API key"
    example = "there is no key '3f9c1a2b7d04'; GET /v1/keys or `keys list` shows all"


class LastAdminKey(RequestError):
    """No other key has the scope `admin`; the key keeps it until another one has it too."""

    status, code, title = 409, "last_admin_key", "No other key has the scope admin"
    example = (
        "no key but '3f9c1a2b7d04' has the scope admin: without it nobody could change keys over "
        "HTTP; create another admin first, or revoke this key"
    )


class KeyTextNotKept(RequestError):
    """An earlier request with this `Idempotency-Key` was shown the text of the key."""

    status, code, title = 409, "key_text_not_kept", "The text of the key was shown before"
    example = (
        "an earlier request with this Idempotency-Key gave the key 3f9c1a2b7d04 its text, which "
        "was shown then and is not kept; rotate the key with another Idempotency-Key, or revoke it"
    )


class IdempotencyKeyInUse(RequestError):
    """The first request with this `Idempotency-Key` is being answered; repeat it a little later."""

    status, code, title = 409, "idempotency_key_in_use", "The first request is under way"
    example = "a request with this Idempotency-Key is being answered; send it again in a second"


class IdempotencyKeyReused(RequestError):
    """The `Idempotency-Key` belongs to another request: method, path, body or precondition."""

    status, code, title = 422, "idempotency_key_reused", "The key belongs to another request"
    example = (
        "this Idempotency-Key came with another request within 24 hours; use a new key for each "
        "write, and the same one only to send a request again unchanged"
    )
