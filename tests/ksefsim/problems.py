"""Refusals and their bodies.

KSeF API 2.0 answers 400 and 429 in a legacy JSON form, or as problem details
when the request says `X-Error-Format: problem-details`. 401, 403 and 410 are
always `application/problem+json`.
"""

import dataclasses
import enum
import json
import secrets
import uuid

from clock import iso

JSON = "application/json"
PROBLEM_JSON = "application/problem+json"
PLAIN = "text/plain; charset=utf-8"

DESCRIPTIONS = {
    9101: "Nieprawidłowy dokument.",
    9102: "Brak podpisu.",
    9103: "Przekroczona liczba dozwolonych podpisów.",
    9105: "Nieprawidłowy podpis.",
    21001: "Nieczytelna treść.",
    21111: "Nieprawidłowe wyzwanie autoryzacyjne.",
    21115: "Nieprawidłowy certyfikat.",
    21117: "Nieprawidłowy identyfikator podmiotu dla wskazanego typu kontekstu.",
    21217: "Nieprawidłowe kodowanie znaków.",
    21470: "Nieznany klucz publiczny.",
    21301: "Brak autoryzacji.",
    21304: "Brak uwierzytelnienia.",
    21308: "Próba wykorzystania metod autoryzacyjnych osoby zmarłej.",
    21401: "Dokument nie jest zgodny ze schemą (xsd).",
    21405: "Błąd walidacji danych wejściowych.",
    21406: "Konflikt podpisu i typu uwierzytelnienia.",
    21418: "Przekazany token kontynuacji ma nieprawidłowy format.",
    21470: "Nieprawidłowy identyfikator klucza publicznego.",
}

REASON_CODES = (
    "missing-permissions",
    "ip-not-allowed",
    "insufficient-resource-access",
    "auth-method-not-allowed",
    "security-service-blocked",
    "context-type-not-allowed",
)


class Delivery(enum.Enum):
    """How an answer reaches the client; all but WHOLE are faults."""

    WHOLE = enum.auto()
    HALF = enum.auto()  # the connection closes in the middle of the body
    NOTHING = enum.auto()  # the connection closes without an answer
    TRICKLE = enum.auto()  # byte by byte, with a pause before each
    ENDLESS = enum.auto()  # the body never ends


@dataclasses.dataclass
class Answer:
    """One HTTP answer; `body` is the exact bytes."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: dict = dataclasses.field(default_factory=dict)
    delivery: Delivery = Delivery.WHOLE
    delay: float = 0.0  # seconds before the answer; for TRICKLE before each byte


def json_answer(status, value, content_type=JSON, headers=None):
    """An answer whose body is `value` as compact UTF-8 JSON."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Answer(status, text.encode(), content_type, headers or {})


@dataclasses.dataclass
class Request:
    """What a refusal's body must know about the request that it answers."""

    path: str
    problem_details: bool
    instant: object


class Refusal(Exception):
    """A request that is answered with an error; subclasses build the body."""

    def answer(self, request):
        """The Answer for this refusal."""
        raise NotImplementedError


class BadRequest(Refusal):
    """400 with one KSeF exception code."""

    def __init__(self, code, *details):
        super().__init__(code, *details)
        self.code = code
        self.details = list(details)

    def answer(self, request):
        description = DESCRIPTIONS.get(self.code, "Błąd.")
        if request.problem_details:
            error = {"code": self.code, "description": description,
                     "details": self.details or None}
            return _problem(request, 400, "Bad Request", "Żądanie jest nieprawidłowe.",
                            errors=[error])
        exception = {
            "exceptionDetailList": [{
                "exceptionCode": self.code,
                "exceptionDescription": description,
                "details": self.details,
            }],
            "referenceNumber": str(uuid.uuid4()),
            "serviceCode": f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00",
            "serviceCtx": "ksefsim",
            "serviceName": "Undefined",
            "timestamp": iso(request.instant).removesuffix("+00:00"),
        }
        return json_answer(400, {"exception": exception})


class Unauthorized(Refusal):
    """401: no token, a bad one, an expired one, or one of the wrong kind."""

    def answer(self, request):
        return _problem(request, 401, "Unauthorized", "Wymagane jest uwierzytelnienie.")


class Forbidden(Refusal):
    """403 with a `reasonCode` and its optional `security` object."""

    def __init__(self, reason, security=None):
        super().__init__(reason)
        self.reason = reason
        self.security = security

    def answer(self, request):
        extra = {"reasonCode": self.reason}
        if self.security is not None:
            extra["security"] = self.security
        return _problem(request, 403, "Forbidden", "Brak dostępu do zasobu.", **extra)


class Gone(Refusal):
    """410: the status of this operation is no longer kept."""

    def answer(self, request):
        return _problem(request, 410, "Gone", "Zasób nie jest już dostępny.")


class TooManyRequests(Refusal):
    """429 with `Retry-After` in whole seconds."""

    def __init__(self, retry_after):
        super().__init__(retry_after)
        self.retry_after = retry_after

    def answer(self, request):
        detail = f"Przekroczono limit żądań. Spróbuj ponownie po {self.retry_after} sekundach."
        if request.problem_details:
            answer = _problem(request, 429, "Too Many Requests", detail)
        else:
            status = {"code": 429, "description": "Too Many Requests", "details": [detail]}
            answer = json_answer(429, {"status": status})
        answer.headers["Retry-After"] = str(self.retry_after)
        return answer


class PlainRefusal(Refusal):
    """A refusal by the web server itself (404, 405, 413, 415 ...), without KSeF JSON."""

    def __init__(self, status, text, headers=None):
        super().__init__(status, text)
        self.status = status
        self.text = text
        self.headers = headers or {}

    def answer(self, request):
        return Answer(self.status, self.text.encode() + b"\n", PLAIN, dict(self.headers))


def _problem(request, status, title, detail, **extra):
    """An `application/problem+json` answer."""
    body = {"title": title, "status": status, "instance": request.path, "detail": detail}
    body.update(extra)
    body["timestamp"] = iso(request.instant)
    body["traceId"] = secrets.token_hex(16)
    return json_answer(status, body, PROBLEM_JSON)
