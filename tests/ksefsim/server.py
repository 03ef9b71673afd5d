"""The HTTPS side: sockets, limits, routing, delivery and the request log."""

import collections
import datetime
import http.server
import socket
import sys
import threading
import time
import urllib.parse

from api import ENDPOINTS, Api, Call, find_route
from authentication import Authentication
from clock import Clock
from control import Control
from faults import Faults
from problems import Answer, BadRequest, Delivery, PlainRefusal, Refusal, Request
from store import RequestStore

ADDRESS = "127.0.0.1"
API_PREFIX = "/v2"
CONTROL_PREFIX = "/control/"
BODY_MAX = 1024 * 1024
SOCKET_TIMEOUT_SECONDS = 15
ENDLESS_CHUNK = b"A" * 4096


class Traffic:
    """Counters of what was called and by whom."""

    endpoints = ENDPOINTS

    def __init__(self):
        self._lock = threading.Lock()
        self._calls = collections.Counter()
        self._last_client_ip = None

    def count(self, endpoint, client_ip):
        """One call, whatever becomes of it."""
        with self._lock:
            self._calls[endpoint] += 1
            self._last_client_ip = client_ip

    def describe(self):
        """For the control interface."""
        with self._lock:
            return {"calls": {name: self._calls[name] for name in ENDPOINTS},
                    "last_client_ip": self._last_client_ip}


class Log:
    """One line for each request; never a header, a query or a body."""

    def __init__(self, file):
        self._file = file
        self._lock = threading.Lock()

    def line(self, text):
        """Write `text` with the real time before it."""
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        with self._lock:
            print(now, text, file=self._file, flush=True)


class Server(http.server.ThreadingHTTPServer):
    """The listening socket and the state behind it."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, port, tls, state, log_file):
        self._tls = tls
        self.log = Log(log_file)
        self.clock = Clock()
        self.traffic = Traffic()
        authentication, faults, store = Authentication(self.clock), Faults(), RequestStore(state)
        self.api = Api(authentication, faults, store)
        self.control = Control(self.clock, authentication, faults, store, self.traffic)
        super().__init__((ADDRESS, port), Handler)

    def server_bind(self):
        """Bind without the reverse name look-up of http.server."""
        super(http.server.HTTPServer, self).server_bind()
        self.server_name, self.server_port = self.server_address[:2]

    def get_request(self):
        """Accept only; the TLS handshake happens in the request's own thread."""
        connection, address = super().get_request()
        connection.settimeout(SOCKET_TIMEOUT_SECONDS)
        tls = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return tls, address

    def handle_error(self, request, client_address):
        """A broken connection is the client's affair: one line, no traceback."""
        error = sys.exc_info()[1]
        self.log.line(f"{client_address[0]} connection failed: {type(error).__name__}")
        if not isinstance(error, OSError):
            super().handle_error(request, client_address)


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "ksefsim"
    sys_version = ""
    timeout = SOCKET_TIMEOUT_SECONDS

    def setup(self):
        self.request.do_handshake()
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        super().setup()

    def do_GET(self):
        """Any method: route, carry out, deliver, log."""
        path, _, query = self.path.partition("?")
        route = "unknown"
        note = ""
        try:
            body = self._read_body()
            route, run = self._find(path, query, body)
            answer = run()
        except Refusal as refusal:
            answer = refusal.answer(self._describe(path))
            note = f" code={refusal.code}" if isinstance(refusal, BadRequest) else ""
        self.server.log.line(f"{self.client_address[0]} {self.command} {route} "
                             f"{answer.status}{note}{_delivery_note(answer)}")
        self._deliver(answer)

    do_POST = do_DELETE = do_PUT = do_PATCH = do_GET

    def _read_body(self):
        """The whole request body; the connection does not survive a refusal here."""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdecimal()):
            self.close_connection = True
            raise PlainRefusal(411, "a Content-Length is required")
        if len(length) > 9 or int(length) > BODY_MAX:
            self.close_connection = True
            raise PlainRefusal(413, "the body is too large")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise ConnectionAbortedError("the body ended early")
        return body

    def _find(self, path, query, body):
        """(name for the log, function that gives the Answer)."""
        if path.startswith(CONTROL_PREFIX):
            name = path[len(CONTROL_PREFIX):]
            return "control", lambda: self.server.control.answer(self.command, name, body)
        if not path.startswith(API_PREFIX + "/"):
            raise PlainRefusal(404, "not found")
        endpoint, argument = find_route(self.command, path[len(API_PREFIX):])
        client_ip = self.client_address[0]
        self.server.traffic.count(endpoint, client_ip)
        call = Call(argument, urllib.parse.parse_qs(query, keep_blank_values=True),
                    self.headers, body, client_ip)
        return endpoint, lambda: self.server.api.answer(endpoint, call)

    def _describe(self, path):
        """What error bodies say about this request."""
        wanted = self.headers.get("X-Error-Format", "").strip().lower()
        return Request(path, wanted == "problem-details", self.server.clock.now())

    # --- delivery ------------------------------------------------------------

    def _deliver(self, answer):
        """Send the answer in its way; every way but WHOLE ends the connection."""
        if answer.delivery is not Delivery.WHOLE:
            self.close_connection = True
        if answer.delay and answer.delivery is not Delivery.TRICKLE:
            time.sleep(answer.delay)
        if answer.delivery is Delivery.NOTHING:
            return
        self._send_head(answer)
        if answer.delivery is Delivery.ENDLESS:
            self._send_endless()
        elif answer.delivery is Delivery.TRICKLE:
            self._send_trickle(answer)
        elif answer.delivery is Delivery.HALF:
            self.wfile.write(answer.body[:len(answer.body) // 2])
        else:
            self.wfile.write(answer.body)

    def _send_head(self, answer: Answer):
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Type", answer.content_type)
        if answer.delivery is Delivery.ENDLESS:
            self.send_header("Transfer-Encoding", "chunked")
        elif answer.status != 204:
            self.send_header("Content-Length", str(len(answer.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _send_endless(self):
        """JSON that never ends; stops when the client goes away."""
        self.wfile.write(b'E\r\n{"challenge":"\r\n')
        while True:
            self.wfile.write(b"%X\r\n%s\r\n" % (len(ENDLESS_CHUNK), ENDLESS_CHUNK))

    def _send_trickle(self, answer):
        for byte in answer.body:
            time.sleep(answer.delay)
            self.wfile.write(bytes([byte]))

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        """http.server's own lines could quote the request; ours is written above."""


def _delivery_note(answer):
    """How a spoiled answer was delivered, for the log."""
    if answer.delivery is Delivery.WHOLE:
        return ""
    return f" delivery={answer.delivery.name.lower()}"
