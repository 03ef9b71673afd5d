"""The KSeF API 2.0 calls: from a parsed HTTP request to an Answer."""

import dataclasses
import re

import faults as faults_module
from problems import Answer, BadRequest, PlainRefusal, Unauthorized, json_answer

FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")
SESSION_TYPES = ("Online", "Batch")
BEARER = re.compile(r"Bearer ([A-Za-z0-9._~+/=-]+)")
SMALL_NUMBER = re.compile(r"[0-9]{1,4}")
REFERENCE = r"([A-Za-z0-9-]{1,64})"

# (method, path below /v2, endpoint name)
ROUTES = [(method, re.compile(path), endpoint) for method, path, endpoint in (
    ("POST", "/auth/challenge", "challenge"),
    ("POST", "/auth/xades-signature", "xades"),
    ("POST", "/auth/ksef-token", "ksef-token"),
    ("GET", "/security/public-key-certificates", "public-keys"),
    ("POST", "/auth/token/redeem", "redeem"),
    ("POST", "/auth/token/refresh", "refresh"),
    ("GET", "/auth/sessions", "auth-sessions"),
    ("DELETE", "/auth/sessions/current", "session-end"),
    ("DELETE", f"/auth/sessions/{REFERENCE}", "session-end"),
    ("GET", f"/auth/{REFERENCE}", "status"),
    ("GET", "/sessions", "sessions"),
    ("GET", "/rate-limits", "rate-limits"),
)]
ENDPOINTS = tuple(dict.fromkeys(endpoint for _, _, endpoint in ROUTES))

_LIMITS = {
    "onlineSession": (10, 30, 120), "batchSession": (10, 20, 60), "invoiceSend": (10, 30, 180),
    "invoiceStatus": (30, 120, 1200), "sessionList": (5, 10, 60),
    "sessionInvoiceList": (10, 20, 200), "sessionMisc": (10, 120, 1200),
    "invoiceMetadata": (8, 16, 20), "invoiceExport": (8, 16, 20),
    "invoiceExportStatus": (10, 60, 600), "invoiceDownload": (8, 16, 64),
    "other": (10, 30, 120),
}
RATE_LIMITS = {name: dict(zip(("perSecond", "perMinute", "perHour"), values))
               for name, values in _LIMITS.items()}


@dataclasses.dataclass
class Call:
    """One API request, as far as the calls look at it."""

    argument: str  # the reference number in the path, or None
    query: dict
    headers: object
    body: bytes
    client_ip: str

    def bearer(self):
        """The token of the Authorization header."""
        match = BEARER.fullmatch(self.headers.get("Authorization", ""))
        if not match:
            raise Unauthorized()
        return match.group(1)

    def media_type(self):
        """The Content-Type without its parameters, in lower case."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def one(self, name, default=None):
        """A query parameter that may be given once."""
        values = self.query.get(name, [default])
        if len(values) != 1:
            raise BadRequest(21405, name)
        return values[0]


def find_route(method, path):
    """(endpoint, argument) of a path below /v2; 404 and 405 as refusals."""
    methods = []
    for route_method, pattern, endpoint in ROUTES:
        match = pattern.fullmatch(path)
        if match and route_method == method:
            return endpoint, (match.groups() or (None,))[0]
        if match:
            methods.append(route_method)
    if methods:
        raise PlainRefusal(405, "method not allowed", {"Allow": ", ".join(methods)})
    raise PlainRefusal(404, "not found")


class Api:
    """Carries out API calls, with the faults that wait for them."""

    def __init__(self, authentication, faults, store):
        self._authentication = authentication
        self._faults = faults
        self._store = store
        self._calls = {
            "challenge": self._challenge,
            "xades": self._xades,
            "ksef-token": self._ksef_token,
            "public-keys": self._public_keys,
            "status": self._status,
            "redeem": self._redeem,
            "refresh": self._refresh,
            "auth-sessions": self._auth_sessions,
            "session-end": self._session_end,
            "sessions": self._sessions,
            "rate-limits": self._rate_limits,
        }

    def answer(self, endpoint, call):
        """The Answer to one call; a Refusal is raised."""
        fault = self._faults.next_for(endpoint)
        if fault and faults_module.replaces(fault):
            if endpoint == "xades":
                self._store.keep_refused(fault.kind, [], call.body)
            return faults_module.replacement(fault, call.client_ip)
        answer = self._calls[endpoint](call)
        return faults_module.damage(fault, answer) if fault else answer

    def _challenge(self, call):
        _refuse_form(call)
        return json_answer(200, self._authentication.new_challenge(call.client_ip))

    def _xades(self, call):
        try:
            _require_xml(call)
            verify_chain = _read_bool(call, "verifyCertificateChain")
            body = self._authentication.start(call.body, verify_chain)
        except BadRequest as refusal:
            self._store.keep_refused(refusal.code, refusal.details, call.body)
            raise
        except PlainRefusal as refusal:
            self._store.keep_refused(refusal.status, [refusal.text], call.body)
            raise
        self._store.keep_received(body["referenceNumber"], call.body)
        return json_answer(202, body)

    def _ksef_token(self, call):
        if call.media_type() != "application/json":
            raise PlainRefusal(415, "unsupported media type")
        return json_answer(202, self._authentication.start_token(call.body))

    def _public_keys(self, call):
        return json_answer(200, self._authentication.ministry.describe())

    def _status(self, call):
        return json_answer(200, self._authentication.poll(call.argument, call.bearer()))

    def _redeem(self, call):
        _refuse_form(call)
        return json_answer(200, self._authentication.redeem(call.bearer()))

    def _refresh(self, call):
        _refuse_form(call)
        return json_answer(200, self._authentication.refresh(call.bearer()))

    def _auth_sessions(self, call):
        operation = self._require_access(call)
        size = call.one("pageSize", "10")
        if not SMALL_NUMBER.fullmatch(size):
            raise BadRequest(21405, "pageSize")
        continuation = call.headers.get("x-continuation-token")
        return json_answer(
            200, self._authentication.list_sessions(operation, int(size), continuation))

    def _session_end(self, call):
        if call.argument is None:
            self._authentication.end_current(call.bearer(), call.client_ip)
        else:
            self._authentication.end_session(self._require_access(call), call.argument)
        return Answer(204)

    def _sessions(self, call):
        kind, value = self._require_access(call).context
        if call.one("sessionType") not in SESSION_TYPES:
            raise BadRequest(21405, "sessionType")
        return json_answer(200, {"continuationToken": None, "sessions": [],
                                 "context": {"type": kind, "value": value}})

    def _rate_limits(self, call):
        self._require_access(call)
        return json_answer(200, RATE_LIMITS)

    def _require_access(self, call):
        return self._authentication.require_access(call.bearer(), call.client_ip)


def _refuse_form(call):
    """KSeF answers 415 to a form type on a call without a body."""
    if call.media_type() in FORM_TYPES:
        raise PlainRefusal(415, "unsupported media type")


def _require_xml(call):
    """The signed document is the only request that is not JSON."""
    if call.media_type() != "application/xml":
        raise PlainRefusal(415, "unsupported media type")
    parameters = call.headers["Content-Type"].lower().split(";")[1:]
    for parameter in parameters:
        name, _, value = parameter.strip().partition("=")
        if name == "charset" and value.strip('"') != "utf-8":
            raise BadRequest(21217)


def _read_bool(call, name):
    """A boolean query parameter, false when it is absent."""
    text = call.one(name, "false").lower()
    if text not in ("true", "false"):
        raise BadRequest(21405, name)
    return text == "true"
