"""The XAdES signature of an AuthTokenRequest.

libxmlsec computes the digests and the signature. What may be signed, with
which algorithms, and by which certificate is checked here before it, on the
one parsed tree that is used later too, so that a moved or doubled element
(signature wrapping) is refused and never verified.
"""

import base64
import binascii
import dataclasses
import datetime
import hashlib
import re
import threading

import xmlsec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from lxml import etree

from document import DSIG
from problems import BadRequest

XADES = "http://uri.etsi.org/01903/v1.3.2#"
SIGNED_PROPERTIES_TYPE = "http://uri.etsi.org/01903#SignedProperties"

C14N_ALGORITHMS = frozenset(
    base + comments
    for base, comments in (
        ("http://www.w3.org/2001/10/xml-exc-c14n#", ""),
        ("http://www.w3.org/2001/10/xml-exc-c14n#", "WithComments"),
        ("http://www.w3.org/TR/2001/REC-xml-c14n-20010315", ""),
        ("http://www.w3.org/TR/2001/REC-xml-c14n-20010315", "#WithComments"),
        ("http://www.w3.org/2006/12/xml-c14n11", ""),
        ("http://www.w3.org/2006/12/xml-c14n11", "#WithComments"),
    )
)
EXC_C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
ENVELOPED = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
FILTER2 = "http://www.w3.org/2002/06/xmldsig-filter2"
XPATH = "http://www.w3.org/TR/1999/REC-xpath-19991116"

DIGESTS = {
    "http://www.w3.org/2001/04/xmlenc#sha256": hashlib.sha256,
    "http://www.w3.org/2001/04/xmldsig-more#sha384": hashlib.sha384,
    "http://www.w3.org/2001/04/xmlenc#sha512": hashlib.sha512,
}
_MORE = "http://www.w3.org/2001/04/xmldsig-more#"
RSA_METHODS = frozenset(_MORE + name for name in ("rsa-sha256", "rsa-sha384", "rsa-sha512"))
ECDSA_METHODS = frozenset(
    _MORE + name for name in ("ecdsa-sha256", "ecdsa-sha384", "ecdsa-sha512"))

RSA_BITS_MIN = 2048
EC_BITS_MIN = 256
SIGNING_TIME_TOLERANCE = datetime.timedelta(seconds=60)

# The sequence of xades:SignedSignatureProperties; the forms with V2 stand beside the old ones.
_SIGNATURE_PROPERTIES = (
    "SigningTime", "SigningCertificate", "SigningCertificateV2", "SignaturePolicyIdentifier",
    "SignatureProductionPlace", "SignatureProductionPlaceV2", "SignerRole", "SignerRoleV2",
)
_ISO_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})")

_libxmlsec = threading.Lock()  # its key and error state is not made for threads


@dataclasses.dataclass
class _Parts:
    """The elements of one signature that the rules look at."""

    signature: object
    signed_info: object
    value: object
    certificates: list  # of DER bytes, in KeyInfo order
    signed_properties: object


def verify_signature(root, signature, instant):
    """The signing certificate, once every XAdES rule and the signature hold.

    `signature` is the document's only one and the last child of `root`, as
    document.read_request has checked.
    """
    parts = _split(root, signature)
    _check_unique_ids(root)
    _check_references(parts)
    certificate = load_certificate(parts.certificates[0])
    _check_algorithm(parts, certificate)
    _check_signed_properties(parts, certificate, instant)
    _check_with_libxmlsec(parts, certificate)
    return certificate


def load_certificate(der):
    """The certificate, with the lazily parsed fields proven readable."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        for read in (certificate.public_key, lambda: certificate.subject,
                     lambda: certificate.issuer, lambda: certificate.not_valid_after):
            read()
    except (ValueError, KeyError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise BadRequest(21115, "Nieczytelny certyfikat.") from error
    return certificate


def invalid(detail):
    """The refusal of a signature."""
    return BadRequest(9105, detail)


# --- structure ---------------------------------------------------------------

def _split(root, signature):
    """Find the parts of the signature, each exactly where it belongs."""
    names = [child.tag for child in _elements(signature)]
    expected = [_ds(name) for name in ("SignedInfo", "SignatureValue", "KeyInfo", "Object")]
    if names != expected:
        raise invalid("Nieprawidłowa treść podpisu.")
    signed_info, value, key_info, holder = _elements(signature)
    return _Parts(signature, signed_info, value, _read_certificates(key_info),
                  _find_signed_properties(root, signature, holder))


def _find_signed_properties(root, signature, holder):
    """SignedProperties: the only ones, in this signature's own QualifyingProperties."""
    everywhere = list(root.iter(_xades("SignedProperties"), _xades("QualifyingProperties")))
    qualifying = _only_child(holder, _xades("QualifyingProperties"))
    properties = _only_child(qualifying, _xades("SignedProperties"))
    if everywhere != [qualifying, properties]:
        raise invalid("Nieprawidłowa treść podpisu: QualifyingProperties.")
    identifier = signature.get("Id")
    if not identifier or qualifying.get("Target") != "#" + identifier:
        raise invalid("QualifyingProperties nie wskazuje podpisu.")
    return properties


def _read_certificates(key_info):
    """The certificates of KeyInfo/X509Data as DER; there is at least one."""
    data = _only_child(key_info, _ds("X509Data"))
    found = [_base64(child) for child in _elements(data) if child.tag == _ds("X509Certificate")]
    if not found:
        raise invalid("Brak certyfikatu w KeyInfo.")
    return found


def _check_unique_ids(root):
    """Every identifier names one element, whatever its attribute is called."""
    seen = set()
    for element in root.iter(etree.Element):
        for name, value in element.attrib.items():
            if etree.QName(name).localname.lower() != "id":
                continue
            if value in seen:
                raise invalid("Powtórzony identyfikator.")
            seen.add(value)


# --- references --------------------------------------------------------------

def _check_references(parts):
    """Exactly two: the document without the signature, and SignedProperties."""
    elements = _elements(parts.signed_info)
    tags = [element.tag for element in elements]
    expected = [_ds(name) for name in ("CanonicalizationMethod", "SignatureMethod",
                                       "Reference", "Reference")]
    if tags != expected:
        raise invalid("Podpis musi mieć dokładnie dwie referencje.")
    _check_c14n(elements[0])
    references = elements[2:]
    whole = [ref for ref in references if ref.get("URI") == ""]
    typed = [ref for ref in references if ref.get("Type") == SIGNED_PROPERTIES_TYPE]
    if len(whole) != 1 or len(typed) != 1 or whole[0] is typed[0]:
        raise invalid("Nieprawidłowe referencje podpisu.")
    identifier = parts.signed_properties.get("Id")
    if not identifier or typed[0].get("URI") != "#" + identifier:
        raise invalid("Referencja nie wskazuje SignedProperties.")
    for reference in references:
        _check_digest_method(_child(reference, "DigestMethod"))
    _check_document_transforms(_transforms(whole[0]))
    _check_properties_transforms(_transforms(typed[0]))
    _check_data_object_formats(parts.signed_properties, whole[0])


def _check_document_transforms(transforms):
    """First the signature is taken out, then at most one canonicalisation."""
    if not 1 <= len(transforms) <= 2:
        raise invalid("Nieprawidłowe transformacje dokumentu.")
    _check_removal(transforms[0])
    for transform in transforms[1:]:
        _check_c14n(transform)


def _check_properties_transforms(transforms):
    """At most one canonicalisation."""
    if len(transforms) > 1:
        raise invalid("Nieprawidłowe transformacje SignedProperties.")
    for transform in transforms:
        _check_c14n(transform)


def _check_removal(transform):
    """One of the three accepted ways to exclude ds:Signature."""
    algorithm = transform.get("Algorithm")
    children = _elements(transform)
    if algorithm == ENVELOPED and not children:
        return
    if algorithm == FILTER2 and len(children) == 1:
        filter_kind = children[0].get("Filter")
        path = r"/descendant::([\w.-]+):Signature"
        if filter_kind == "subtract" and _selects_signature(children[0], FILTER2, path):
            return
    if algorithm == XPATH and len(children) == 1:
        path = r"not\(ancestor-or-self::([\w.-]+):Signature\)"
        if _selects_signature(children[0], DSIG, path):
            return
    raise invalid("Niedozwolona transformacja dokumentu.")


def _selects_signature(element, namespace, pattern):
    """Whether an XPath element holds `pattern`, its prefix bound to XML-DSig."""
    if element.tag != f"{{{namespace}}}XPath":
        return False
    match = re.fullmatch(pattern, _text(element).strip())
    return bool(match) and element.nsmap.get(match.group(1)) == DSIG


def _check_c14n(element):
    """A listed canonicalisation; only the exclusive one takes a prefix list."""
    algorithm = element.get("Algorithm")
    if algorithm not in C14N_ALGORITHMS:
        raise invalid("Niedozwolony algorytm kanonikalizacji.")
    prefix_lists = [f"{{{EXC_C14N}}}InclusiveNamespaces"] if EXC_C14N in algorithm else []
    if any(child.tag not in prefix_lists for child in _elements(element)):
        raise invalid("Niedozwolony parametr kanonikalizacji.")


def _check_digest_method(element):
    """The hash function of a listed and still accepted digest method."""
    digest = DIGESTS.get(element.get("Algorithm"))
    if digest is None:
        raise invalid("Niedozwolony algorytm skrótu.")
    return digest


def _check_data_object_formats(properties, reference):
    """DataObjectFormat, where given, describes the document's reference."""
    for element in properties.iter(_xades("DataObjectFormat")):
        identifier = reference.get("Id")
        if not identifier or element.get("ObjectReference") != "#" + identifier:
            raise invalid("DataObjectFormat nie wskazuje referencji dokumentu.")


def _transforms(reference):
    """The transform elements of a reference."""
    holders = [child for child in _elements(reference) if child.tag == _ds("Transforms")]
    if not holders:
        return []
    transforms = _elements(holders[0])
    if len(holders) != 1 or any(item.tag != _ds("Transform") for item in transforms):
        raise invalid("Nieprawidłowe transformacje.")
    return transforms


# --- algorithm and key -------------------------------------------------------

def _check_algorithm(parts, certificate):
    """An accepted method that fits the key, and a value of the exact length."""
    method = _child(parts.signed_info, "SignatureMethod").get("Algorithm")
    key = certificate.public_key()
    value = _base64(parts.value)
    if isinstance(key, rsa.RSAPublicKey) and method in RSA_METHODS:
        if key.key_size < RSA_BITS_MIN:
            raise invalid("Zbyt krótki klucz RSA.")
        expected = (key.key_size + 7) // 8
    elif isinstance(key, ec.EllipticCurvePublicKey) and method in ECDSA_METHODS:
        if key.curve.key_size < EC_BITS_MIN:
            raise invalid("Zbyt krótki klucz EC.")
        expected = 2 * ((key.curve.key_size + 7) // 8)
    else:
        raise invalid("Niedozwolony algorytm podpisu.")
    if len(value) != expected:
        raise invalid("Nieprawidłowa długość wartości podpisu.")


def _check_with_libxmlsec(parts, certificate):
    """Digests and signature value, with the key of the checked certificate only."""
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    with _libxmlsec:
        context = xmlsec.SignatureContext()
        try:
            context.key = xmlsec.Key.from_memory(pem, xmlsec.KeyFormat.CERT_PEM)
            context.register_id(parts.signed_properties, "Id")
            context.verify(parts.signature)
        except xmlsec.Error as error:
            raise invalid("Podpis zweryfikowany negatywnie") from error


# --- signed properties -------------------------------------------------------

def _check_signed_properties(parts, certificate, instant):
    """The accepted XAdES profiles: a signing time and the signing certificate."""
    properties = _elements(parts.signed_properties)
    if not properties or properties[0].tag != _xades("SignedSignatureProperties"):
        raise invalid("Format podpisu niezgodny z akceptowanymi profilami XAdES")
    found = _elements(properties[0])
    order = [_xades(name) for name in _SIGNATURE_PROPERTIES]
    if any(element.tag not in order for element in found):
        raise invalid("Nieprawidłowa treść podpisu: SignedSignatureProperties.")
    places = [order.index(element.tag) for element in found]
    if places != sorted(set(places)):
        raise invalid("Nieprawidłowa kolejność SignedSignatureProperties.")
    by_tag = {element.tag: element for element in found}
    _check_signing_time(by_tag.get(_xades("SigningTime")), instant)
    old = by_tag.get(_xades("SigningCertificate"))
    new = by_tag.get(_xades("SigningCertificateV2"))
    if (old is None) == (new is None):
        raise invalid("Format podpisu niezgodny z akceptowanymi profilami XAdES")
    if old is not None:
        _check_issuer_serial(_certificate_entry(old), certificate)
    _check_certificate_digest(_certificate_entry(new if old is None else old), parts)


def _check_signing_time(element, instant):
    """Present, well written, and not in the future."""
    if element is None:
        raise invalid("Format podpisu niezgodny z akceptowanymi profilami XAdES")
    match = _ISO_TIME.fullmatch(_text(element).strip())
    if not match:
        raise invalid("Nieprawidłowy SigningTime.")
    try:
        stamp = datetime.datetime.fromisoformat(match.group(1) + match.group(2).replace("Z", "+00:00"))
    except ValueError as error:
        raise invalid("Nieprawidłowy SigningTime.") from error
    if stamp > instant + SIGNING_TIME_TOLERANCE:
        raise invalid("SigningTime w przyszłości.")


def _certificate_entry(element):
    """The first Cert: the signing certificate; others may be its chain."""
    entries = _elements(element)
    if not entries or any(entry.tag != _xades("Cert") for entry in entries):
        raise invalid("Nieprawidłowa treść podpisu: SigningCertificate.")
    return entries[0]


def _check_certificate_digest(entry, parts):
    """CertDigest is the hash of the first certificate in KeyInfo."""
    digest = _only(entry, _xades("CertDigest"))
    hash_function = _check_digest_method(_child(digest, "DigestMethod"))
    if _base64(_child(digest, "DigestValue")) != hash_function(parts.certificates[0]).digest():
        raise invalid("CertDigest nie odpowiada certyfikatowi z KeyInfo.")


def _check_issuer_serial(entry, certificate):
    """Version 1 names the issuer (any notation) and the exact serial number."""
    pair = _only(entry, _xades("IssuerSerial"))
    if not _text(_child(pair, "X509IssuerName")).strip():
        raise invalid("Brak X509IssuerName.")
    if _text(_child(pair, "X509SerialNumber")).strip() != str(certificate.serial_number):
        raise invalid("X509SerialNumber nie odpowiada certyfikatowi.")


# --- small tools over the tree -----------------------------------------------

def _ds(name):
    return f"{{{DSIG}}}{name}"


def _xades(name):
    return f"{{{XADES}}}{name}"


def _elements(parent):
    """Child elements, comments and processing instructions left out."""
    return [child for child in parent if isinstance(child.tag, str)]


def _only(parent, tag):
    """The one child called `tag`, beside others."""
    found = [child for child in _elements(parent) if child.tag == tag]
    if len(found) != 1:
        raise invalid(f"Nieprawidłowa treść podpisu: {etree.QName(tag).localname}.")
    return found[0]


def _child(parent, name):
    """The one XML-DSig child called `name`, beside others."""
    return _only(parent, _ds(name))


def _only_child(parent, tag):
    """The one child, which must be called `tag`."""
    if [child.tag for child in _elements(parent)] != [tag]:
        raise invalid(f"Nieprawidłowa treść podpisu: {etree.QName(tag).localname}.")
    return _elements(parent)[0]


def _text(element):
    """The text of a leaf without any node inside it."""
    if len(element):
        raise invalid("Nieprawidłowa treść podpisu.")
    return element.text or ""


def _base64(element):
    """The decoded text of a leaf: canonical Base64, white space allowed."""
    text = "".join(_text(element).split())
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid("Nieprawidłowy Base64.") from error
    if base64.b64encode(data).decode() != text:
        raise invalid("Nieprawidłowy Base64.")
    return data
