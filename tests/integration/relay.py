#!/usr/bin/python3
"""Between the CLI and the agent: passes each call on and notes it as the harness does.

    relay.py SOCKET AGENT-SOCKET CALLS"""
import http.client
import http.server
import os
import socket
import socketserver
import sys

SOCKET, AGENT, CALLS = sys.argv[1:4]
OWN = ("host", "connection", "content-length", "expect", "transfer-encoding")


class Agent(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(AGENT)


class Relay(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def pass_on(self):
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        agent = Agent("agent")
        agent.request(self.command, self.path, body or None,
                      {k: v for k, v in self.headers.items() if k.lower() not in OWN})
        answer = agent.getresponse()
        data = answer.read()
        with open(CALLS, "ab") as calls:
            calls.write(b"relay %s %s < %s\n> %d %s\n" % (
                self.command.encode(), self.path.encode(), body, answer.status, data))
        self.send_response_only(answer.status)
        for key, value in answer.getheaders():
            if key.lower() not in OWN:
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = pass_on

    def log_message(self, *_):
        pass

    def address_string(self):
        return "cli"


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


os.umask(0)
Server(SOCKET, Relay).serve_forever()
