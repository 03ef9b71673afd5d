"""The AuthTokenRequest document: encoding, XML, and the rules of its schemas.

KSeF API 2.0 accepts the namespaces 2.0 and 2.1. The published XSDs cannot be
used as they are (one does not compile, the other refuses two context types,
neither allows the signature), so the same rules are written out here.
"""

import dataclasses
import re

from lxml import etree

from problems import BadRequest
from references import CHALLENGE_PATTERN

NAMESPACES = ("http://ksef.mf.gov.pl/auth/token/2.0", "http://ksef.mf.gov.pl/auth/token/2.1")
DSIG = "http://www.w3.org/2000/09/xmldsig#"
SIGNATURE = f"{{{DSIG}}}Signature"
SCHEMA_LOCATION = "{http://www.w3.org/2001/XMLSchema-instance}schemaLocation"

CERTIFICATE_SUBJECT = "certificateSubject"
CERTIFICATE_FINGERPRINT = "certificateFingerprint"

_NIP = r"[1-9](?:[0-9][1-9]|[1-9][0-9])[0-9]{7}"
_VAT_UE = (
    r"(?:ATU[0-9]{8}|BE[01][0-9]{9}|BG[0-9]{9,10}|CY[0-9]{8}[A-Z]|CZ[0-9]{8,10}"
    r"|DE[0-9]{9}|DK[0-9]{8}|EE[0-9]{9}|EL[0-9]{9}"
    r"|ES(?:[A-Z][0-9]{8}|[0-9]{8}[A-Z]|[A-Z][0-9]{7}[A-Z])|FI[0-9]{8}"
    r"|FR[A-Z0-9]{2}[0-9]{9}|HR[0-9]{11}|HU[0-9]{8}"
    r"|IE(?:[0-9]{7}[A-Z]{2}|[0-9][A-Z0-9+*][0-9]{5}[A-Z])|IT[0-9]{11}"
    r"|LT(?:[0-9]{9}|[0-9]{12})|LU[0-9]{8}|LV[0-9]{11}|MT[0-9]{8}|NL[A-Z0-9+*]{12}"
    r"|PT[0-9]{9}|RO[0-9]{2,10}|SE[0-9]{12}|SI[0-9]{8}|SK[0-9]{10}"
    r"|XI(?:[0-9]{9}|[0-9]{12}|(?:GD|HA)[0-9]{3}))"
)
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9][0-9]|[0-9])"
_IP4 = rf"(?:{_OCTET}\.){{3}}{_OCTET}"

CONTEXT_PATTERNS = {
    "Nip": re.compile(_NIP),
    "InternalId": re.compile(_NIP + r"-[0-9]{5}"),
    "NipVatUe": re.compile(_NIP + "-" + _VAT_UE),
    "PeppolId": re.compile(r"P[A-Z]{2}[0-9]{6}"),
}
IP_PATTERNS = {
    "Ip4Address": re.compile(_IP4),
    "Ip4Range": re.compile(_IP4 + "-" + _IP4),
    "Ip4Mask": re.compile(_IP4 + r"/(?:[0-9]|[12][0-9]|3[0-2])"),
}
IP_ENTRIES_MAX = 10
NIP_WEIGHTS = (6, 5, 7, 2, 3, 4, 5, 6, 7)


@dataclasses.dataclass
class AuthTokenRequest:
    """The fields of a request whose document follows the schema."""

    challenge: str
    context_type: str
    context_value: str
    subject_type: str
    allowed_ips: list  # of (kind, text), kind a key of IP_PATTERNS


def parse_xml(body):
    """The root element of `body`: UTF-8, well-formed, without a DTD."""
    if not body:
        raise BadRequest(21001, "Pusta treść żądania.")
    if body.startswith(b"\xef\xbb\xbf"):
        raise BadRequest(21217, "BOM.")
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest(21217) from error
    parser = etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True,
                             huge_tree=False, strip_cdata=False)
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise BadRequest(9101, "Dokument nie jest poprawnym XML.") from error
    info = root.getroottree().docinfo
    if info.internalDTD is not None:
        raise BadRequest(9101, "DTD jest niedozwolone.")
    if (info.encoding or "utf-8").lower() != "utf-8":
        raise BadRequest(21217)
    return root


def only_signature(root):
    """The document's one signature element."""
    found = list(root.iter(SIGNATURE))
    if not found:
        raise BadRequest(9102)
    if len(found) > 1:
        raise BadRequest(9103)
    return found[0]


def read_request(root, signature):
    """The request's fields, after every rule of the schema was checked."""
    namespace = etree.QName(root).namespace
    if namespace not in NAMESPACES or etree.QName(root).localname != "AuthTokenRequest":
        raise BadRequest(21401, "Nieznany element główny.")
    _check_attributes(root, (SCHEMA_LOCATION,))
    children = _children(root)
    if not children or children[-1] is not signature:
        raise BadRequest(21401, "Podpis musi być ostatnim elementem dokumentu.")
    fields = _Fields(children[:-1], namespace)
    challenge = _pattern(fields.take("Challenge"), CHALLENGE_PATTERN, collapse=True)
    context_type, context_value = _read_context(fields.take("ContextIdentifier"), namespace)
    subject_type = _value(fields.take("SubjectIdentifierType")).strip()
    if subject_type not in (CERTIFICATE_SUBJECT, CERTIFICATE_FINGERPRINT):
        raise BadRequest(21401, "SubjectIdentifierType")
    policy = fields.take_optional("AuthorizationPolicy")
    allowed_ips = [] if policy is None else _read_policy(policy, namespace)
    fields.finish()
    _check_nip(context_type, context_value)
    return AuthTokenRequest(challenge, context_type, context_value, subject_type, allowed_ips)


def nip_checksum_holds(nip):
    """The weighted checksum of the Polish tax number."""
    total = sum(weight * int(digit) for weight, digit in zip(NIP_WEIGHTS, nip))
    return total % 11 == int(nip[9])


class _Fields:
    """A sequence of child elements that is consumed in schema order."""

    def __init__(self, elements, namespace):
        self._elements = list(elements)
        self._namespace = namespace

    def take_optional(self, name):
        """The next element if it is called `name`, else None."""
        if self._elements and self._elements[0].tag == f"{{{self._namespace}}}{name}":
            return self._elements.pop(0)
        return None

    def take(self, name):
        """The next element, which must be called `name`."""
        element = self.take_optional(name)
        if element is None:
            raise BadRequest(21401, f"Oczekiwano elementu {name}.")
        return element

    def finish(self):
        """Refuse what is left over."""
        if self._elements:
            raise BadRequest(21401, f"Nieoczekiwany element {self._elements[0].tag}.")


def _children(element):
    """Child elements; comments are skipped, other text and nodes are refused."""
    texts = [element.text] + [child.tail for child in element]
    if any(text and text.strip(" \t\r\n") for text in texts):
        raise BadRequest(21401, "Niedozwolony tekst między elementami.")
    nodes = [child for child in element if child.tag is not etree.Comment]
    if not all(isinstance(node.tag, str) for node in nodes):
        raise BadRequest(21401, "Niedozwolony węzeł.")
    return nodes


def _check_attributes(element, allowed=()):
    """Refuse attributes that the schema does not know."""
    if any(name not in allowed for name in element.attrib):
        raise BadRequest(21401, "Niedozwolony atrybut.")


def _value(element):
    """The text of a leaf; anything inside it, comments too, is refused."""
    _check_attributes(element)
    if len(element):
        raise BadRequest(21401, "Niedozwolona zawartość elementu.")
    return element.text or ""


def _pattern(element, pattern, collapse=False):
    """The text of a leaf that matches `pattern` as a whole."""
    text = _value(element)
    if collapse:
        text = text.strip(" \t\r\n")
    if not pattern.fullmatch(text):
        raise BadRequest(21401, f"Niepoprawna wartość {etree.QName(element).localname}.")
    return text


def _read_context(element, namespace):
    """The type and value of the one context identifier."""
    _check_attributes(element)
    children = _children(element)
    names = [etree.QName(child).localname for child in children]
    if len(names) != 1 or names[0] not in CONTEXT_PATTERNS:
        raise BadRequest(21401, "ContextIdentifier")
    if etree.QName(children[0]).namespace != namespace:
        raise BadRequest(21401, "ContextIdentifier")
    return names[0], _pattern(children[0], CONTEXT_PATTERNS[names[0]])


def _read_policy(policy, namespace):
    """The addresses of AuthorizationPolicy/AllowedIps, in document order."""
    _check_attributes(policy)
    fields = _Fields(_children(policy), namespace)
    allowed = fields.take("AllowedIps")
    fields.finish()
    _check_attributes(allowed)
    fields = _Fields(_children(allowed), namespace)
    entries = []
    for name, pattern in IP_PATTERNS.items():
        entries += _take_addresses(fields, name, pattern)
    fields.finish()
    return entries


def _take_addresses(fields, name, pattern):
    """All next entries called `name`, at most ten."""
    entries = []
    while (element := fields.take_optional(name)) is not None:
        entries.append((name, _pattern(element, pattern, collapse=True)))
    if len(entries) > IP_ENTRIES_MAX:
        raise BadRequest(21401, f"Zbyt wiele elementów {name}.")
    return entries


def _check_nip(context_type, value):
    """The NIP checksum, which the schema leaves out."""
    if context_type != "PeppolId" and not nip_checksum_holds(value[:10]):
        raise BadRequest(21405, "Niepoprawna suma kontrolna NIP.")
