"""Run the KSeF stand-in: python3 tests/ksefsim --state DIR [--port N] [--log FILE]."""

import argparse
import os
import pathlib
import signal
import sys
import threading

from pki import make_tls
from server import Server
from store import write_atomically

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def main():
    """Serve until SIGTERM or SIGINT."""
    arguments = _parse_arguments()
    # Blocked before any thread starts, so that only sigwait below takes them. A
    # handler would hang when the kernel gives the signal to another thread: Python
    # runs it in the main thread, which sleeps.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    state = arguments.state
    os.umask(0o022)
    state.mkdir(parents=True, exist_ok=True)
    ready = state / "ready"
    ready.unlink(missing_ok=True)
    with _open_log(arguments.log) as log, Server(
            arguments.port, make_tls(state), state, log) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        write_atomically(state / "port", f"{server.server_port}\n".encode())
        write_atomically(ready, b"")
        signal.sigwait(STOP_SIGNALS)
        ready.unlink(missing_ok=True)
        server.shutdown()
        thread.join()


def _parse_arguments():
    parser = argparse.ArgumentParser(prog="ksefsim", description=__doc__)
    parser.add_argument("--state", type=pathlib.Path, required=True,
                        help="folder for ca.pem, port, ready and the received requests")
    parser.add_argument("--port", type=int, default=0, help="TCP port; 0 takes any")
    parser.add_argument("--log", help="append the request log to this file, not to stderr")
    return parser.parse_args()


def _open_log(path):
    """The log file, or a copy of stderr that may be closed."""
    if path is None:
        return os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8")
    return open(path, "a", encoding="utf-8")


if __name__ == "__main__":
    main()
