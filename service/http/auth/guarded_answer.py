"""The answer to a guarded request: what the guard adds to it, and what has to come before it."""

import json

from starlette.types import Message, Scope, Send

from service.errors import AuditUnavailable
from service.http.auth.audit import RequestAudit
from service.http.auth.rate_limits import Charges
from service.http.documents import send_problem
from service.http.headers.request_ids import header_of


class GuardedAnswer:
    """Sends an answer with the id and the rate limits of its request, and counts its bytes.

    What has to be in the audit log before the answer is written first. The scope gets the code of
    the `problem` that the caller is told of with a 5xx.

    Attributes:
        audit: of the request, if it has one.
        status: 0 = nothing was sent yet.
        sent: bytes of the body so far.
    """

    __slots__ = ("_id_header", "_is_withheld", "_scope", "_send", "audit", "sent", "status")

    def __init__(self, scope: Scope, send: Send) -> None:
        """Send by `send`; the scope has the `request_id`."""
        self._scope = scope
        self._send = send
        self._id_header = header_of(scope["request_id"])
        self._is_withheld = False
        self.audit: RequestAudit | None = None
        self.status = self.sent = 0

    async def send(self, message: Message) -> None:
        """Send a part; in place of an answer that the log can't have, a problem.

        Raises:
            AuditUnavailable: the log can't have a later part: the answer is cut off.
        """
        if self._is_withheld:
            return
        audit = self.audit
        if audit is not None and audit.comes_first:
            try:
                await audit.before(message, self.status)
            except AuditUnavailable as error:
                if self.status:
                    raise
                self.audit = None  # it has nothing to say of the problem
                await send_problem(self.send, error)
                self.audit = audit
                self._is_withheld = True
                return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), self._id_header]
            if audit is not None and any(map(_is_event_stream, headers)):
                audit.finish(self.status)  # it may never end
            charges: Charges | None = self._scope.get("charges")
            if charges is not None:
                headers += charges.headers()
            message["headers"] = headers
        else:
            body = message.get("body", b"")
            if self.status >= 500 and not self.sent:
                self._scope["problem"] = _code_in(body)
            self.sent += len(body)
        await self._send(message)

    def finish(self) -> None:
        """Note what is not in the log yet."""
        if self.audit is not None:
            self.audit.finish(self.status)


def _is_event_stream(header: tuple[bytes, bytes]) -> bool:
    return header[0] == b"content-type" and header[1].startswith(b"text/event-stream")


def _code_in(body: bytes) -> str | None:
    """The code of a problem document; None of any other answer, as probes have."""
    try:
        return str(json.loads(body)["code"])
    except (ValueError, TypeError, KeyError):
        return None
