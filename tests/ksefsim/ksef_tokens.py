"""KSeF tokens and the ministry's keys to which they are encrypted (KSeF API 2.0)."""

import base64
import binascii
import dataclasses
import datetime
import hashlib
import json
import re

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from clock import iso
from document import CONTEXT_PATTERNS, IP_PATTERNS, nip_checksum_holds
from identity import Subject
from problems import BadRequest

STATES = ("Pending", "Active", "Revoking", "Revoked", "Failed")
KEY_BITS = 2048
KEY_LIFETIME = datetime.timedelta(days=730)
TOKEN_MAX = 160
_FIELDS = {"challenge", "contextIdentifier", "encryptedToken", "publicKeyId",
           "authorizationPolicy"}
_IP_LISTS = (("ip4Addresses", "Ip4Address"), ("ip4Ranges", "Ip4Range"), ("ip4Masks", "Ip4Mask"))
_OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


@dataclasses.dataclass
class KsefToken:
    """One token of a company: it acts as its author in its context."""

    context: tuple
    subject: Subject
    state: str


class Ministry:
    """The keys that GET /security/public-key-certificates lists."""

    def __init__(self, clock):
        self._clock = clock
        self._keys = []  # (private key, certificate), oldest first
        self._made = 0  # a later key begins later
        self.add()

    def add(self):
        """A planned rotation: a newer key beside the others."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        now = self._clock.now().replace(tzinfo=None, microsecond=0)
        start = now - datetime.timedelta(days=30) + datetime.timedelta(days=self._made)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Ministerstwo Finansów")])
        certificate = (x509.CertificateBuilder().subject_name(name).issuer_name(name)
                       .public_key(key.public_key())
                       .serial_number(x509.random_serial_number())
                       .not_valid_before(start).not_valid_after(start + KEY_LIFETIME)
                       .sign(key, hashes.SHA256()))
        self._keys.append((key, certificate))
        self._made += 1

    def replace(self):
        """An emergency rotation: all former keys are gone."""
        self.add()
        self._keys = self._keys[-1:]

    def describe(self):
        """The list, as KSeF answers it."""
        return [self._entry(certificate) for _, certificate in self._keys]

    def decrypt(self, key_id, text):
        """The plain text, None if it cannot be read; 21470 for a key that is not listed."""
        for key, certificate in self._keys:
            if key_id in (None, _key_id(certificate)):
                try:
                    return key.decrypt(base64.b64decode(text, validate=True), _OAEP).decode()
                except (ValueError, binascii.Error):
                    return None
        raise BadRequest(21470)

    @staticmethod
    def _entry(certificate):
        der = certificate.public_bytes(serialization.Encoding.DER)
        return {"certificate": base64.b64encode(der).decode(),
                "certificateId": base64.b64encode(hashlib.sha256(der).digest()).decode(),
                "publicKeyId": _key_id(certificate),
                "validFrom": iso(_aware(certificate.not_valid_before)),
                "validTo": iso(_aware(certificate.not_valid_after)),
                "usage": ["KsefTokenEncryption", "SymmetricKeyEncryption"]}


@dataclasses.dataclass
class TokenRequest:
    """The body of POST /auth/ksef-token, checked."""

    challenge: str
    context: tuple
    encrypted: str
    key_id: str
    allowed_ips: list


def read_request(body):
    """A TokenRequest, or 21405."""
    try:
        fields = json.loads(body)
        unknown = set(fields) - _FIELDS
        context = fields["contextIdentifier"]
        kind, value = context["type"], context["value"]
        encrypted, challenge = fields["encryptedToken"], fields["challenge"]
    except (ValueError, TypeError, KeyError) as error:
        raise BadRequest(21405, "Niepoprawne żądanie.") from error
    good = (not unknown and set(context) == {"type", "value"} and kind in CONTEXT_PATTERNS
            and isinstance(value, str) and CONTEXT_PATTERNS[kind].fullmatch(value)
            and isinstance(encrypted, str) and isinstance(challenge, str))
    if not good or (kind != "PeppolId" and not nip_checksum_holds(value[:10])):
        raise BadRequest(21405, "Niepoprawne żądanie.")
    return TokenRequest(challenge, (kind, value), encrypted, fields.get("publicKeyId"),
                        _read_policy(fields.get("authorizationPolicy")))


def split(plain, instant_ms):
    """(token, None), or (None, why not): the time behind the last bar is the challenge's."""
    if plain is None:
        return None, "Nieprawidłowe szyfrowanie tokena"
    token, bar, stamp = plain.rpartition("|")
    if not bar or not re.fullmatch(r"[0-9]+", stamp):
        return None, "Nieprawidłowe kodowanie tokena"
    if int(stamp) != instant_ms:
        return None, "Nieprawidłowy czas tokena"
    if len(token) > TOKEN_MAX:
        return None, "Nieprawidłowy token"
    return token, None


def _read_policy(policy):
    if policy is None:
        return []
    entries = []
    allowed = policy.get("allowedIps") if isinstance(policy, dict) else None
    if not isinstance(allowed, dict) or set(policy) != {"allowedIps"}:
        raise BadRequest(21405, "authorizationPolicy")
    for name, kind in _IP_LISTS:
        for text in allowed.get(name) or []:
            if not isinstance(text, str) or not IP_PATTERNS[kind].fullmatch(text):
                raise BadRequest(21405, name)
            entries.append((kind, text))
    if set(allowed) - {name for name, _ in _IP_LISTS}:
        raise BadRequest(21405, "allowedIps")
    return entries


def _key_id(certificate):
    spki = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(spki).digest()).decode()


def _aware(instant):
    return instant.replace(tzinfo=datetime.timezone.utc)
