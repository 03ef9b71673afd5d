"""A small XAdES signer for the self-test, with a switch for every mistake.

It is written apart from the checks in signature.py: it computes digests with
lxml's canonicaliser and signs with python3-cryptography, never with libxmlsec.
"""

import base64
import dataclasses
import datetime
import hashlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.x509.oid import ExtensionOID, NameOID
from lxml import etree

NS_20 = "http://ksef.mf.gov.pl/auth/token/2.0"
NS_21 = "http://ksef.mf.gov.pl/auth/token/2.1"
DS = "http://www.w3.org/2000/09/xmldsig#"
XADES = "http://uri.etsi.org/01903/v1.3.2#"
MORE = "http://www.w3.org/2001/04/xmldsig-more#"
ENC = "http://www.w3.org/2001/04/xmlenc#"
EXC_C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
C14N = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
ENVELOPED = DS + "enveloped-signature"
SP_TYPE = "http://uri.etsi.org/01903#SignedProperties"

NIP = "5265877635"
OTHER_NIP = "7762811692"

HASHES = {
    "sha1": hashes.SHA1(), "sha256": hashes.SHA256(), "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
ORGANIZATION_IDENTIFIER = x509.ObjectIdentifier("2.5.4.97")
SEAL = ((NameOID.COUNTRY_NAME, "PL"), (ORGANIZATION_IDENTIFIER, f"VATPL-{NIP}"),
        (NameOID.ORGANIZATION_NAME, "Beta"), (NameOID.COMMON_NAME, "Beta"))


@dataclasses.dataclass
class Credential:
    """A private key and its certificate."""

    key: object
    certificate: x509.Certificate

    @property
    def der(self):
        """The certificate as DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)


def credential(key, subject=SEAL, usage="digital_signature", start=-1, end=365):
    """A self-signed credential, valid from day `start` to day `end`; usage None leaves it out."""
    name = x509.Name([x509.NameAttribute(oid, value) for oid, value in subject])
    now = datetime.datetime.utcnow()
    builder = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name)
        .public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=start))
        .not_valid_after(now + datetime.timedelta(days=end)))
    if usage == "unreadable":
        garbage = x509.UnrecognizedExtension(ExtensionOID.KEY_USAGE, b"\xff")
        builder = builder.add_extension(garbage, critical=True)
    elif usage is not None:
        names = ("digital_signature", "content_commitment", "key_encipherment",
                 "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign",
                 "encipher_only", "decipher_only")
        flags = {name: name == usage for name in names}
        builder = builder.add_extension(x509.KeyUsage(**flags), critical=True)
    return Credential(key, builder.sign(key, hashes.SHA256()))


def new_ec(curve=ec.SECP256R1):
    """A fresh EC key."""
    return ec.generate_private_key(curve())


def new_rsa(bits=2048):
    """A fresh RSA key."""
    return rsa.generate_private_key(65537, bits)


@dataclasses.dataclass
class Recipe:
    """How to build one signed request; every default is right."""

    namespace: str = NS_20
    fields: str = None  # overrides the request's content
    nip: str = NIP
    root_attributes: str = ""
    method: str = None  # SignatureMethod; by default it fits the key
    hash_name: str = "sha256"  # of the signature itself
    pss: bool = False
    der_value: bool = False
    c14n: str = EXC_C14N
    digest: str = ENC + "sha256"
    digest_name: str = "sha256"
    certificate_digest_method: tuple = (ENC + "sha256", "sha256")
    document_transforms: str = None
    properties_transforms: str = f'<ds:Transform Algorithm="{EXC_C14N}"></ds:Transform>'
    document_reference: str = 'Id="ref-1" URI=""'
    properties_reference: str = f'Type="{SP_TYPE}" URI="#sp-1"'
    with_properties_reference: bool = True
    more_references: str = ""
    signature_attributes: str = ' Id="sig-1"'
    target: str = "#sig-1"
    signing_time: str = None
    time_shift: int = -60
    certificate_property: str = "v1"  # v1, v2, both or none
    certificate_digest: bytes = None
    serial: int = None
    data_object_format: str = "#ref-1"
    key_info: str = None
    edit_properties: object = None  # changes the SignedProperties text before it is signed


def sign(challenge, cred, recipe=Recipe()):
    """The signed AuthTokenRequest as bytes."""
    fields = recipe.fields
    if fields is None:
        fields = request_fields(challenge, f"<Nip>{recipe.nip}</Nip>")
    fields = fields.replace("CHALLENGE", challenge)
    opening = f'<AuthTokenRequest xmlns="{recipe.namespace}"{recipe.root_attributes}>'
    properties = _signed_properties(cred, recipe)
    if recipe.edit_properties:
        properties = recipe.edit_properties(properties)
    signed_info = _signed_info(opening + fields + "</AuthTokenRequest>", properties, cred, recipe)
    value = _signature_value(_canonical(signed_info, recipe.c14n), cred.key, recipe)
    key_info = recipe.key_info
    if key_info is None:
        key_info = x509_data(cred.der)
    signature = (
        f'<ds:Signature xmlns:ds="{DS}"{recipe.signature_attributes}>{signed_info}'
        f"<ds:SignatureValue>{_b64(value)}</ds:SignatureValue>"
        f"<ds:KeyInfo>{key_info}</ds:KeyInfo><ds:Object>"
        f'<xades:QualifyingProperties xmlns:xades="{XADES}" Target="{recipe.target}">'
        f"{properties}</xades:QualifyingProperties></ds:Object></ds:Signature>")
    return (opening + fields + signature + "</AuthTokenRequest>").encode()


def request_fields(challenge, context, subject="certificateSubject", policy=""):
    """The content of an AuthTokenRequest without its signature."""
    return (f"<Challenge>{challenge}</Challenge><ContextIdentifier>{context}</ContextIdentifier>"
            f"<SubjectIdentifierType>{subject}</SubjectIdentifierType>{policy}")


def x509_data(*ders):
    """ds:X509Data with these certificates."""
    inner = "".join(f"<ds:X509Certificate>{_b64(der)}</ds:X509Certificate>" for der in ders)
    return f"<ds:X509Data>{inner}</ds:X509Data>"


def removal(algorithm, content=""):
    """The transforms of the document's reference with this first step."""
    return (f'<ds:Transform Algorithm="{algorithm}">{content}</ds:Transform>'
            f'<ds:Transform Algorithm="{EXC_C14N}"></ds:Transform>')


def _signed_properties(cred, recipe):
    """xades:SignedProperties in exclusive canonical form."""
    method, hash_name = recipe.certificate_digest_method
    cert_digest = recipe.certificate_digest
    if cert_digest is None:
        cert_digest = hashlib.new(hash_name, cred.der).digest()
    serial = cred.certificate.serial_number if recipe.serial is None else recipe.serial
    digest = (f'<xades:CertDigest><ds:DigestMethod xmlns:ds="{DS}" Algorithm="{method}">'
              f'</ds:DigestMethod><ds:DigestValue xmlns:ds="{DS}">{_b64(cert_digest)}'
              f"</ds:DigestValue></xades:CertDigest>")
    issuer = (f'<xades:IssuerSerial><ds:X509IssuerName xmlns:ds="{DS}">CN=Beta</ds:X509IssuerName>'
              f'<ds:X509SerialNumber xmlns:ds="{DS}">{serial}</ds:X509SerialNumber>'
              f"</xades:IssuerSerial>")
    old = (f"<xades:SigningCertificate><xades:Cert>{digest}{issuer}</xades:Cert>"
           f"</xades:SigningCertificate>")
    new = (f"<xades:SigningCertificateV2><xades:Cert>{digest}</xades:Cert>"
           f"</xades:SigningCertificateV2>")
    chosen = {"v1": old, "v2": new, "both": old + new, "none": ""}[recipe.certificate_property]
    return (f'<xades:SignedProperties xmlns:xades="{XADES}" Id="sp-1">'
            f"<xades:SignedSignatureProperties>{_signing_time(recipe)}{chosen}"
            f"</xades:SignedSignatureProperties>{_data_object_format(recipe)}"
            f"</xades:SignedProperties>")


def _signing_time(recipe):
    if recipe.signing_time is not None:
        return recipe.signing_time
    now = datetime.datetime.utcnow() + datetime.timedelta(seconds=recipe.time_shift)
    return f"<xades:SigningTime>{now.strftime('%Y-%m-%dT%H:%M:%SZ')}</xades:SigningTime>"


def _data_object_format(recipe):
    if not recipe.data_object_format:
        return ""
    return (f"<xades:SignedDataObjectProperties><xades:DataObjectFormat "
            f'ObjectReference="{recipe.data_object_format}"><xades:MimeType>text/xml'
            f"</xades:MimeType></xades:DataObjectFormat></xades:SignedDataObjectProperties>")


def _signed_info(document, properties, cred, recipe):
    transforms = recipe.document_transforms
    if transforms is None:
        transforms = removal(ENVELOPED)
    references = _reference(recipe.document_reference, transforms, document, recipe)
    if recipe.with_properties_reference:
        references += _reference(recipe.properties_reference, recipe.properties_transforms,
                                 properties, recipe)
    return (f'<ds:SignedInfo xmlns:ds="{DS}">'
            f'<ds:CanonicalizationMethod Algorithm="{recipe.c14n}"></ds:CanonicalizationMethod>'
            f'<ds:SignatureMethod Algorithm="{recipe.method or default_method(cred.key)}">'
            f"</ds:SignatureMethod>{references}{recipe.more_references}</ds:SignedInfo>")


def _reference(attributes, transforms, content, recipe):
    value = hashlib.new(recipe.digest_name, _canonical(content, EXC_C14N)).digest()
    return (f"<ds:Reference {attributes}><ds:Transforms>{transforms}</ds:Transforms>"
            f'<ds:DigestMethod Algorithm="{recipe.digest}"></ds:DigestMethod>'
            f"<ds:DigestValue>{_b64(value)}</ds:DigestValue></ds:Reference>")


def default_method(key):
    """The SignatureMethod for SHA-256 and this key."""
    return MORE + ("rsa-sha256" if isinstance(key, rsa.RSAPrivateKey) else "ecdsa-sha256")


def _signature_value(data, key, recipe):
    hash_function = HASHES[recipe.hash_name]
    if isinstance(key, rsa.RSAPrivateKey):
        scheme = padding.PKCS1v15()
        if recipe.pss:
            scheme = padding.PSS(padding.MGF1(hash_function), hash_function.digest_size)
        return key.sign(data, scheme, hash_function)
    value = key.sign(data, ec.ECDSA(hash_function))
    if recipe.der_value:
        return value
    size = (key.curve.key_size + 7) // 8
    return b"".join(number.to_bytes(size, "big") for number in utils.decode_dss_signature(value))


def _canonical(text, algorithm):
    """Canonical bytes; text without comments is the same in both comment variants."""
    tree = etree.fromstring(text.encode()).getroottree()
    return etree.tostring(tree, method="c14n", exclusive=algorithm.startswith(EXC_C14N),
                          with_comments=algorithm.endswith("WithComments"))


def _b64(data):
    return base64.b64encode(data).decode()
