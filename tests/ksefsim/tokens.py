"""The three JWTs: HS256 under a secret of this run, with KSeF's claim names."""

import base64
import binascii
import datetime
import hashlib
import hmac
import json
import secrets

from clock import unix_seconds

AUTHENTICATION_TOKEN = "AuthenticationToken"
ACCESS_TOKEN = "ContextToken"
REFRESH_TOKEN = "RefreshToken"

LIFETIMES = {
    AUTHENTICATION_TOKEN: datetime.timedelta(minutes=45),
    ACCESS_TOKEN: datetime.timedelta(minutes=15),
    REFRESH_TOKEN: datetime.timedelta(days=7),
}
_HEADER = {"alg": "HS256", "typ": "JWT"}


class BadToken(Exception):
    """Not a token of this server, or an expired one."""


class TokenMint:
    """Makes and reads JWTs."""

    def __init__(self, clock):
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self.length = 0  # of every token, at least; 0: as long as its claims make it

    def issue(self, kind, claims, lifetime=None):
        """(token, the instant until which it is valid)."""
        now = self._clock.now()
        until = now + (lifetime or LIFETIMES[kind])
        payload = {"typ": kind, **claims, "exp": unix_seconds(until), "iat": unix_seconds(now),
                   "iss": "ksef-api-te", "aud": "ksef-api-te"}
        token = self._sign(payload)
        missing = self.length - len(token)
        if missing > 0:  # base64 has four characters for three bytes
            token = self._sign({**payload, "pad": "x" * max(0, missing * 3 // 4 - 9)})
        return token, until

    def _sign(self, payload):
        signed = f"{_encode_json(_HEADER)}.{_encode_json(payload)}"
        return f"{signed}.{_encode(self._mac(signed))}"

    def read(self, token):
        """The claims of a genuine, unexpired token."""
        signed, _, mac = token.rpartition(".")
        try:
            genuine = hmac.compare_digest(_decode(mac), self._mac(signed))
            if not genuine:
                raise BadToken("signature")
            claims = json.loads(_decode(signed.partition(".")[2]))
        except (ValueError, binascii.Error) as error:
            raise BadToken("form") from error
        if unix_seconds(self._clock.now()) >= claims["exp"]:
            raise BadToken("expired")
        return claims

    def _mac(self, signed):
        return hmac.new(self._secret, signed.encode(), hashlib.sha256).digest()


def _encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _encode_json(value):
    return _encode(json.dumps(value, separators=(",", ":")).encode())


def _decode(text):
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
