"""Switchable faults: what KSeF, its gateway or the network may do to a call.

A fault that replaces the answer keeps the request from being carried out. A
fault that damages the answer lets it be carried out first, so a client can
lose the answer to a call that counted.
"""

import dataclasses
import json
import secrets
import threading

from problems import (JSON, PLAIN, Answer, BadRequest, Delivery, Forbidden, Gone,
                      TooManyRequests, Unauthorized)

HTML = "text/html; charset=utf-8"
SIG_001 = "[sig-001]: Format podpisu niezgodny z akceptowanymi profilami XAdES"
BAD_GATEWAY_PAGE = "<html><head><title>502 Bad Gateway</title></head><body>502</body></html>\n"

# Extra fields of each kind with their defaults; the default gives the type too.
REPLACING = {
    "too-many-requests": {"retry_after": 30},
    "bad-request": {"code": 21301, "details": []},
    "unauthorized": {},
    "forbidden": {"reason": "missing-permissions"},
    "firewall": {},
    "gone": {},
    "bad-gateway": {},
    "server-error": {},
    "oversized": {"bytes": 8 * 1024 * 1024},
    "endless": {},
    "hang-up": {},
    "literal": {"status": 200, "content_type": JSON, "body": ""},
}
DAMAGING = {
    "warning": {"message": SIG_001},
    "broken-json": {},
    "drop": {},
    "slow": {"delay": 1.0},
    "trickle": {"delay": 0.01},
}
KINDS = {**REPLACING, **DAMAGING}

_SECURITY = {
    "missing-permissions": {"requiredAnyOfPermissions": ["InvoiceRead"], "presentPermissions": []},
    "auth-method-not-allowed": {"authenticationMethodCategory": "XadesSignature"},
    "context-type-not-allowed": {"contextIdentifierType": "Nip"},
    "insufficient-resource-access": None,
}


@dataclasses.dataclass
class Fault:
    """One fault: it lets `after` calls pass, then hits `times` calls."""

    kind: str
    fields: dict
    times: int = 1
    after: int = 0


class Faults:
    """The faults that wait, first in first out for each endpoint."""

    def __init__(self):
        self._lock = threading.Lock()
        self._waiting = {}

    def add(self, endpoint, fault):
        """Queue a fault."""
        with self._lock:
            self._waiting.setdefault(endpoint, []).append(fault)

    def clear(self):
        """Forget all faults."""
        with self._lock:
            self._waiting.clear()

    def describe(self):
        """{endpoint: [kind, ...]} of the faults still to come."""
        with self._lock:
            return {endpoint: [fault.kind for fault in queue]
                    for endpoint, queue in self._waiting.items() if queue}

    def next_for(self, endpoint):
        """The fault that hits this call, or None."""
        with self._lock:
            queue = self._waiting.get(endpoint)
            if not queue:
                return None
            fault = queue[0]
            if fault.after > 0:
                fault.after -= 1
                return None
            fault.times -= 1
            if fault.times <= 0:
                queue.pop(0)
            return fault


def replaces(fault):
    """Whether the call is not carried out at all."""
    return fault.kind in REPLACING


def replacement(fault, client_ip):
    """The Answer in place of the real one; KSeF's own errors are raised."""
    kind, fields = fault.kind, fault.fields
    if kind == "too-many-requests":
        raise TooManyRequests(fields["retry_after"])
    if kind == "bad-request":
        raise BadRequest(fields["code"], *fields["details"])
    if kind == "unauthorized":
        raise Unauthorized()
    if kind == "gone":
        raise Gone()
    if kind == "forbidden":
        raise _forbidden(fields["reason"], client_ip)
    return _foreign_answer(kind, fields, client_ip)


def damage(fault, answer):
    """The real answer, spoiled."""
    if fault.kind == "warning":
        answer.headers["X-System-Warning"] = fault.fields["message"]
    elif fault.kind == "broken-json":
        answer.body = answer.body[:len(answer.body) // 2]
    elif fault.kind == "drop":
        answer.delivery = Delivery.HALF
    else:
        answer.delay = fault.fields["delay"]
        if fault.kind == "trickle":
            answer.delivery = Delivery.TRICKLE
    return answer


def _forbidden(reason, client_ip):
    """403 with the `security` object that belongs to its reason."""
    if reason == "ip-not-allowed":
        security = {"clientIp": client_ip}
    elif reason == "security-service-blocked":
        security = {"incidentId": secrets.token_hex(16), "clientIp": client_ip}
    else:
        security = _SECURITY[reason]
    return Forbidden(reason, security)


def _foreign_answer(kind, fields, client_ip):
    """Answers that KSeF's documentation does not describe."""
    if kind == "firewall":
        notice = {"clientIp": client_ip, "incidentId": secrets.token_hex(8)}
        return Answer(403, f"Request blocked {json.dumps(notice)}\n".encode(), HTML)
    if kind == "bad-gateway":
        return Answer(502, BAD_GATEWAY_PAGE.encode(), HTML)
    if kind == "server-error":
        return Answer(500, b"Internal Server Error\n", PLAIN)
    if kind == "oversized":
        return Answer(200, b'{"padding":"%s"}' % (b"x" * fields["bytes"]))
    if kind == "endless":
        return Answer(200, delivery=Delivery.ENDLESS)
    if kind == "hang-up":
        return Answer(200, delivery=Delivery.NOTHING)
    return Answer(fields["status"], fields["body"].encode(), fields["content_type"])
