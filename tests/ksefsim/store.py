"""Files of a run: signed requests exactly as received, and start-up facts."""

import os
import pathlib
import threading


def write_atomically(path, data):
    """Readers see the old file or the whole new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.new")
    temporary.write_bytes(data)
    os.replace(temporary, path)


class RequestStore:
    """DIR/received and DIR/refused."""

    def __init__(self, state):
        self._received = pathlib.Path(state) / "received"
        self._refused = pathlib.Path(state) / "refused"
        self._received.mkdir(exist_ok=True)
        self._refused.mkdir(exist_ok=True)
        self._lock = threading.Lock()
        self._received_count = 0
        self._refused_count = 0
        self._number = len(list(self._refused.glob("*.xml")))  # files of an earlier run stay
        self._last_refusal = None

    def keep_received(self, reference, body):
        """An accepted request, under its reference number and as `latest`."""
        with self._lock:
            self._received_count += 1
            write_atomically(self._received / f"{reference}.xml", body)
            write_atomically(self._received / "latest.xml", body)

    def keep_refused(self, code, details, body):
        """A refused request; `code` is KSeF's exception code, else the HTTP status."""
        with self._lock:
            self._refused_count += 1
            self._last_refusal = {"code": code, "details": details}
            self._number += 1
            write_atomically(self._refused / f"{self._number:03}-{code}.xml", body)

    def describe(self):
        """Counts and the last refusal, for the control interface."""
        with self._lock:
            return {"received": self._received_count, "refused": self._refused_count,
                    "last_refusal": self._last_refusal}
