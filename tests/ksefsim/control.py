"""The control interface under /control/: how a test steers the stand-in.

It is no part of KSeF. Unknown fields, wrong types and wrong values are
refused with 400 and a sentence, so that a typing error cannot pass as a test.
"""

import datetime
import json

from authentication import STATUS_DESCRIPTIONS, Outcome
from faults import KINDS, Fault
from identity import Subject
from ksef_tokens import STATES, KsefToken
from problems import REASON_CODES, PlainRefusal, json_answer
from references import CHALLENGE_PATTERN

COUNT_MAX = 1_000_000
SUBJECT_KINDS = ("Nip", "Pesel", "Fingerprint")
CONTEXT_KINDS = ("Nip", "InternalId", "NipVatUe", "PeppolId")
DELAY_MAX = 600
OVERSIZED_MAX = 256 * 1024 * 1024


class Control:
    """Carries out control calls on the parts of a running stand-in."""

    def __init__(self, clock, authentication, faults, store, traffic):
        self._clock = clock
        self._authentication = authentication
        self._faults = faults
        self._store = store
        self._traffic = traffic
        self._posts = {
            "fault": self._add_fault,
            "polls": self._set_polls,
            "status": self._set_status,
            "grant": self._grant,
            "challenge": self._plant_challenge,
            "clock": self._set_clock,
            "access": self._set_access,
            "tokens": self._set_tokens,
            "token": self._plant_token,
            "ministry": self._rotate,
            "clear": self._clear,
        }

    def answer(self, method, name, body):
        """The Answer to one control call."""
        if (method, name) == ("GET", "state"):
            return json_answer(200, self._state())
        if method != "POST" or name not in self._posts:
            raise PlainRefusal(404, "no such control call")
        self._posts[name](_Fields(body))
        return json_answer(200, {"ok": True})

    def _state(self):
        return {**self._traffic.describe(), **self._authentication.describe(),
                **self._store.describe(), "faults": self._faults.describe(),
                "clock_offset_seconds": self._clock.offset_seconds}

    def _add_fault(self, fields):
        endpoint = fields.choice("endpoint", self._traffic.endpoints)
        kind = fields.choice("kind", KINDS)
        times = fields.number("times", 1, COUNT_MAX, default=1)
        after = fields.number("after", 0, COUNT_MAX, default=0)
        extra = {name: _read_extra(fields, name, default)
                 for name, default in KINDS[kind].items()}
        fields.finish()
        self._faults.add(endpoint, Fault(kind, extra, times, after))

    def _set_polls(self, fields):
        count = fields.number("n", 0, COUNT_MAX)
        fields.finish()
        self._authentication.polls = count

    def _set_status(self, fields):
        code = fields.choice("code", STATUS_DESCRIPTIONS)
        details = fields.texts("details", default=[])
        times = fields.number("times", 1, COUNT_MAX, default=1)
        fields.finish()
        self._authentication.force_outcome(Outcome(code, details), times)

    def _grant(self, fields):
        subject = fields.pair("subject", SUBJECT_KINDS)
        context = fields.pair("context", CONTEXT_KINDS)
        fields.finish()
        self._authentication.grant(Subject(*subject), context)

    def _plant_challenge(self, fields):
        challenge = fields.text("challenge")
        fields.finish()
        if not CHALLENGE_PATTERN.fullmatch(challenge):
            raise _wrong("challenge has the wrong form")
        self._authentication.plant_challenge(challenge)

    def _set_clock(self, fields):
        offset = fields.number("offset_seconds", -10 * 366 * 86400, 10 * 366 * 86400)
        fields.finish()
        self._clock.offset_seconds = offset

    def _set_access(self, fields):
        seconds = fields.number("seconds", 1, 86400)
        fields.finish()
        self._authentication.access_lifetime = datetime.timedelta(seconds=seconds)

    def _set_tokens(self, fields):
        length = fields.number("bytes", 0, 65536)
        fields.finish()
        self._authentication.token_length = length

    def _plant_token(self, fields):
        text = fields.text("token")
        context = fields.pair("context", CONTEXT_KINDS)
        state = fields.choice("state", STATES, default="Active")
        fields.finish()
        self._authentication.plant_token(
            text, KsefToken(context, Subject("Nip", context[1][:10]), state))

    def _rotate(self, fields):
        emergency = fields.choice("rotation", ("planned", "emergency")) == "emergency"
        fields.finish()
        ministry = self._authentication.ministry
        (ministry.replace if emergency else ministry.add)()

    def _clear(self, fields):
        fields.finish()
        self._faults.clear()
        self._authentication.reset_controls()
        self._clock.offset_seconds = 0


def _wrong(text):
    return PlainRefusal(400, text)


def _read_extra(fields, name, default):
    """One extra field of a fault, of the type of its default."""
    if name == "reason":
        return fields.choice(name, REASON_CODES, default=default)
    if name == "status":
        return fields.number(name, 200, 599, default=default)
    if name == "delay":
        return fields.number(name, 0, DELAY_MAX, default=default, kind=(int, float))
    if isinstance(default, int):
        return fields.number(name, 0, OVERSIZED_MAX, default=default)
    if isinstance(default, list):
        return fields.texts(name, default=default)
    return fields.header_text(name, default) if name != "body" else fields.text(name, default)


class _Fields:
    """A JSON object whose every field must be asked for."""

    def __init__(self, body):
        try:
            value = json.loads(body or b"{}")
        except ValueError as error:
            raise _wrong("the body is not JSON") from error
        if not isinstance(value, dict):
            raise _wrong("the body is not a JSON object")
        self._value = value

    def finish(self):
        """Refuse fields that nobody asked for."""
        if self._value:
            raise _wrong(f"unknown fields: {', '.join(sorted(self._value))}")

    def _take(self, name, default):
        if name in self._value:
            return self._value.pop(name)
        if default is None:
            raise _wrong(f"{name} is missing")
        return default

    def choice(self, name, allowed, default=None):
        """One of the listed values."""
        value = self._take(name, default)
        if isinstance(value, (bool, list, dict)) or value not in allowed:
            raise _wrong(f"{name} must be one of: {', '.join(map(str, sorted(allowed)))}")
        return value

    def number(self, name, low, high, default=None, kind=int):
        """A number of the kind within the bounds."""
        value = self._take(name, default)
        if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
            raise _wrong(f"{name} must be a number from {low} to {high}")
        return value

    def text(self, name, default=None):
        """A string."""
        value = self._take(name, default)
        if not isinstance(value, str):
            raise _wrong(f"{name} must be a string")
        return value

    def header_text(self, name, default):
        """A string that is fit for an HTTP header, folded to ASCII as KSeF does."""
        value = self.text(name, default)
        if not value.isascii() or not value.isprintable():
            raise _wrong(f"{name} must be printable ASCII")
        return value

    def texts(self, name, default=None):
        """A list of strings."""
        value = self._take(name, default)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise _wrong(f"{name} must be a list of strings")
        return value

    def pair(self, name, kinds):
        """{"type", "value"} as a tuple."""
        value = self._take(name, None)
        if not isinstance(value, dict) or set(value) != {"type", "value"}:
            raise _wrong(f"{name} must have exactly type and value")
        if value["type"] not in kinds or not isinstance(value["value"], str):
            raise _wrong(f"{name}.type must be one of: {', '.join(kinds)}")
        return value["type"], value["value"]
