"""Proves every rule of the stand-in: /usr/bin/python3 tests/ksefsim/selftest.py.

A refusal is only proven if its detail names the intended rule too, and if the
same document without the mistake is accepted.
"""

import base64
import concurrent.futures
import datetime
import http.client
import json
import pathlib
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import unittest
from random import Random

import xmlsec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
from cryptography.x509.oid import NameOID
from lxml import etree

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import selftest_signer as signer  # noqa: E402  (the path above comes first)
from selftest_signer import NIP, OTHER_NIP, Recipe, request_fields  # noqa: E402

START_SECONDS = 20
SAMPLE_CHALLENGE = "20260601-CR-226FB7B000-3ACF9BE4C0-10"
PROBLEM_DETAILS = {"X-Error-Format": "problem-details"}
XML = {"Content-Type": "application/xml"}
KEYS = {}


class Simulator:
    """One running stand-in and a client for it."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="ksefsim-")
        self.state = pathlib.Path(self.folder.name)
        self.log = self.state / "log"
        self.process = subprocess.Popen(
            [sys.executable, str(HERE), "--state", str(self.state), "--log", str(self.log)])
        end = time.monotonic() + START_SECONDS
        while not (self.state / "ready").exists():
            if time.monotonic() > end or self.process.poll() is not None:
                raise RuntimeError("the stand-in did not start")
            time.sleep(0.05)
        self.port = int((self.state / "port").read_text())
        self.tls = ssl.create_default_context(cafile=str(self.state / "ca.pem"))

    def stop(self):
        """SIGTERM, and the exit status; one that hangs is killed and fails the test."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=START_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def call(self, method, path, body=None, headers=None, host="127.0.0.1", timeout=20):
        """(status, headers, body bytes) of one request on its own connection."""
        connection = http.client.HTTPSConnection(host, self.port, context=self.tls,
                                                 timeout=timeout)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def json(self, method, path, body=None, headers=None):
        """(status, parsed body)."""
        status, _, text = self.call(method, path, body, headers)
        return status, json.loads(text) if text else None

    def control(self, name, **fields):
        """A control call that must succeed."""
        status, _, text = self.call("POST", f"/control/{name}", json.dumps(fields))
        if status != 200:
            raise AssertionError(text.decode())

    def challenge(self):
        """A fresh challenge."""
        return self.json("POST", "/v2/auth/challenge")[1]["challenge"]

    def send(self, body, headers=None, query=""):
        """POST /auth/xades-signature: (status, parsed body)."""
        return self.json("POST", f"/v2/auth/xades-signature{query}", body,
                         {**XML, **PROBLEM_DETAILS, **(headers or {})})


SIM = None


def setUpModule():  # noqa: N802  (the name is unittest's)
    """Start the stand-in and make the keys that all tests share."""
    global SIM
    SIM = Simulator()
    KEYS["ec"] = signer.credential(signer.new_ec())
    KEYS["rsa"] = signer.credential(signer.new_rsa())


def tearDownModule():  # noqa: N802
    """Stop the stand-in."""
    SIM.stop()
    SIM.folder.cleanup()


def bearer(token):
    """The Authorization header."""
    return {"Authorization": f"Bearer {token}"}


def claims_of(token):
    """The payload of a JWT."""
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


class Base(unittest.TestCase):
    """Short words for what every test does."""

    def setUp(self):
        SIM.control("clear")

    def accept(self, recipe=Recipe(), cred=None, query=""):
        """Sign and send; it must be accepted. The 202's body."""
        status, body = SIM.send(signer.sign(SIM.challenge(), cred or KEYS["ec"], recipe),
                                query=query)
        self.assertEqual(status, 202, body)
        return body

    def refuse(self, code, detail="", recipe=Recipe(), cred=None, edit=None):
        """Sign, spoil by `edit`, send; it must be refused with code and detail."""
        document = signer.sign(SIM.challenge(), cred or KEYS["ec"], recipe)
        spoiled = edit(document) if edit else document
        if edit:
            self.assertNotEqual(spoiled, document, "the edit changed nothing")
        self.check_refusal(SIM.send(spoiled), code, detail)

    def check_refusal(self, answer, code, detail=""):
        """`answer` is a 400 with this one code."""
        status, body = answer
        self.assertEqual(status, 400, body)
        self.assertEqual([error["code"] for error in body["errors"]], [code], body)
        self.assertIn(detail, " ".join(body["errors"][0]["details"] or []), body)

    def login(self, recipe=Recipe(), cred=None):
        """A whole login: (authentication token, the tokens of redeem, reference)."""
        started = self.accept(recipe, cred)
        token = started["authenticationToken"]["token"]
        while self.status_code(started) == 100:
            pass
        status, body = SIM.json("POST", "/v2/auth/token/redeem", headers=bearer(token))
        self.assertEqual(status, 200, body)
        return token, body, started["referenceNumber"]

    def status(self, started):
        """The status object of GET /auth/{ref}."""
        code, body = SIM.json("GET", f"/v2/auth/{started['referenceNumber']}",
                              headers=bearer(started["authenticationToken"]["token"]))
        self.assertEqual(code, 200, body)
        return body["status"]

    def status_code(self, started):
        """The status code of GET /auth/{ref}."""
        return self.status(started)["code"]

    def final_status(self, started):
        """The status after the default one poll in progress."""
        self.assertEqual(self.status_code(started), 100)
        return self.status(started)


class TokenTest(Base):
    """POST /auth/ksef-token and the ministry's keys."""

    TOKEN = "20251010-EC-1DCE3E3000-12ECB5B36E-45|nip-5265877635|" + 64 * "a"
    CONTEXT = {"type": "Nip", "value": "5265877635"}

    def setUp(self):
        super().setUp()
        self.plant("Active")

    def plant(self, state):
        SIM.control("token", token=self.TOKEN, context=self.CONTEXT, state=state)

    def keys(self):
        return SIM.json("GET", "/v2/security/public-key-certificates")[1]

    def body(self, entry=None, token=None, shift=0, digest=hashes.SHA256, **changes):
        entry = entry or self.keys()[-1]
        challenge = SIM.json("POST", "/v2/auth/challenge")[1]
        plain = f"{token or self.TOKEN}|{challenge['timestampMs'] + shift}"
        certificate = x509.load_der_x509_certificate(base64.b64decode(entry["certificate"]))
        cipher = certificate.public_key().encrypt(plain.encode(), padding.OAEP(
            padding.MGF1(digest()), digest(), None))
        return {"challenge": challenge["challenge"], "contextIdentifier": self.CONTEXT,
                "encryptedToken": base64.b64encode(cipher).decode(),
                "publicKeyId": entry["publicKeyId"], **changes}

    def send(self, body):
        return SIM.json("POST", "/v2/auth/ksef-token", json.dumps(body),
                        {"Content-Type": "application/json", **PROBLEM_DETAILS})

    def outcome(self, body):
        status, started = self.send(body)
        self.assertEqual(status, 202, started)
        return self.final_status(started)

    def test_a_good_token_logs_in(self):
        self.assertEqual(self.outcome(self.body())["code"], 200)

    def test_what_is_wrong_with_the_token_comes_as_450(self):
        for body, detail in ((self.body(shift=1), "czas"), (self.body(token="x|y"), "token"),
                             (self.body(digest=hashes.SHA1), "szyfrowanie")):
            outcome = self.outcome(body)
            self.assertEqual(outcome["code"], 450, detail)
            self.assertIn(detail, outcome["details"][0])
        for state in ("Revoked", "Pending"):
            self.plant(state)
            self.assertEqual(self.outcome(self.body())["code"], 450, state)

    def test_another_context_is_no_permission(self):
        other = {"type": "Nip", "value": OTHER_NIP}
        self.assertEqual(self.outcome(self.body(contextIdentifier=other))["code"], 415)

    def test_body_and_challenge_are_checked(self):
        self.check_refusal(self.send(self.body(extra=1)), 21405)
        self.check_refusal(self.send({}), 21405)
        good = self.body()
        self.assertEqual(self.send(good)[0], 202)
        self.check_refusal(self.send(good), 21111)

    def test_keys_rotate(self):
        old = self.keys()[-1]
        SIM.control("ministry", rotation="planned")
        self.assertIn(old, self.keys())
        self.assertGreater(self.keys()[-1]["validFrom"], old["validFrom"])
        self.assertEqual(self.outcome(self.body(old))["code"], 200)
        SIM.control("ministry", rotation="emergency")
        self.assertNotIn(old, self.keys())
        self.check_refusal(self.send(self.body(old)), 21470)

    def test_a_revoked_token_ends_refreshing(self):
        started = self.send(self.body())[1]
        self.final_status(started)
        tokens = SIM.json("POST", "/v2/auth/token/redeem",
                          headers=bearer(started["authenticationToken"]["token"]))[1]
        self.plant("Revoked")
        refreshed = SIM.json("POST", "/v2/auth/token/refresh",
                             headers={**bearer(tokens["refreshToken"]["token"]), **PROBLEM_DETAILS})
        self.check_refusal(refreshed, 21301)


class ChallengeTest(Base):
    """POST /auth/challenge and the life of a challenge."""

    def test_form(self):
        status, body = SIM.json("POST", "/v2/auth/challenge")
        self.assertEqual(status, 200)
        self.assertRegex(body["challenge"], r"^\d{8}-CR-[A-F0-9]{10}-[A-F0-9]{10}-[A-F0-9]{2}$")
        self.assertRegex(body["timestamp"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}\+00:00$")
        self.assertEqual(body["clientIp"], "127.0.0.1")
        millis = body["timestamp"].partition(".")[2][:3]
        self.assertEqual(str(body["timestampMs"])[-3:], millis)
        self.assertLess(abs(body["timestampMs"] / 1000 - time.time()), 5)

    def test_form_content_type_is_415(self):
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        self.assertEqual(SIM.call("POST", "/v2/auth/challenge", "", form)[0], 415)

    def test_unknown(self):
        body = signer.sign(SAMPLE_CHALLENGE, KEYS["ec"])
        self.check_refusal(SIM.send(body), 21111)

    def test_used_twice(self):
        body = signer.sign(SIM.challenge(), KEYS["ec"])
        self.assertEqual(SIM.send(body)[0], 202)
        self.check_refusal(SIM.send(body), 21111)

    def test_consumed_by_a_bad_signature(self):
        challenge = SIM.challenge()
        bad = signer.sign(challenge, KEYS["ec"], Recipe(certificate_property="none"))
        self.check_refusal(SIM.send(bad), 9105)
        self.check_refusal(SIM.send(signer.sign(challenge, KEYS["ec"])), 21111)

    def test_not_consumed_by_an_unreadable_document(self):
        challenge = SIM.challenge()
        self.check_refusal(SIM.send(b"<AuthTokenRequest>" + challenge.encode()), 9101)
        self.assertEqual(SIM.send(signer.sign(challenge, KEYS["ec"]))[0], 202)

    def test_lives_ten_minutes(self):
        early, late = SIM.challenge(), SIM.challenge()
        SIM.control("clock", offset_seconds=590)
        self.assertEqual(SIM.send(signer.sign(early, KEYS["ec"]))[0], 202)
        SIM.control("clock", offset_seconds=601)
        self.check_refusal(SIM.send(signer.sign(late, KEYS["ec"])), 21111)

    def test_one_winner_of_a_race(self):
        body = signer.sign(SIM.challenge(), KEYS["ec"])
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = sorted(status for status, _ in pool.map(SIM.send, [body] * 8))
        self.assertEqual(answers, [202] + [400] * 7)


class DocumentTest(Base):
    """Content type, encoding, XML and schema."""

    def test_content_type(self):
        for value in ("text/xml", "application/json", "application/x-www-form-urlencoded"):
            body = signer.sign(SIM.challenge(), KEYS["ec"])
            answer = SIM.call("POST", "/v2/auth/xades-signature", body, {"Content-Type": value})
            self.assertEqual(answer[0], 415, value)
            self.assertEqual(SIM.send(body, {"Content-Type": "application/xml; charset=UTF-8"})[0],
                             202)

    def test_missing_content_type(self):
        self.assertEqual(SIM.call("POST", "/v2/auth/xades-signature", b"<a/>")[0], 415)

    def test_encoding(self):
        self.refuse(21217, edit=lambda doc: doc.decode().encode("utf-16"))
        self.refuse(21217, edit=lambda doc: b"\xef\xbb\xbf" + doc)
        self.refuse(21217, edit=lambda doc: b'<?xml version="1.0" encoding="ISO-8859-2"?>' + doc)
        self.refuse(21217, edit=lambda doc: doc + b"<!-- \xb1 -->")
        answer = SIM.send(signer.sign(SIM.challenge(), KEYS["ec"]),
                          {"Content-Type": "application/xml; charset=iso-8859-2"})
        self.check_refusal(answer, 21217)

    def test_unreadable(self):
        self.check_refusal(SIM.send(b""), 21001)
        self.refuse(9101, "XML", edit=lambda doc: doc[:-1])
        self.refuse(9101, "XML", edit=lambda doc: doc.replace(b"<Nip>", b"<Nip>&x;"))

    def test_dtd(self):
        self.refuse(9101, "DTD", edit=lambda doc: b"<!DOCTYPE AuthTokenRequest>" + doc)
        entity = b'<!DOCTYPE a [<!ENTITY x "5265877635">]>'
        self.refuse(9101, edit=lambda doc: entity + doc.replace(NIP.encode(), b"&x;"))
        external = b'<!DOCTYPE a SYSTEM "file:///etc/passwd">'
        self.refuse(9101, "DTD", edit=lambda doc: external + doc)

    def test_signature_count(self):
        self.refuse(9102, edit=_without_signature)
        self.refuse(9103, edit=lambda doc: doc.replace(
            b"</AuthTokenRequest>", b'<ds:Signature xmlns:ds="%s"/></AuthTokenRequest>'
            % signer.DS.encode()))

    def test_good_fields(self):
        policy = ("<AuthorizationPolicy><AllowedIps>%s</AllowedIps></AuthorizationPolicy>" %
                  ("<Ip4Address>192.0.2.1</Ip4Address>" * 10
                   + "<Ip4Range>192.0.2.1-192.0.2.9</Ip4Range><Ip4Mask>192.0.2.0/24</Ip4Mask>"))
        empty = "<AuthorizationPolicy><AllowedIps></AllowedIps></AuthorizationPolicy>"
        for namespace in (signer.NS_20, signer.NS_21):
            for tail in ("", policy, empty):
                fields = request_fields("CHALLENGE", f"<Nip>{NIP}</Nip>", policy=tail)
                self.accept(Recipe(namespace=namespace, fields=fields))
        for context in (f"<InternalId>{NIP}-12345</InternalId>",
                        f"<NipVatUe>{NIP}-DE123456789</NipVatUe>"):
            self.accept(Recipe(fields=request_fields("CHALLENGE", context)))
        spaced = request_fields(" CHALLENGE\n", f"\n<Nip>{NIP}</Nip> <!-- note -->")
        self.accept(Recipe(fields=spaced))

    def test_schema(self):
        nip = f"<Nip>{NIP}</Nip>"
        good = request_fields("CHALLENGE", nip)
        policy = "<AuthorizationPolicy><AllowedIps>{}</AllowedIps></AuthorizationPolicy>"
        bad = {
            "order": request_fields("X", nip)[len("<Challenge>X</Challenge>"):]
                     + "<Challenge>CHALLENGE</Challenge>",
            "no subject type": good.partition("<SubjectIdentifierType>")[0],
            "extra": good + "<Extra></Extra>",
            "foreign namespace": good.replace("<Nip>", '<Nip xmlns="urn:x">'),
            "attribute": good.replace("<Nip>", '<Nip a="b">'),
            "text": good + "text",
            "instruction": good + "<?x y?>",
            "comment in value": good.replace("<Nip>526", "<Nip>526<!-- -->"),
            "comment after value": good.replace("</Nip>", "<!-- --></Nip>"),
            "instruction in context": good.replace("</Nip>", "</Nip><?x y?>"),
            "attribute of context": good.replace("<ContextIdentifier", '<ContextIdentifier a="b"'),
            "attribute of policy": (good + policy.format("")).replace("Policy><", 'Policy a="b"><'),
            "attribute of ips": (good + policy.format("")).replace("Ips><", 'Ips a="b"><', 1),
            "second ips": good + policy.format("</AllowedIps><AllowedIps>"),
            "space in nip": good.replace("<Nip>", "<Nip> "),
            "two contexts": request_fields("CHALLENGE", nip + nip),
            "no context": request_fields("CHALLENGE", ""),
            "unknown context": request_fields("CHALLENGE", "<Pesel>1</Pesel>"),
            "nip form": request_fields("CHALLENGE", "<Nip>0265877635</Nip>"),
            "internal id form": request_fields("CHALLENGE", f"<InternalId>{NIP}</InternalId>"),
            "vat form": request_fields("CHALLENGE", f"<NipVatUe>{NIP}-PL1</NipVatUe>"),
            "peppol form": request_fields("CHALLENGE", "<PeppolId>P12345678</PeppolId>"),
            "subject type": request_fields("CHALLENGE", nip, "certificate"),
            "challenge form": request_fields("CHALLENGE0", nip),
            "challenge case": request_fields("20260601-CR-226fb7b000-3ACF9BE4C0-10", nip),
            "eleven": good + policy.format("<Ip4Address>192.0.2.1</Ip4Address>" * 11),
            "ip order": good + policy.format("<Ip4Mask>192.0.2.0/24</Ip4Mask>"
                                             "<Ip4Address>192.0.2.1</Ip4Address>"),
            "ip form": good + policy.format("<Ip4Address>192.0.2.256</Ip4Address>"),
            "range form": good + policy.format("<Ip4Range>192.0.2.1</Ip4Range>"),
            "mask form": good + policy.format("<Ip4Mask>192.0.2.0/33</Ip4Mask>"),
        }
        for name, fields in bad.items():
            with self.subTest(name):
                self.refuse(21401, recipe=Recipe(fields=fields))
        self.refuse(21401, recipe=Recipe(namespace="http://ksef.mf.gov.pl/auth/token/1.0"))
        self.refuse(21401, recipe=Recipe(root_attributes=' a="b"'))
        self.refuse(21401, edit=lambda doc: doc.replace(b"AuthTokenRequest", b"TokenRequest"))

    def test_signature_is_last(self):
        self.refuse(21401, "ostatnim", edit=lambda doc: doc.replace(
            b"</AuthTokenRequest>", b"<Extra/></AuthTokenRequest>"))

    def test_nip_checksum(self):
        self.refuse(21405, "NIP", recipe=Recipe(nip="5265877636"))


class SignatureTest(Base):
    """XAdES rules; each spoiled document is correctly signed unless the name says otherwise."""

    def test_good_forms(self):
        filter2 = "http://www.w3.org/2002/06/xmldsig-filter2"
        subtract = (f'<f:XPath xmlns:f="{filter2}" Filter="subtract">'
                    "/descendant::ds:Signature</f:XPath>")
        xpath = "<ds:XPath>not(ancestor-or-self::ds:Signature)</ds:XPath>"
        recipes = {
            "v1": Recipe(), "v2": Recipe(certificate_property="v2"),
            "no format": Recipe(data_object_format=None),
            "filter2": Recipe(document_transforms=signer.removal(filter2, subtract)),
            "xpath": Recipe(document_transforms=signer.removal(
                "http://www.w3.org/TR/1999/REC-xpath-19991116", xpath)),
            "comments": Recipe(c14n=signer.EXC_C14N + "WithComments"),
            "sha512 digests": Recipe(digest=signer.ENC + "sha512", digest_name="sha512"),
            "sha384 of certificate": Recipe(
                certificate_digest_method=(signer.MORE + "sha384", "sha384")),
            "prefix list": Recipe(properties_transforms=_c14n(
                f'<e:InclusiveNamespaces xmlns:e="{signer.EXC_C14N}" PrefixList="q">'
                "</e:InclusiveNamespaces>")),
            "clock a little ahead": Recipe(time_shift=30),
            "offset": Recipe(signing_time="<xades:SigningTime>2026-06-01T09:59:00.0000000+02:00"
                                          "</xades:SigningTime>"),
        }
        for kind in ("ec", "rsa"):
            for name, recipe in recipes.items():
                with self.subTest(name, kind=kind):
                    self.accept(recipe, KEYS[kind])

    def test_other_curves_and_hashes(self):
        cred = signer.credential(signer.new_ec(ec.SECP384R1))
        self.accept(Recipe(method=signer.MORE + "ecdsa-sha384", hash_name="sha384"), cred)
        cred = signer.credential(signer.new_ec(ec.SECP521R1))
        self.accept(Recipe(method=signer.MORE + "ecdsa-sha512", hash_name="sha512"), cred)
        self.accept(Recipe(method=signer.MORE + "rsa-sha512", hash_name="sha512"), KEYS["rsa"])

    def test_chain_in_key_info(self):
        ec_der, rsa_der = KEYS["ec"].der, KEYS["rsa"].der
        self.accept(Recipe(key_info=signer.x509_data(ec_der, rsa_der)))
        self.refuse(9105, "", Recipe(key_info=signer.x509_data(rsa_der, ec_der)))

    def test_samples(self):
        for path in sorted((HERE / "samples").glob("*.xml")):
            with self.subTest(path.name):
                SIM.control("challenge", challenge=SAMPLE_CHALLENGE)
                answer = SIM.send(path.read_bytes())
                if not path.name.startswith("reject-"):
                    self.assertEqual(answer[0], 202, answer)
                elif path.name == "reject-offline-certificate.xml":
                    self.check_refusal(answer, 21115)
                else:
                    self.check_refusal(answer, 9105)

    def test_algorithms(self):
        more07 = "http://www.w3.org/2007/05/xmldsig-more#"
        rsa_key, ec_key = KEYS["rsa"], KEYS["ec"]
        cases = [
            ("skrótu", Recipe(digest=signer.DS + "sha1", digest_name="sha1"), ec_key),
            ("skrótu", Recipe(certificate_digest_method=(signer.DS + "sha1", "sha1")), ec_key),
            ("podpisu", Recipe(method=signer.DS + "rsa-sha1", hash_name="sha1"), rsa_key),
            ("podpisu", Recipe(method=signer.MORE + "ecdsa-sha1", hash_name="sha1"), ec_key),
            ("podpisu", Recipe(method=more07 + "sha256-rsa-MGF1", pss=True), rsa_key),
            ("podpisu", Recipe(method=signer.MORE + "rsa-sha256"), ec_key),
            ("podpisu", Recipe(method=signer.MORE + "ecdsa-sha256"), rsa_key),
            ("podpisu", Recipe(method=signer.MORE + "hmac-sha256"), rsa_key),
            ("kanonikalizacji", Recipe(c14n="urn:other"), ec_key),
        ]
        for detail, recipe, cred in cases:
            with self.subTest(recipe.method or recipe.digest + recipe.c14n):
                self.refuse(9105, detail, recipe, cred)

    def test_weak_keys(self):
        self.refuse(9105, "RSA", cred=signer.credential(signer.new_rsa(1024)))
        self.refuse(9105, "EC", cred=signer.credential(signer.new_ec(ec.SECP224R1)))

    def test_der_value(self):
        self.refuse(9105, "długość", Recipe(der_value=True))

    def test_short_value(self):
        self.refuse(9105, "długość", edit=lambda doc: _edit_value(doc, lambda value: value[1:]))
        self.refuse(9105, "negatywnie", edit=lambda doc: _edit_value(
            doc, lambda value: value[:-1] + bytes([value[-1] ^ 1])))

    def test_tampering(self):
        self.refuse(9105, "negatywnie", edit=lambda doc: doc.replace(
            NIP.encode(), OTHER_NIP.encode()))
        self.refuse(9105, "negatywnie", edit=lambda doc: doc.replace(b"text/xml", b"text/xxx"))
        self.refuse(9105, "negatywnie", edit=lambda doc: doc.replace(b"</Challenge>",
                                                                    b"</Challenge>\n"))

    def test_signed_by_another_key(self):
        other = signer.Credential(signer.new_ec(), KEYS["ec"].certificate)
        self.refuse(9105, "negatywnie", cred=other)

    def test_key_value_is_not_used(self):
        """A key beside the certificate in KeyInfo never verifies the signature."""
        other = signer.Credential(signer.new_ec(), KEYS["ec"].certificate)
        point = base64.b64encode(_point(other.key)).decode()
        key_value = ('<ds:KeyValue><e:ECKeyValue xmlns:e="http://www.w3.org/2009/xmldsig11#">'
                     '<e:NamedCurve URI="urn:oid:1.2.840.10045.3.1.7"></e:NamedCurve>'
                     f"<e:PublicKey>{point}</e:PublicKey></e:ECKeyValue></ds:KeyValue>")
        key_info = key_value + signer.x509_data(KEYS["ec"].der)
        self.refuse(9105, "", Recipe(key_info=key_info), other)

    def test_signing_certificate(self):
        profile = "Format podpisu niezgodny z akceptowanymi profilami XAdES"
        self.refuse(9105, profile, Recipe(certificate_property="none"))
        self.refuse(9105, profile, Recipe(certificate_property="both"))
        for form in ("v1", "v2"):
            self.refuse(9105, "CertDigest", Recipe(certificate_property=form,
                                                   certificate_digest=b"\0" * 32))
        self.refuse(9105, "X509SerialNumber", Recipe(serial=1))

    def test_signing_time(self):
        stamp = "<xades:SigningTime>{}</xades:SigningTime>"
        self.refuse(9105, "profilami", Recipe(signing_time=""))
        self.refuse(9105, "przyszłości", Recipe(time_shift=120))
        for text in ("yesterday", "2026-06-01T10:00:00", "2026-13-01T10:00:00Z"):
            self.refuse(9105, "Nieprawidłowy SigningTime",
                        Recipe(signing_time=stamp.format(text)))

    def test_signed_properties(self):
        """Correctly signed, but not in the form of XAdES."""
        cert = "xades:SigningCertificate"
        def swap(text):
            start, time_end = text.index("<xades:SigningTime>"), text.index(f"<{cert}>")
            end = text.index("</xades:SignedSignatureProperties>")
            return text[:start] + text[time_end:end] + text[start:time_end] + text[end:]
        cases = [
            ("profilami", lambda text: text.replace("SignedSignatureProperties", "Other")),
            ("kolejność", swap),
            ("SignedSignatureProperties", lambda text: text.replace(
                f"</{cert}>", f"</{cert}><xades:Other></xades:Other>")),
            ("SigningCertificate", lambda text: text.replace("xades:Cert>", "xades:Other>")),
            ("X509IssuerName", lambda text: text.replace(">CN=Beta<", "> <")),
            ("CertDigest", lambda text: text.replace("xades:CertDigest>", "xades:Other>")),
            ("treść podpisu", lambda text: text.replace("Z</xades:SigningTime>",
                                                        "Z<!-- --></xades:SigningTime>")),
        ]
        for detail, edit in cases:
            with self.subTest(detail):
                self.refuse(9105, detail, Recipe(edit_properties=edit))

    def test_base64(self):
        """Only the canonical spelling: no stray characters, no stray bits."""
        def stray_bit(doc):
            head, middle, tail = doc.partition(b"==</ds:SignatureValue>")
            other = {65: b"B", 81: b"R", 103: b"h", 119: b"x"}[head[-1]]
            return head[:-1] + other + middle + tail
        self.refuse(9105, "Base64", edit=stray_bit)
        self.refuse(9105, "Base64", edit=lambda doc: doc.replace(b"<ds:SignatureValue>",
                                                                 b"<ds:SignatureValue>_"))

    def test_references(self):
        third = ('<ds:Reference URI=""><ds:DigestMethod Algorithm="{0}"/><ds:DigestValue>AA=='
                 "</ds:DigestValue></ds:Reference>").format(signer.ENC + "sha256")
        cases = {
            "dokładnie dwie": [Recipe(with_properties_reference=False),
                               Recipe(more_references=third)],
            "Nieprawidłowe referencje": [
                Recipe(properties_reference='URI="#sp-1"'),
                Recipe(properties_reference='Type="urn:x" URI="#sp-1"'),
                Recipe(properties_reference=f'Type="{signer.SP_TYPE}" URI=""'),
                Recipe(document_reference='Id="ref-1" URI="#sig-1"'),
                Recipe(document_reference='Id="ref-1"'),
                Recipe(document_reference=f'Id="ref-1" Type="{signer.SP_TYPE}" URI=""'),
                Recipe(document_reference='Id="ref-1" URI="file:///etc/hostname"')],
            "nie wskazuje SignedProperties": [
                Recipe(properties_reference=f'Type="{signer.SP_TYPE}" URI="#sp-2"'),
                Recipe(properties_reference=f'Type="{signer.SP_TYPE}" URI="#xpointer(/)"'),
                Recipe(properties_reference=f'Type="{signer.SP_TYPE}" URI="#sig-1"')],
            "DataObjectFormat": [Recipe(data_object_format="#sp-1"),
                                 Recipe(document_reference='URI=""')],
            "nie wskazuje podpisu": [Recipe(target="#sig-2"),
                                     Recipe(signature_attributes="", target="#")],
        }
        for detail, recipes in cases.items():
            for recipe in recipes:
                with self.subTest(detail, recipe=recipe):
                    self.refuse(9105, detail, recipe)

    def test_transforms(self):
        xpath = "http://www.w3.org/TR/1999/REC-xpath-19991116"
        filter2 = "http://www.w3.org/2002/06/xmldsig-filter2"
        xslt = "http://www.w3.org/TR/1999/REC-xslt-19991116"
        subtract = f'<f:XPath xmlns:f="{filter2}" Filter="subtract">{{}}</f:XPath>'
        c14n = _c14n()
        enveloped = signer.removal(signer.ENVELOPED)
        document = {
            "none": "", "only c14n": c14n, "three": enveloped + c14n,
            "not a transform": enveloped.replace(c14n, "<ds:Other></ds:Other>"),
            "c14n parameter": enveloped.replace(c14n, _c14n("<ds:XPath>1</ds:XPath>")),
            "twice": enveloped.replace(c14n, "") * 2,
            "xslt": signer.removal(xslt), "base64": signer.removal(signer.DS + "base64"),
            "other xpath": signer.removal(xpath, "<ds:XPath>true()</ds:XPath>"),
            "other filter": signer.removal(filter2, subtract.format("/descendant::*")),
            "intersect": signer.removal(filter2, subtract.format("/descendant::ds:Signature")
                                        .replace("subtract", "intersect")),
            "prefix of another namespace": signer.removal(filter2, subtract.format(
                "/descendant::f:Signature")),
            "parameter": signer.removal(signer.ENVELOPED, "<ds:XPath>1</ds:XPath>"),
        }
        details = {"twice": "kanonikalizacji", "c14n parameter": "parametr"}
        for name, transforms in document.items():
            with self.subTest(name):
                self.refuse(9105, details.get(name, "transformacj"),
                            Recipe(document_transforms=transforms))
        base64_step = f'<ds:Transform Algorithm="{signer.DS}base64"></ds:Transform>'
        for detail, transforms in (("transformacje", c14n * 2), ("kanonikalizacji", base64_step),
                                   ("kanonikalizacji", enveloped.replace(c14n, ""))):
            self.refuse(9105, detail, Recipe(properties_transforms=transforms))

    def test_key_info(self):
        self.refuse(9105, "X509Data", Recipe(key_info="<ds:KeyName>key</ds:KeyName>"))
        self.refuse(9105, "Brak certyfikatu", Recipe(key_info=signer.x509_data()))
        self.refuse(9105, "Base64", edit=lambda doc: doc.replace(b"<ds:X509Certificate>",
                                                                 b"<ds:X509Certificate>-"))
        self.refuse(21115, "Nieczytelny", Recipe(key_info=signer.x509_data(b"not DER")))


class MutationTest(Base):
    """Any changed byte is refused, and never breaks the stand-in.

    The exception are changes that leave the canonical form as it was: another
    name for a prefix that is declared but not used there.
    """

    COUNT = 200

    def test_changed_bytes(self):
        challenge = SIM.challenge()
        document = signer.sign(challenge, KEYS["ec"])
        random = Random(1)
        for _ in range(self.COUNT):
            place, bit = random.randrange(len(document)), 1 << random.randrange(8)
            changed = bytearray(document)
            changed[place] ^= bit
            SIM.control("challenge", challenge=challenge)
            expected = 202 if _canonical(changed) == _canonical(document) else 400
            with self.subTest(place=place, bit=bit):
                self.assertEqual(SIM.send(bytes(changed))[0], expected)
        SIM.control("challenge", challenge=challenge)
        self.assertEqual(SIM.send(document)[0], 202)

    def test_odd_certificates(self):
        key = ed25519.Ed25519PrivateKey.generate()
        der = _foreign_certificate(key)
        self.refuse(9105, "algorytm podpisu", Recipe(key_info=signer.x509_data(der)))
        for place in range(4, len(KEYS["ec"].der), 7):
            changed = bytearray(KEYS["ec"].der)
            changed[place] ^= 0x55
            status, body = SIM.send(signer.sign(SIM.challenge(), KEYS["ec"], Recipe(
                key_info=signer.x509_data(bytes(changed)))))
            self.assertEqual(status, 400, body)
            self.assertIn(body["errors"][0]["code"], (9105, 21115))


class WrappingTest(Base):
    """Signature wrapping: libxmlsec alone accepts these, the stand-in does not."""

    def spoil(self, edit, detail):
        """`edit` keeps the signature good for a naive verifier; we refuse it."""
        document = signer.sign(SIM.challenge(), KEYS["ec"])
        root = etree.fromstring(document)
        edit(root)
        spoiled = etree.tostring(root)
        self.assertTrue(_naively_verifies(spoiled), "the edit broke the signature itself")
        self.check_refusal(SIM.send(spoiled), 9105, detail)

    def test_the_naive_verifier_verifies(self):
        document = signer.sign(SIM.challenge(), KEYS["ec"])
        self.assertTrue(_naively_verifies(document))
        self.assertFalse(_naively_verifies(document.replace(NIP.encode(), OTHER_NIP.encode())))

    def test_signed_properties_moved_away(self):
        """The signed ones hide in a second Object, forged ones take their place."""
        def edit(root):
            genuine = next(root.iter(_x("SignedProperties")))
            forged = _copy(genuine)
            forged.set("Id", "sp-2")
            genuine.getparent().replace(genuine, forged)
            etree.SubElement(next(root.iter(_d("Signature"))), _d("Object")).append(genuine)
        self.spoil(edit, "Nieprawidłowa treść podpisu")

    def test_second_properties_inside(self):
        """A forged sibling in the same QualifyingProperties."""
        def edit(root):
            genuine = next(root.iter(_x("SignedProperties")))
            forged = _copy(genuine)
            forged.set("Id", "sp-2")
            genuine.addprevious(forged)
        self.spoil(edit, "SignedProperties")

    def test_properties_hidden_in_key_info(self):
        """The signed ones hide in KeyInfo, which no reference covers."""
        def edit(root):
            genuine = next(root.iter(_x("SignedProperties")))
            forged = _copy(genuine)
            forged.set("Id", "sp-2")
            genuine.getparent().replace(genuine, forged)
            next(root.iter(_d("X509Data"))).append(genuine)
        self.spoil(edit, "QualifyingProperties")

    def test_repeated_identifier(self):
        """Another element answers to the same identifier."""
        def edit(root):
            next(root.iter(_d("SignatureValue"))).set("Id", "sp-1")
        self.spoil_unverified(edit, "Powtórzony")

    def test_repeated_identifier_in_other_spelling(self):
        """xml:id and ID count too."""
        for name in ("ID", "{http://www.w3.org/XML/1998/namespace}id"):
            def edit(root, name=name):
                next(root.iter(_d("KeyInfo"))).set(name, "sp-1")
            self.spoil_unverified(edit, "Powtórzony")

    def spoil_unverified(self, edit, detail):
        """As spoil, where it is undefined which element a naive verifier takes."""
        root = etree.fromstring(signer.sign(SIM.challenge(), KEYS["ec"]))
        edit(root)
        self.check_refusal(SIM.send(etree.tostring(root)), 9105, detail)

    def test_signature_not_in_the_root(self):
        """Inside a field the schema check is first; nothing but the root's end is right."""
        def edit(root):
            next(root.iter("{*}ContextIdentifier")).append(next(root.iter(_d("Signature"))))
        root = etree.fromstring(signer.sign(SIM.challenge(), KEYS["ec"]))
        edit(root)
        self.assertTrue(_naively_verifies(etree.tostring(root)))
        self.check_refusal(SIM.send(etree.tostring(root)), 21401, "ostatnim")


class SubjectTest(Base):
    """Who may log in, by which certificate."""

    def cred(self, *subject, **options):
        """A credential with this subject on a shared key."""
        return signer.credential(KEYS["ec"].key, subject, **options)

    def test_certificate_use(self):
        self.refuse(21115, cred=signer.credential(KEYS["ec"].key, usage="content_commitment"))
        self.refuse(21115, cred=signer.credential(KEYS["ec"].key, usage="key_agreement"))
        self.refuse(21115, cred=signer.credential(KEYS["ec"].key, usage="unreadable"))
        self.accept(cred=signer.credential(KEYS["ec"].key, usage=None))

    def test_identifiers(self):
        serial = NameOID.SERIAL_NUMBER
        for value in (f"TINPL-{NIP}", f"NIP-{NIP}", f"TINPL{NIP}"):
            started = self.accept(cred=self.cred((serial, value)))
            self.assertEqual(self.final_status(started)["code"], 200)
        for value in ("TINPL-526587763", f"TINPL-{NIP}1", "PNOPL-1234567890", "ABC-1", NIP):
            self.refuse(21406, cred=self.cred((serial, value)))
        self.refuse(21406, cred=self.cred((signer.ORGANIZATION_IDENTIFIER, f"VATPL-{NIP}0")))
        self.refuse(21406, cred=self.cred((NameOID.COMMON_NAME, "Beta")))

    def test_seal_without_names(self):
        for oid in (NameOID.GIVEN_NAME, NameOID.SURNAME):
            self.refuse(21406, "Pieczęć", cred=self.cred(*signer.SEAL, (oid, "Anna")))

    def test_fingerprint(self):
        fields = request_fields("CHALLENGE", f"<Nip>{NIP}</Nip>", "certificateFingerprint")
        recipe = Recipe(fields=fields)
        self.refuse(21406, recipe=recipe)
        cred = self.cred((NameOID.COMMON_NAME, "Jan"))
        self.assertEqual(self.final_status(self.accept(recipe, cred))["code"], 415)
        value = cred.certificate.fingerprint(hashes.SHA256()).hex().upper()
        SIM.control("grant", subject={"type": "Fingerprint", "value": value},
                    context={"type": "Nip", "value": NIP})
        self.assertEqual(self.final_status(self.accept(recipe, cred))["code"], 200)

    def test_peppol_context(self):
        fields = request_fields("CHALLENGE", "<PeppolId>PPL123456</PeppolId>")
        self.refuse(21117, recipe=Recipe(fields=fields))

    def test_permissions(self):
        self.assertEqual(self.final_status(self.accept())["code"], 200)
        own = request_fields("CHALLENGE", f"<InternalId>{NIP}-12345</InternalId>")
        self.assertEqual(self.final_status(self.accept(Recipe(fields=own)))["code"], 200)
        foreign = self.final_status(self.accept(Recipe(nip=OTHER_NIP)))
        self.assertEqual((foreign["code"], foreign["details"]),
                         (415, ["Brak przypisanych uprawnień"]))
        SIM.control("grant", subject={"type": "Nip", "value": NIP},
                    context={"type": "Nip", "value": OTHER_NIP})
        self.assertEqual(self.final_status(self.accept(Recipe(nip=OTHER_NIP)))["code"], 200)

    def test_person(self):
        cred = self.cred((NameOID.SERIAL_NUMBER, "PNOPL-15062788702"))
        self.assertEqual(self.final_status(self.accept(cred=cred))["code"], 415)
        SIM.control("grant", subject={"type": "Pesel", "value": "15062788702"},
                    context={"type": "Nip", "value": NIP})
        self.assertEqual(self.final_status(self.accept(cred=cred))["code"], 200)

    def test_certificate_dates(self):
        for start, end in ((-10, -1), (1, 10)):
            cred = signer.credential(KEYS["ec"].key, start=start, end=end)
            status = self.final_status(self.accept(cred=cred))
            self.assertEqual((status["code"], status["details"]), (460, ["Nieważny certyfikat"]))

    def test_chain_on_request(self):
        started = self.accept(query="?verifyCertificateChain=true")
        self.assertEqual(self.final_status(started)["code"], 460)
        started = self.accept(query="?verifyCertificateChain=false")
        self.assertEqual(self.final_status(started)["code"], 200)
        body = signer.sign(SIM.challenge(), KEYS["ec"])
        self.check_refusal(SIM.send(body, query="?verifyCertificateChain=maybe"), 21405)
        twice = "?verifyCertificateChain=true&verifyCertificateChain=false"
        self.check_refusal(SIM.send(body, query=twice), 21405)


class LoginTest(Base):
    """Status, redeem, refresh, sessions and tokens."""

    def test_started(self):
        started = self.accept()
        self.assertRegex(started["referenceNumber"],
                         r"^\d{8}-AU-[A-F0-9]{10}-[A-F0-9]{10}-[A-F0-9]{2}$")
        claims = claims_of(started["authenticationToken"]["token"])
        self.assertEqual(claims["typ"], "AuthenticationToken")
        self.assertEqual(claims["exp"] - claims["iat"], 2700)

    def test_polls(self):
        SIM.control("polls", n=3)
        started = self.accept()
        self.assertEqual([self.status_code(started) for _ in range(5)], [100, 100, 100, 200, 200])
        SIM.control("polls", n=0)
        self.assertEqual(self.status_code(self.accept()), 200)

    def test_switched_outcomes(self):
        for code in (400, 415, 425, 450, 460, 470, 480, 500, 550):
            SIM.control("status", code=code, details=["x"])
            started = self.accept()
            status = self.final_status(started)
            self.assertEqual((status["code"], status["details"]), (code, ["x"]))
            self.check_redeem(started, 21301)
        SIM.control("status", code=100)
        started = self.accept()
        self.assertEqual({self.status_code(started) for _ in range(5)}, {100})
        self.assertEqual(self.final_status(self.accept())["code"], 200)

    def check_redeem(self, started, code):
        """Redeem is refused with this code."""
        headers = {**PROBLEM_DETAILS, **bearer(started["authenticationToken"]["token"])}
        self.check_refusal(SIM.json("POST", "/v2/auth/token/redeem", headers=headers), code)

    def test_redeem_only_after_200_and_once(self):
        started = self.accept()
        self.check_redeem(started, 21301)
        self.assertEqual(self.status_code(started), 100)
        self.check_redeem(started, 21301)
        self.assertEqual(self.status_code(started), 200)
        token = started["authenticationToken"]["token"]
        self.assertEqual(SIM.json("POST", "/v2/auth/token/redeem", headers=bearer(token))[0], 200)
        self.check_redeem(started, 21301)

    def test_one_redeem_of_a_race(self):
        started = self.accept()
        self.final_status(started)
        headers = bearer(started["authenticationToken"]["token"])
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = sorted(pool.map(
                lambda _: SIM.call("POST", "/v2/auth/token/redeem", headers=headers)[0], range(8)))
        self.assertEqual(answers, [200] + [400] * 7)

    def test_claims_and_lifetimes(self):
        _, tokens, reference = self.login()
        for name, kind, seconds in (("accessToken", "ContextToken", 900),
                                    ("refreshToken", "RefreshToken", 7 * 86400)):
            claims = claims_of(tokens[name]["token"])
            self.assertEqual((claims["typ"], claims["arn"], claims["cit"], claims["civ"]),
                             (kind, reference, "Nip", NIP))
            self.assertEqual(claims["exp"] - claims["iat"], seconds)
            for claim in ("per", "pec", "rol", "pep", "iop", "sud"):
                json.loads(claims[claim])
            header = json.loads(base64.urlsafe_b64decode(tokens[name]["token"].split(".")[0] + "=="))
            self.assertEqual(header["alg"], "HS256")

    def sessions(self, token):
        """The HTTP status of GET /sessions with this token."""
        return SIM.call("GET", "/v2/sessions?sessionType=Online", headers=bearer(token))[0]

    def test_access(self):
        _, tokens, _ = self.login()
        access = tokens["accessToken"]["token"]
        status, body = SIM.json("GET", "/v2/sessions?sessionType=Online", headers=bearer(access))
        self.assertEqual((status, body["sessions"]), (200, []))
        self.assertEqual(body["context"], {"type": "Nip", "value": NIP})
        status, body = SIM.json("GET", "/v2/rate-limits", headers=bearer(access))
        self.assertEqual((status, body["other"]["perHour"]), (200, 120))
        answer = SIM.json("GET", "/v2/sessions", headers={**PROBLEM_DETAILS, **bearer(access)})
        self.check_refusal(answer, 21405)

    def test_wrong_tokens(self):
        authentication, tokens, _ = self.login()
        access, refresh = tokens["accessToken"]["token"], tokens["refreshToken"]["token"]
        head, payload, mac = access.split(".")
        claims = claims_of(access)
        claims["civ"] = OTHER_NIP
        forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
        none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
        for token in ("x", "a.b.c", f"{head}.{forged}.{mac}", f"{none}.{payload}.",
                      f"{head}.{payload}.{mac[:-2]}", access + "A"):
            self.assertEqual(self.sessions(token), 401, token)
        self.assertEqual(SIM.call("GET", "/v2/rate-limits")[0], 401)
        basic = {"Authorization": f"Basic {access}"}
        self.assertEqual(SIM.call("GET", "/v2/rate-limits", headers=basic)[0], 401)
        for token in (authentication, refresh):
            status, headers, body = SIM.call("GET", "/v2/rate-limits", headers=bearer(token))
            self.assertEqual((status, headers["Content-Type"]), (403, "application/problem+json"))
            self.assertIn("reasonCode", json.loads(body))
        for path, token in (("redeem", access), ("redeem", refresh), ("refresh", access),
                            ("refresh", authentication)):
            status, headers, body = SIM.call("POST", f"/v2/auth/token/{path}",
                                             headers=bearer(token))
            self.assertEqual((status, headers["Content-Type"]), (401, "application/problem+json"))
            self.assertEqual(json.loads(body)["status"], 401)

    def test_expiry(self):
        started = self.accept()
        _, tokens, _ = self.login()
        access, refresh = tokens["accessToken"]["token"], tokens["refreshToken"]["token"]
        SIM.control("clock", offset_seconds=880)
        self.assertEqual(self.sessions(access), 200)
        SIM.control("clock", offset_seconds=901)
        self.assertEqual(self.sessions(access), 401)
        SIM.control("clock", offset_seconds=2701)
        self.assertEqual(SIM.call(
            "GET", f"/v2/auth/{started['referenceNumber']}",
            headers=bearer(started["authenticationToken"]["token"]))[0], 401)
        SIM.control("clock", offset_seconds=7 * 86400 - 60)
        status, body = SIM.json("POST", "/v2/auth/token/refresh", headers=bearer(refresh))
        self.assertEqual(status, 200)
        self.assertEqual(self.sessions(body["accessToken"]["token"]), 200)
        SIM.control("clock", offset_seconds=7 * 86400 + 1)
        self.assertEqual(
            SIM.call("POST", "/v2/auth/token/refresh", headers=bearer(refresh))[0], 401)

    def test_status_of_others(self):
        one, other = self.accept(), self.accept()
        headers = {**PROBLEM_DETAILS, **bearer(one["authenticationToken"]["token"])}
        self.assertEqual(SIM.call("GET", f"/v2/auth/{other['referenceNumber']}",
                                  headers=headers)[0], 403)
        unknown = "/v2/auth/20260601-AU-0000000000-0000000000-00"
        self.check_refusal(SIM.json("GET", unknown, headers=headers), 21304)

    def test_refresh_and_end(self):
        for which in ("accessToken", "refreshToken"):
            authentication, tokens, reference = self.login()
            refresh = bearer(tokens["refreshToken"]["token"])
            for _ in range(2):
                status, body = SIM.json("POST", "/v2/auth/token/refresh", headers=refresh)
                self.assertEqual((status, list(body)), (200, ["accessToken"]))
                self.assertEqual(self.sessions(body["accessToken"]["token"]), 200)
            status, _, text = SIM.call("DELETE", "/v2/auth/sessions/current",
                                       headers=bearer(tokens[which]["token"]))
            self.assertEqual((status, text), (204, b""))
            answer = SIM.json("POST", "/v2/auth/token/refresh",
                              headers={**refresh, **PROBLEM_DETAILS})
            self.check_refusal(answer, 21301)
            self.assertEqual(self.sessions(tokens["accessToken"]["token"]), 200)
            body = SIM.json("GET", f"/v2/auth/{reference}", headers=bearer(authentication))[1]
            self.assertEqual(body["status"]["code"], 425)

    def test_form_content_type_is_415(self):
        authentication, tokens, _ = self.login()
        for path, token in (("redeem", authentication),
                            ("refresh", tokens["refreshToken"]["token"])):
            headers = {**bearer(token), "Content-Type": "application/x-www-form-urlencoded"}
            self.assertEqual(SIM.call("POST", f"/v2/auth/token/{path}", "", headers)[0], 415)

    def test_session_list(self):
        fields = request_fields("CHALLENGE", f"<InternalId>{NIP}-77777</InternalId>")
        logins = [self.login(Recipe(fields=fields)) for _ in range(11)]
        headers = bearer(logins[-1][1]["accessToken"]["token"])
        status, page = SIM.json("GET", "/v2/auth/sessions?pageSize=10", headers=headers)
        self.assertEqual((status, len(page["items"])), (200, 10))
        more = {**headers, "x-continuation-token": page["continuationToken"]}
        rest = SIM.json("GET", "/v2/auth/sessions?pageSize=10", headers=more)[1]
        self.assertIsNone(rest["continuationToken"])
        items = page["items"] + rest["items"]
        self.assertEqual([item["referenceNumber"] for item in items],
                         [reference for _, _, reference in reversed(logins)])
        self.assertEqual([item["isCurrent"] for item in items], [True] + [False] * 10)
        for token in ("?", "AAAA", base64.b64encode(b"from:-1").decode()):
            answer = SIM.json("GET", "/v2/auth/sessions", headers={
                **headers, "x-continuation-token": token, **PROBLEM_DETAILS})
            self.check_refusal(answer, 21418)
        for size in ("9", "101", "x", "9" * 5000):
            answer = SIM.json("GET", f"/v2/auth/sessions?pageSize={size}",
                              headers={**headers, **PROBLEM_DETAILS})
            self.check_refusal(answer, 21405)
        first = logins[0][2]
        self.assertEqual(SIM.call("DELETE", f"/v2/auth/sessions/{first}", headers=headers)[0], 204)
        left = SIM.json("GET", "/v2/auth/sessions?pageSize=100", headers=headers)[1]["items"]
        self.assertNotIn(first, [item["referenceNumber"] for item in left])
        self.assertEqual(len(left), 10)

    def test_sessions_of_others(self):
        _, mine, _ = self.login()
        _, _, reference = self.login(Recipe(
            fields=request_fields("CHALLENGE", f"<InternalId>{NIP}-11111</InternalId>")))
        headers = bearer(mine["accessToken"]["token"])
        path = f"/v2/auth/sessions/{reference}"
        self.assertEqual(SIM.call("DELETE", path, headers=headers)[0], 403)
        unfinished = self.accept()["referenceNumber"]
        for unknown in (unfinished, "20260601-AU-0000000000-0000000000-00"):
            answer = SIM.json("DELETE", f"/v2/auth/sessions/{unknown}",
                              headers={**headers, **PROBLEM_DETAILS})
            self.check_refusal(answer, 21304)

    def test_ip_policy(self):
        policy = "<AuthorizationPolicy><AllowedIps>{}</AllowedIps></AuthorizationPolicy>"
        cases = {"<Ip4Address>192.0.2.1</Ip4Address>": 403,
                 "<Ip4Range>192.0.2.1-192.0.2.9</Ip4Range>": 403,
                 "<Ip4Mask>192.0.2.0/24</Ip4Mask>": 403,
                 "<Ip4Address>127.0.0.1</Ip4Address>": 200,
                 "<Ip4Range>127.0.0.0-127.0.0.5</Ip4Range>": 200,
                 "<Ip4Address>192.0.2.1</Ip4Address><Ip4Mask>127.0.0.0/8</Ip4Mask>": 200}
        for content, expected in cases.items():
            fields = request_fields("CHALLENGE", f"<Nip>{NIP}</Nip>",
                                    policy=policy.format(content))
            _, tokens, _ = self.login(Recipe(fields=fields))
            self.assertEqual(self.sessions(tokens["accessToken"]["token"]), expected, content)

    def test_methods(self):
        self.assertEqual(self.method_of(KEYS["ec"]), "QualifiedSeal")
        person = signer.credential(KEYS["ec"].key, ((NameOID.SERIAL_NUMBER, f"TINPL-{NIP}"),))
        self.assertEqual(self.method_of(person), "QualifiedSignature")

    def method_of(self, cred):
        """The authenticationMethod that the status shows."""
        started = self.accept(cred=cred)
        body = SIM.json("GET", f"/v2/auth/{started['referenceNumber']}",
                        headers=bearer(started["authenticationToken"]["token"]))[1]
        self.assertEqual(body["authenticationMethodInfo"]["category"], "XadesSignature")
        return body["authenticationMethod"]


class FaultTest(Base):
    """Every switchable fault, and that it ends."""

    def hit(self, kind, headers=None, endpoint="challenge", **fields):
        """Add one fault to the challenge call and make that call."""
        SIM.control("fault", endpoint=endpoint, kind=kind, **fields)
        answer = SIM.call("POST", "/v2/auth/challenge", headers=headers)
        return answer

    def tearDown(self):
        self.assertEqual(SIM.call("POST", "/v2/auth/challenge")[0], 200)

    def test_too_many_requests(self):
        status, headers, body = self.hit("too-many-requests", retry_after=7)
        self.assertEqual((status, headers["Retry-After"]), (429, "7"))
        self.assertEqual(json.loads(body)["status"]["code"], 429)
        status, headers, body = self.hit("too-many-requests", PROBLEM_DETAILS, retry_after=9)
        self.assertEqual((status, headers["Retry-After"]), (429, "9"))
        self.assertEqual(headers["Content-Type"], "application/problem+json")
        self.assertEqual(json.loads(body)["status"], 429)

    def test_bad_request_in_both_forms(self):
        status, headers, body = self.hit("bad-request", code=21308)
        self.assertEqual((status, headers["Content-Type"]), (400, "application/json"))
        found = json.loads(body)["exception"]["exceptionDetailList"][0]
        self.assertEqual(found["exceptionCode"], 21308)
        status, headers, body = self.hit("bad-request", PROBLEM_DETAILS, code=1, details=["d"])
        self.assertEqual((status, headers["Content-Type"]), (400, "application/problem+json"))
        self.assertEqual(json.loads(body)["errors"][0]["details"], ["d"])

    def test_problem_answers(self):
        for kind, expected in (("unauthorized", 401), ("forbidden", 403), ("gone", 410)):
            status, headers, body = self.hit(kind)
            self.assertEqual((status, headers["Content-Type"]),
                             (expected, "application/problem+json"))
            self.assertEqual(json.loads(body)["status"], expected)
        body = self.hit("forbidden", reason="security-service-blocked")[2]
        self.assertEqual(set(json.loads(body)["security"]), {"incidentId", "clientIp"})

    def test_foreign_answers(self):
        for kind, expected, word in (("firewall", 403, b"Request blocked"),
                                     ("bad-gateway", 502, b"<html>"),
                                     ("server-error", 500, b"Internal")):
            status, _, body = self.hit(kind)
            self.assertEqual(status, expected)
            self.assertIn(word, body)
            with self.assertRaises(ValueError):
                json.loads(body)
        answer = self.hit("literal", status=503, content_type="text/x", body="żółw")
        self.assertEqual((answer[0], answer[1]["Content-Type"], answer[2]),
                         (503, "text/x", "żółw".encode()))

    def test_bodies(self):
        status, _, body = self.hit("oversized", bytes=3_000_000)
        self.assertEqual((status, len(json.loads(body)["padding"])), (200, 3_000_000))
        status, _, body = self.hit("broken-json")
        self.assertEqual(status, 200)
        with self.assertRaises(ValueError):
            json.loads(body)

    def test_endless(self):
        SIM.control("fault", endpoint="challenge", kind="endless")
        connection = http.client.HTTPSConnection("127.0.0.1", SIM.port, context=SIM.tls,
                                                 timeout=20)
        connection.request("POST", "/v2/auth/challenge")
        response = connection.getresponse()
        self.assertEqual(len(response.read(20_000_000)), 20_000_000)
        connection.close()

    def test_broken_connections(self):
        with self.assertRaises(http.client.IncompleteRead):
            self.hit("drop")
        with self.assertRaises((http.client.RemoteDisconnected, ssl.SSLEOFError)):
            self.hit("hang-up")

    def test_dropped_answer_counted(self):
        """The redeem whose answer was lost is used up."""
        started = self.accept()
        self.final_status(started)
        headers = {**PROBLEM_DETAILS, **bearer(started["authenticationToken"]["token"])}
        SIM.control("fault", endpoint="redeem", kind="drop")
        with self.assertRaises(http.client.IncompleteRead):
            SIM.call("POST", "/v2/auth/token/redeem", headers=headers)
        self.check_refusal(SIM.json("POST", "/v2/auth/token/redeem", headers=headers), 21301)

    def test_slow(self):
        for kind, delay, least in (("slow", 0.5, 0.5), ("trickle", 0.005, 0.5)):
            start = time.monotonic()
            status, _, body = self.hit(kind, delay=delay)
            self.assertGreater(time.monotonic() - start, least)
            self.assertEqual((status, len(json.loads(body)["challenge"])), (200, 36))

    def test_slow_answer_blocks_nobody(self):
        SIM.control("fault", endpoint="challenge", kind="slow", delay=3)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            slow = pool.submit(SIM.call, "POST", "/v2/auth/challenge")
            time.sleep(0.3)
            start = time.monotonic()
            self.assertEqual(SIM.call("POST", "/v2/auth/challenge")[0], 200)
            self.assertLess(time.monotonic() - start, 2)
            self.assertEqual(slow.result()[0], 200)

    def test_warning(self):
        status, headers, _ = self.hit("warning")
        self.assertEqual(status, 200)
        self.assertTrue(headers["X-System-Warning"].startswith("[sig-001]: "))

    def test_times_after_and_queue(self):
        SIM.control("fault", endpoint="challenge", kind="gone", times=2, after=1)
        SIM.control("fault", endpoint="challenge", kind="server-error")
        codes = [SIM.call("POST", "/v2/auth/challenge")[0] for _ in range(5)]
        self.assertEqual(codes, [200, 410, 410, 500, 200])

    def test_every_endpoint(self):
        calls = {"challenge": ("POST", "/auth/challenge"),
                 "xades": ("POST", "/auth/xades-signature"),
                 "public-keys": ("GET", "/security/public-key-certificates"),
                 "ksef-token": ("POST", "/auth/ksef-token"),
                 "status": ("GET", "/auth/x"), "redeem": ("POST", "/auth/token/redeem"),
                 "refresh": ("POST", "/auth/token/refresh"),
                 "auth-sessions": ("GET", "/auth/sessions"),
                 "session-end": ("DELETE", "/auth/sessions/current"),
                 "sessions": ("GET", "/sessions"), "rate-limits": ("GET", "/rate-limits")}
        before = SIM.json("GET", "/control/state")[1]["calls"]
        self.assertEqual(set(before), set(calls))
        for endpoint, (method, path) in calls.items():
            SIM.control("fault", endpoint=endpoint, kind="gone")
            self.assertEqual(SIM.call(method, "/v2" + path)[0], 410, endpoint)
        after = SIM.json("GET", "/control/state")[1]["calls"]
        self.assertEqual(after, {name: count + 1 for name, count in before.items()})

    def test_clear(self):
        SIM.control("fault", endpoint="challenge", kind="gone", times=9)
        SIM.control("clear")


class ControlTest(Base):
    """The control interface refuses what it does not know."""

    def test_refusals(self):
        bad = [
            ("fault", {"endpoint": "nowhere", "kind": "gone"}),
            ("fault", {"endpoint": "challenge", "kind": "odd"}),
            ("fault", {"endpoint": "challenge"}),
            ("fault", {"endpoint": ["challenge"], "kind": "gone"}),
            ("fault", {"endpoint": "challenge", "kind": "gone", "times": 0}),
            ("fault", {"endpoint": "challenge", "kind": "gone", "times": True}),
            ("fault", {"endpoint": "challenge", "kind": "gone", "delay": 1}),
            ("fault", {"endpoint": "challenge", "kind": "slow", "delay": "1"}),
            ("fault", {"endpoint": "challenge", "kind": "warning", "message": "a\r\nb: c"}),
            ("fault", {"endpoint": "challenge", "kind": "forbidden", "reason": "none"}),
            ("fault", {"endpoint": "challenge", "kind": "literal", "body": 1}),
            ("polls", {}), ("polls", {"n": -1}), ("polls", {"n": 1.5}),
            ("status", {"code": 201}), ("status", {"code": 460, "details": "x"}),
            ("grant", {"subject": {"type": "Nip", "value": NIP}}),
            ("grant", {"subject": {"type": "Odd", "value": NIP},
                       "context": {"type": "Nip", "value": NIP}}),
            ("challenge", {"challenge": "x"}), ("clock", {"offset_seconds": "1"}),
            ("access", {"seconds": 0}),
            ("grant", {"subject": {"type": "Nip", "value": NIP, "more": 1},
                       "context": {"type": "Nip", "value": NIP}}),
        ]
        who = {"type": "Nip", "value": NIP}
        good = {"fault": {"endpoint": "challenge", "kind": "gone"}, "polls": {"n": 1},
                "status": {"code": 200}, "grant": {"subject": who, "context": who},
                "challenge": {"challenge": SAMPLE_CHALLENGE}, "clock": {"offset_seconds": 0},
                "access": {"seconds": 900},
                "clear": {}}
        bad += [(name, {**fields, "color": "red"}) for name, fields in good.items()]
        for name, fields in bad:
            with self.subTest(name, fields=fields):
                self.assertEqual(SIM.call("POST", f"/control/{name}", json.dumps(fields))[0], 400)
        text = SIM.call("POST", "/control/polls", "{}")[2]
        self.assertEqual(text, b"n is missing\n")
        for text in ("[]", "{", "1"):
            self.assertEqual(SIM.call("POST", "/control/clear", text)[0], 400)
        self.assertEqual(SIM.call("GET", "/control/clear")[0], 404)
        self.assertEqual(SIM.call("POST", "/control/unknown", "{}")[0], 404)
        self.assertEqual(SIM.call("POST", "/v2/auth/challenge")[0], 200)

    def test_state(self):
        _, tokens, reference = self.login()
        status, _, text = SIM.call("GET", "/control/state")
        state = json.loads(text)
        self.assertEqual((status, state["last_client_ip"]), (200, "127.0.0.1"))
        session = [item for item in state["sessions"] if item["referenceNumber"] == reference]
        self.assertEqual(session[0]["open"], True)
        self.assertEqual(session[0]["context"], {"type": "Nip", "value": NIP})
        self.assertNotIn(b"eyJ", text)
        SIM.call("DELETE", "/v2/auth/sessions/current",
                 headers=bearer(tokens["accessToken"]["token"]))
        sessions = SIM.json("GET", "/control/state")[1]["sessions"]
        session = [item for item in sessions if item["referenceNumber"] == reference]
        self.assertEqual(session[0]["open"], False)


class FilesTest(Base):
    """What is kept on disk."""

    def test_received_bytes(self):
        document = signer.sign(SIM.challenge(), KEYS["ec"])
        reference = SIM.send(document)[1]["referenceNumber"]
        received = SIM.state / "received"
        self.assertEqual((received / f"{reference}.xml").read_bytes(), document)
        self.assertEqual((received / "latest.xml").read_bytes(), document)

    def test_refused_bytes(self):
        document = signer.sign(SIM.challenge(), KEYS["ec"], Recipe(der_value=True))
        SIM.send(document)
        newest = max((SIM.state / "refused").glob("*.xml"))
        self.assertRegex(newest.name, r"^\d{3,}-9105\.xml$")
        self.assertEqual(newest.read_bytes(), document)
        self.assertEqual(SIM.json("GET", "/control/state")[1]["last_refusal"]["code"], 9105)
        SIM.control("fault", endpoint="xades", kind="gone")
        SIM.send(document)
        newest = max((SIM.state / "refused").glob("*.xml"))
        self.assertRegex(newest.name, r"^\d{3,}-gone\.xml$")

    def test_no_temporary_files(self):
        self.assertEqual(list(SIM.state.rglob("*.new")), [])

    def test_key_is_private(self):
        self.assertEqual((SIM.state / "server.pem").stat().st_mode & 0o777, 0o600)


class ServerTest(Base):
    """HTTP and TLS, and clients that misbehave."""

    def test_names_and_trust(self):
        for host in ("localhost", "127.0.0.1"):
            self.assertEqual(SIM.call("POST", "/v2/auth/challenge", host=host)[0], 200)
        stranger = http.client.HTTPSConnection("localhost", SIM.port, timeout=20,
                                               context=ssl.create_default_context())
        with self.assertRaises(ssl.SSLCertVerificationError):
            stranger.request("GET", "/")

    def test_only_loopback(self):
        listening = [line.split() for line in
                     pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
        port = f"{SIM.port:04X}"
        local = {row[1] for row in listening if row[1].endswith(port) and row[3] == "0A"}
        self.assertEqual(local, {f"0100007F:{port}"})

    def test_unknown_paths_and_methods(self):
        for path in ("/", "/v2", "/v2/", "/v2/auth", "/v3/auth/challenge", "/v2/auth/challenge/",
                     "/v2/../control/state", "//control/state"):
            self.assertEqual(SIM.call("POST", path)[0], 404, path)
        status, headers, _ = SIM.call("DELETE", "/v2/rate-limits")
        self.assertEqual((status, headers["Allow"]), (405, "GET"))

    def test_keep_alive(self):
        connection = http.client.HTTPSConnection("127.0.0.1", SIM.port, context=SIM.tls,
                                                 timeout=20)
        for _ in range(3):
            connection.request("POST", "/v2/auth/challenge", "{}",
                               {"Content-Type": "application/json"})
            response = connection.getresponse()
            self.assertEqual((response.status, len(json.loads(response.read())["challenge"])),
                             (200, 36))
        connection.close()

    def test_body_limits(self):
        self.assertEqual(SIM.call("POST", "/v2/auth/xades-signature", b" " * 1_000_000, XML)[0],
                         400)
        self.assertEqual(self.raw(b"Content-Length: 99999999\r\n"), b"413")
        self.assertEqual(self.raw(b"Content-Length: -1\r\n"), b"411")
        self.assertEqual(self.raw(b"Content-Length: " + b"9" * 5000 + b"\r\n"), b"413")
        self.assertEqual(self.raw(b"Transfer-Encoding: chunked\r\n"), b"411")

    def raw(self, header):
        """The status that one raw request header gets."""
        with self.connect() as tls:
            tls.sendall(b"POST /v2/auth/xades-signature HTTP/1.1\r\nHost: x\r\n"
                        b"Content-Type: application/xml\r\n" + header + b"\r\n")
            return tls.recv(4096).split(b" ")[1]

    def connect(self):
        """A bare TLS connection."""
        plain = socket.create_connection(("127.0.0.1", SIM.port), timeout=20)
        return SIM.tls.wrap_socket(plain, server_hostname="localhost")

    def test_broken_clients(self):
        silent = [socket.create_connection(("127.0.0.1", SIM.port)) for _ in range(20)]
        plain = socket.create_connection(("127.0.0.1", SIM.port), timeout=20)
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with self.connect() as tls:
            tls.sendall(b"POST /v2/auth/challenge HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc")
        with self.connect() as tls:
            tls.sendall(b"\x00\xff\xfe garbage\r\n\r\n")
            tls.recv(100)
        slow = self.connect()
        slow.sendall(b"POST /v2/auth/chall")
        start = time.monotonic()
        self.assertEqual(SIM.call("POST", "/v2/auth/challenge")[0], 200)
        self.assertLess(time.monotonic() - start, 5)
        for connection in (*silent, plain, slow):
            connection.close()
        self.assertIsNone(SIM.process.poll())

    def test_body_that_ends_early(self):
        """A call with half a body is not carried out."""
        before = SIM.json("GET", "/control/state")[1]["calls"]
        with self.connect() as tls:
            tls.sendall(b"POST /v2/auth/challenge HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc")
            tls.unwrap()
        end = time.monotonic() + 10
        while "ConnectionAbortedError" not in SIM.log.read_text():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)
        self.assertEqual(SIM.json("GET", "/control/state")[1]["calls"], before)

    def test_log(self):
        _, tokens, _ = self.login()
        SIM.call("GET", "/v2/rate-limits?token=" + tokens["accessToken"]["token"])
        SIM.call("GET", "/" + tokens["accessToken"]["token"])
        text = SIM.log.read_text()
        self.assertNotIn("eyJ", text)
        for endpoint in ("challenge 200", "xades 202", "status 200", "redeem 200",
                         "rate-limits 401", "unknown 404"):
            self.assertIn(endpoint, text)


class StopTest(unittest.TestCase):
    """A second stand-in is started and stopped."""

    def test_sigterm(self):
        sim = Simulator()
        self.assertEqual(sim.call("POST", "/v2/auth/challenge")[0], 200)
        first_ca = (SIM.state / "ca.pem").read_bytes()
        self.assertNotEqual((sim.state / "ca.pem").read_bytes(), first_ca)
        idle = socket.create_connection(("127.0.0.1", sim.port))
        self.assertEqual(sim.stop(), 0)
        idle.close()
        self.assertFalse((sim.state / "ready").exists())
        sim.folder.cleanup()

    def test_sigterm_with_busy_threads(self):
        """The signal ends it, whichever thread the kernel gives it to."""
        for _ in range(5):
            sim = Simulator()
            idle = socket.create_connection(("127.0.0.1", sim.port))
            self.assertEqual(sim.stop(), 0)
            idle.close()
            sim.folder.cleanup()


# --- tools over documents ----------------------------------------------------

def _c14n(content=""):
    """A transform to exclusive canonical form."""
    return f'<ds:Transform Algorithm="{signer.EXC_C14N}">{content}</ds:Transform>'


def _d(name):
    return f"{{{signer.DS}}}{name}"


def _x(name):
    return f"{{{signer.XADES}}}{name}"


def _copy(element):
    return etree.fromstring(etree.tostring(element, with_tail=False))


def _canonical(document):
    """The exclusive canonical form, or None when there is none."""
    try:
        return etree.tostring(etree.fromstring(bytes(document)), method="c14n", exclusive=True)
    except (etree.LxmlError, ValueError):
        return None


def _without_signature(document):
    root = etree.fromstring(document)
    root.remove(next(root.iter(_d("Signature"))))
    return etree.tostring(root)


def _edit_value(document, change):
    """Change the bytes of the SignatureValue."""
    root = etree.fromstring(document)
    value = next(root.iter(_d("SignatureValue")))
    value.text = base64.b64encode(change(base64.b64decode(value.text))).decode()
    return etree.tostring(root)


def _naively_verifies(document):
    """What a verifier says that trusts any Id and looks at no structure."""
    root = etree.fromstring(document)
    der = base64.b64decode(next(root.iter(_d("X509Certificate"))).text)
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(der, xmlsec.KeyFormat.CERT_DER)
    for element in root.iter(_x("SignedProperties")):
        context.register_id(element, "Id")
    try:
        context.verify(next(root.iter(_d("Signature"))))
    except xmlsec.Error:
        return False
    return True


def _foreign_certificate(key):
    """A self-signed certificate of a kind of key that KSeF does not list, as DER."""
    name = x509.Name([x509.NameAttribute(oid, value) for oid, value in signer.SEAL])
    now = datetime.datetime.utcnow()
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name)
        .public_key(key.public_key()).serial_number(1).not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1)).sign(key, None))
    return certificate.public_bytes(serialization.Encoding.DER)


def _point(key):
    """The uncompressed public point of an EC key."""
    numbers = key.public_key().public_numbers()
    return b"\x04" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")


if __name__ == "__main__":
    unittest.main()
