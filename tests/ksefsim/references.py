"""KSeF reference numbers: `YYYYMMDD-XX-10HEX-10HEX-2HEX`, 36 characters."""

import re
import secrets

CHALLENGE = "CR"
AUTHENTICATION = "AU"

CHALLENGE_PATTERN = re.compile(r"[0-9]{8}-CR-[A-F0-9]{10}-[A-F0-9]{10}-[A-F0-9]{2}")


def new_reference(kind, instant):
    """A fresh reference number of the two-letter `kind`."""
    day = instant.strftime("%Y%m%d")
    parts = [secrets.token_hex(size).upper() for size in (5, 5, 1)]
    return "-".join([day, kind, *parts])
