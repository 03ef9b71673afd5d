"""Who signed: the subject that KSeF reads from the signing certificate."""

import dataclasses
import re

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from document import CERTIFICATE_FINGERPRINT
from problems import BadRequest

_PERSON_NUMBER = re.compile(r"(?:PNOPL|PESEL)[^0-9]*([0-9]+)")
_TAX_NUMBER = re.compile(r"(?:TINPL|NIP)[^0-9]*([0-9]+)")
_COMPANY_NUMBER = re.compile(r"VATPL[^0-9]*([0-9]+)")
_PESEL_DIGITS = 11
_NIP_DIGITS = 10

ORGANIZATION_IDENTIFIER = x509.ObjectIdentifier("2.5.4.97")
KSEF_ISSUER = "Ministerstwo Finansów"


@dataclasses.dataclass(frozen=True)
class Subject:
    """An authenticated identity: kind is Nip, Pesel or Fingerprint."""

    kind: str
    value: str


def read_subject(certificate, request):
    """The subject by the request's SubjectIdentifierType; 21406 when they conflict."""
    subject = _numbered_subject(certificate)
    if request.subject_type == CERTIFICATE_FINGERPRINT:
        if subject is not None:
            raise BadRequest(21406, "Certyfikat zawiera identyfikator NIP lub PESEL.")
        subject = Subject("Fingerprint", certificate.fingerprint(hashes.SHA256()).hex().upper())
    if subject is None:
        raise BadRequest(21406, "Certyfikat nie zawiera identyfikatora NIP ani PESEL.")
    if request.context_type == "PeppolId":
        raise BadRequest(21117)
    return subject


def check_usage(certificate):
    """Only certificates for authentication log in; KSeF's offline type does not."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise BadRequest(21115, "Niepoprawny certyfikat.") from error
    if not usage.digital_signature:
        raise BadRequest(21115, "Certyfikat nie służy do uwierzytelniania.")


def method_of(certificate):
    """(deprecated enum, code, display name) of the login method."""
    issuer = _values(certificate.issuer, NameOID.ORGANIZATION_NAME)
    if KSEF_ISSUER in " ".join(issuer):
        return "InternalCertificate", "xades.ksef-certificate", "Certyfikat KSeF"
    if _values(certificate.subject, ORGANIZATION_IDENTIFIER):
        return "QualifiedSeal", "xades.qualified-seal", "Pieczęć kwalifikowana"
    return "QualifiedSignature", "xades.qualified-signature", "Podpis kwalifikowany"


def _numbered_subject(certificate):
    """The PESEL or NIP in the certificate's subject, or None."""
    for serial in _values(certificate.subject, NameOID.SERIAL_NUMBER):
        if match := _PERSON_NUMBER.match(serial):
            return Subject("Pesel", _exact_digits(match.group(1), _PESEL_DIGITS))
        if match := _TAX_NUMBER.match(serial):
            return Subject("Nip", _exact_digits(match.group(1), _NIP_DIGITS))
    for identifier in _values(certificate.subject, ORGANIZATION_IDENTIFIER):
        if match := _COMPANY_NUMBER.match(identifier):
            _check_seal(certificate)
            return Subject("Nip", _exact_digits(match.group(1), _NIP_DIGITS))
    return None


def _check_seal(certificate):
    """A seal names an organisation, never a person."""
    for oid in (NameOID.GIVEN_NAME, NameOID.SURNAME):
        if _values(certificate.subject, oid):
            raise BadRequest(21406, "Pieczęć nie może zawierać imienia ani nazwiska.")


def _exact_digits(digits, count):
    """`digits` when there are exactly `count` of them."""
    if len(digits) != count:
        raise BadRequest(21406, "Niepoprawna długość identyfikatora.")
    return digits


def _values(name, oid):
    """All values of one attribute of a distinguished name, as text."""
    return [str(attribute.value) for attribute in name.get_attributes_for_oid(oid)]
