"""Challenges, authentication operations, permissions and login sessions.

Everything of KSeF API 2.0 that outlives one request is kept here, behind one
lock; the HTTP side only translates.
"""

import base64
import binascii
import dataclasses
import datetime
import ipaddress
import json
import re
import threading

import document
import identity
import ksef_tokens
import references
import signature
from clock import iso, milliseconds
from problems import BadRequest, Forbidden, Unauthorized
from tokens import (ACCESS_TOKEN, AUTHENTICATION_TOKEN, LIFETIMES, REFRESH_TOKEN, BadToken,
                    TokenMint)

CHALLENGE_LIFETIME = datetime.timedelta(minutes=10)
PAGE_SIZE_MIN, PAGE_SIZE_MAX = 10, 100
IN_PROGRESS, SUCCESS, REVOKED = 100, 200, 425

STATUS_DESCRIPTIONS = {
    IN_PROGRESS: "Uwierzytelnianie w toku",
    SUCCESS: "Uwierzytelnianie zakończone sukcesem",
    400: "Uwierzytelnianie zakończone niepowodzeniem",
    415: "Uwierzytelnianie zakończone niepowodzeniem",
    REVOKED: "Uwierzytelnienie unieważnione",
    450: "Uwierzytelnianie zakończone niepowodzeniem z powodu błędnego tokenu",
    460: "Uwierzytelnianie zakończone niepowodzeniem z powodu błędu certyfikatu",
    470: "Uwierzytelnianie zakończone niepowodzeniem",
    480: "Uwierzytelnienie zablokowane",
    500: "Nieznany błąd",
    550: "Operacja została anulowana przez system",
}
_PERMISSIONS_OF_OWNER = ["Owner"]
_CONTINUATION = re.compile(r"from:([0-9]{1,9})")


@dataclasses.dataclass
class Outcome:
    """What an operation's status says."""

    code: int
    details: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Operation:
    """One login: first an asynchronous operation, after redeem a session."""

    reference: str
    start: datetime.datetime
    context: tuple  # (type, value)
    subject: identity.Subject
    method: tuple  # (deprecated enum, code, display name)
    allowed_ips: list
    outcome: Outcome
    polls_left: int
    settled: bool = False
    redeemed: bool = False
    ksef_token: str = None  # a login by token
    last_refresh: datetime.datetime = None
    refresh_until: datetime.datetime = None

    def status(self):
        """The outcome as far as it has been shown to the client."""
        return self.outcome if self.settled else Outcome(IN_PROGRESS)


class Authentication:
    """The state of the stand-in's authentication; every method locks."""

    def __init__(self, clock):
        self._clock = clock
        self._lock = threading.RLock()
        self._mint = TokenMint(clock)
        self._challenges = {}  # challenge -> (instant of its end, its timestampMs)
        self._tokens = {}  # text -> KsefToken
        self.ministry = ksef_tokens.Ministry(clock)
        self._operations = {}  # reference -> Operation
        self._grants = set()  # (subject kind, subject value, context type, context value)
        self.reset_controls()

    # --- control -------------------------------------------------------------

    @property
    def token_length(self):
        """Bytes that each JWT has at least; 0: as its claims make it."""
        return self._mint.length

    @token_length.setter
    def token_length(self, length):
        self._mint.length = length

    def reset_controls(self):
        """Back to the defaults: one poll in progress, true outcomes, no grants."""
        with self._lock:
            self.polls = 1
            self.access_lifetime = LIFETIMES[ACCESS_TOKEN]
            self.token_length = 0
            self._forced = None
            self._forced_times = 0
            self._grants.clear()

    def force_outcome(self, outcome, times):
        """Let the next `times` accepted requests end with `outcome`."""
        with self._lock:
            self._forced, self._forced_times = outcome, times

    def grant(self, subject, context):
        """Give `subject` a permission in the context (type, value)."""
        with self._lock:
            self._grants.add((subject.kind, subject.value, *context))

    def plant_challenge(self, challenge):
        """Treat `challenge` as issued now: for samples signed long ago."""
        with self._lock:
            now = self._clock.now()
            self._challenges[challenge] = (now + CHALLENGE_LIFETIME, milliseconds(now))

    def plant_token(self, text, token):
        """Know the KSeF token `text`; planting it again changes its state."""
        with self._lock:
            self._tokens[text] = token

    def describe(self):
        """What the control interface shows; no tokens."""
        with self._lock:
            now = self._clock.now()
            open_challenges = sum(1 for end, _ in self._challenges.values() if end > now)
            return {"open_challenges": open_challenges, "polls": self.polls,
                    "sessions": [self._describe(item) for item in self._operations.values()]}

    def _describe(self, operation):
        kind, value = operation.context
        return {
            "referenceNumber": operation.reference,
            "context": {"type": kind, "value": value},
            "subject": dataclasses.asdict(operation.subject),
            "startDate": iso(operation.start),
            "status": operation.status().code,
            "redeemed": operation.redeemed,
            "open": self._is_open(operation),
        }

    # --- login ---------------------------------------------------------------

    def new_challenge(self, client_ip):
        """The body of POST /auth/challenge."""
        with self._lock:
            now = self._clock.now()
            challenge = references.new_reference(references.CHALLENGE, now)
            self._challenges[challenge] = (now + CHALLENGE_LIFETIME, milliseconds(now))
        return {"challenge": challenge, "timestamp": iso(now),
                "timestampMs": milliseconds(now), "clientIp": client_ip}

    def start(self, body, verify_chain):
        """The body of the 202 to a signed AuthTokenRequest, or a BadRequest.

        The challenge is consumed once the document is well-formed, so a
        request with a bad signature costs its challenge.
        """
        root = document.parse_xml(body)
        signature_element = document.only_signature(root)
        request = document.read_request(root, signature_element)
        self._consume_challenge(request.challenge)
        now = self._clock.now()
        certificate = signature.verify_signature(root, signature_element, now)
        identity.check_usage(certificate)
        subject = identity.read_subject(certificate, request)
        with self._lock:
            operation = Operation(
                reference=references.new_reference(references.AUTHENTICATION, now),
                start=now,
                context=(request.context_type, request.context_value),
                subject=subject,
                method=identity.method_of(certificate),
                allowed_ips=request.allowed_ips,
                outcome=self._decide(certificate, subject, request, verify_chain),
                polls_left=self.polls,
            )
            self._operations[operation.reference] = operation
            token = self._token(AUTHENTICATION_TOKEN, {"arn": operation.reference})
        return {"referenceNumber": operation.reference, "authenticationToken": token}

    def start_token(self, body):
        """The body of the 202 to a login by KSeF token; what is wrong with it comes later, as 450."""
        request = ksef_tokens.read_request(body)
        with self._lock:
            plain = self.ministry.decrypt(request.key_id, request.encrypted)
        instant = self._consume_challenge(request.challenge)
        text, wrong = ksef_tokens.split(plain, instant)
        now = self._clock.now()
        with self._lock:
            token = self._tokens.get(text)
            operation = Operation(
                reference=references.new_reference(references.AUTHENTICATION, now),
                start=now,
                context=request.context,
                subject=token.subject if token else identity.Subject("Nip", "0000000000"),
                method=("Token", "token.ksef", "Token KSeF"),
                allowed_ips=request.allowed_ips,
                outcome=self._decide_token(token, wrong, request.context),
                polls_left=self.polls,
                ksef_token=text,
            )
            self._operations[operation.reference] = operation
            answer = self._token(AUTHENTICATION_TOKEN, {"arn": operation.reference})
        return {"referenceNumber": operation.reference, "authenticationToken": answer}

    def _decide_token(self, token, wrong, context):
        if self._forced_times > 0:
            self._forced_times -= 1
            return self._forced
        if wrong or token is None:
            return Outcome(450, [wrong or "Nieprawidłowy token"])
        if token.state in ("Revoking", "Revoked"):
            return Outcome(450, ["Token unieważniony"])
        if token.state != "Active":
            return Outcome(450, ["Token nieaktywny"])
        if token.context != context:
            return Outcome(415, ["Brak przypisanych uprawnień"])
        return Outcome(SUCCESS)

    def _consume_challenge(self, challenge):
        """The challenge's timestampMs; it is good once."""
        with self._lock:
            end, instant = self._challenges.pop(challenge, (None, None))
            if end is None or self._clock.now() >= end:
                raise BadRequest(21111)
            return instant

    def _decide(self, certificate, subject, request, verify_chain):
        """The outcome: forced, else certificate time, chain, permission."""
        if self._forced_times > 0:
            self._forced_times -= 1
            return self._forced
        now = self._clock.now().replace(tzinfo=None)
        if not certificate.not_valid_before <= now <= certificate.not_valid_after:
            return Outcome(460, ["Nieważny certyfikat"])
        if verify_chain:
            return Outcome(460, ["Niezaufany łańcuch certyfikatów"])
        if not self._may_enter(subject, request.context_type, request.context_value):
            return Outcome(415, ["Brak przypisanych uprawnień"])
        return Outcome(SUCCESS)

    def _may_enter(self, subject, context_type, context_value):
        """Owner of the own NIP and of its internal identifiers, or granted."""
        if (subject.kind, subject.value, context_type, context_value) in self._grants:
            return True
        owned = context_type in ("Nip", "InternalId") and context_value[:10] == subject.value
        return owned and subject.kind == "Nip"

    def poll(self, reference, token):
        """The body of GET /auth/{referenceNumber}."""
        with self._lock:
            operation = self._operation_of(token, AUTHENTICATION_TOKEN)
            if reference not in self._operations:
                raise BadRequest(21304, "Operacja uwierzytelniania o numerze referencyjnym "
                                        f"{reference} nie została znaleziona.")
            if operation.reference != reference:
                raise Forbidden("insufficient-resource-access")
            if operation.polls_left > 0:
                operation.polls_left -= 1
            else:
                operation.settled = True
            return self._view(operation)

    def redeem(self, token):
        """The body of POST /auth/token/redeem: once, and only after status 200."""
        with self._lock:
            operation = self._operation_of(token, AUTHENTICATION_TOKEN)
            status = operation.status().code
            if status != SUCCESS:
                raise BadRequest(21301, f"Status uwierzytelniania ({status}) "
                                        "nie pozwala na pobranie tokenów.")
            if operation.redeemed:
                raise BadRequest(21301, "Tokeny dla operacji uwierzytelniania "
                                        f"{operation.reference} zostały już pobrane.")
            operation.redeemed = True
            operation.refresh_until = self._clock.now() + LIFETIMES[REFRESH_TOKEN]
            return {"accessToken": self._access_token(operation),
                    "refreshToken": self._token(REFRESH_TOKEN, self._claims(operation))}

    def refresh(self, token):
        """The body of POST /auth/token/refresh; the refresh token stays good."""
        with self._lock:
            operation = self._operation_of(token, REFRESH_TOKEN)
            status = operation.status().code
            if status != SUCCESS:
                raise BadRequest(21301, f"Status uwierzytelniania ({status}) "
                                        "nie pozwala na odświeżenie tokenu dostępowego.")
            token = self._tokens.get(operation.ksef_token)
            if token and token.state in ("Revoking", "Revoked"):
                raise BadRequest(21301, "Token KSeF został unieważniony.")
            operation.last_refresh = self._clock.now()
            return {"accessToken": self._access_token(operation)}

    # --- sessions ------------------------------------------------------------

    def require_access(self, token, client_ip):
        """The operation behind a valid access token that this client may use."""
        with self._lock:
            operation = self._operation_of(token, ACCESS_TOKEN)
        if not _ip_allowed(operation.allowed_ips, client_ip):
            raise Forbidden("ip-not-allowed", {"clientIp": client_ip})
        return operation

    def list_sessions(self, operation, page_size, continuation):
        """The body of GET /auth/sessions: own open sessions, newest first."""
        if not PAGE_SIZE_MIN <= page_size <= PAGE_SIZE_MAX:
            raise BadRequest(21405, "pageSize")
        start = _read_continuation(continuation)
        with self._lock:
            own = [item for item in self._operations.values() if self._is_open(item)
                   and (item.subject, item.context) == (operation.subject, operation.context)]
            own.sort(key=lambda item: item.start, reverse=True)
            page = own[start:start + page_size]
            items = [{"referenceNumber": item.reference, "isCurrent": item is operation,
                      **self._view(item)} for item in page]
        following = start + page_size
        token = _write_continuation(following) if following < len(own) else None
        return {"continuationToken": token, "items": items}

    def end_current(self, token, client_ip):
        """DELETE /auth/sessions/current, by access token or refresh token."""
        with self._lock:
            try:
                operation = self._operation_of(token, REFRESH_TOKEN)
            except (Unauthorized, Forbidden):
                operation = self.require_access(token, client_ip)
            self._revoke(operation)

    def end_session(self, operation, reference):
        """DELETE /auth/sessions/{referenceNumber}, own sessions only."""
        with self._lock:
            other = self._operations.get(reference)
            if other is None or not other.redeemed:
                raise BadRequest(21304)
            if (other.subject, other.context) != (operation.subject, operation.context):
                raise Forbidden("insufficient-resource-access")
            self._revoke(other)

    def _revoke(self, operation):
        """Kill the refresh token; access tokens live until they expire."""
        operation.outcome = Outcome(REVOKED)

    def _is_open(self, operation):
        """Redeemed, not revoked, and its refresh token not expired."""
        return (operation.redeemed and operation.outcome.code == SUCCESS
                and self._clock.now() < operation.refresh_until)

    # --- tokens and views ----------------------------------------------------

    def _operation_of(self, token, kind):
        """The operation of a genuine token; 401, or 403 for the wrong kind on data calls."""
        try:
            claims = self._mint.read(token)
        except BadToken as error:
            raise Unauthorized() from error
        if claims["typ"] != kind:
            if kind == ACCESS_TOKEN:
                raise Forbidden("insufficient-resource-access")
            raise Unauthorized()
        return self._operations[claims["arn"]]

    def _token(self, kind, claims, lifetime=None):
        text, until = self._mint.issue(kind, claims, lifetime)
        return {"token": text, "validUntil": iso(until)}

    def _access_token(self, operation):
        return self._token(ACCESS_TOKEN, self._claims(operation), self.access_lifetime)

    def _claims(self, operation):
        """Claims of access and refresh tokens; lists are JSON inside strings."""
        subject = {"subjectIdentifier": {"type": operation.subject.kind,
                                         "value": operation.subject.value}}
        owner = json.dumps(_PERMISSIONS_OF_OWNER)
        return {"arn": operation.reference, "cit": operation.context[0],
                "civ": operation.context[1], "aum": operation.method[0],
                "sud": json.dumps(subject), "per": "[]", "pec": "[]", "rol": owner,
                "pep": owner, "iop": json.dumps([text for _, text in operation.allowed_ips])}

    def _view(self, operation):
        """The fields that the status call and the session list share."""
        enum, code, display = operation.method
        outcome = operation.status()
        status = {"code": outcome.code, "description": STATUS_DESCRIPTIONS[outcome.code]}
        if outcome.details:
            status["details"] = outcome.details
        view = {
            "startDate": iso(operation.start),
            "authenticationMethod": enum,
            "authenticationMethodInfo": {"category": "Token" if operation.ksef_token
                                         else "XadesSignature", "code": code,
                                         "displayName": display},
            "status": status,
        }
        if operation.redeemed:
            view["isTokenRedeemed"] = True
            view["refreshTokenValidUntil"] = iso(operation.refresh_until)
        if operation.last_refresh:
            view["lastTokenRefreshDate"] = iso(operation.last_refresh)
        return view


def _ip_allowed(entries, client_ip):
    """Whether an AuthorizationPolicy lets this client in; none lets everyone."""
    address = ipaddress.IPv4Address(client_ip)
    return not entries or any(_ip_matches(kind, text, address) for kind, text in entries)


def _ip_matches(kind, text, address):
    if kind == "Ip4Address":
        return address == ipaddress.IPv4Address(text)
    if kind == "Ip4Mask":
        return address in ipaddress.IPv4Network(text, strict=False)
    low, high = text.split("-")
    return ipaddress.IPv4Address(low) <= address <= ipaddress.IPv4Address(high)


def _write_continuation(offset):
    return base64.b64encode(f"from:{offset}".encode()).decode()


def _read_continuation(token):
    """The offset inside an opaque continuation token; none means the start."""
    if not token:
        return 0
    try:
        text = base64.b64decode(token, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise BadRequest(21418) from error
    match = _CONTINUATION.fullmatch(text)
    if not match:
        raise BadRequest(21418)
    return int(match.group(1))
