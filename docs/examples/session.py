"""One KSeF session from the agent, as an ERP in Python 3.9 or later gets it; standard library only.

    python3 session.py Nip:5265877635 [SOCKET]
"""

import http.client
import json
import socket
import sys
import time
import uuid


class Agent(http.client.HTTPConnection):
    """HTTP/1.1 over the agent's Unix socket."""

    def __init__(self, path="/run/ksefvault/agent.sock", timeout=45):
        super().__init__("agent", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def session(context, path, patience=120):
    """A lease: {session, accessToken, validUntil, record}."""
    key, until = str(uuid.uuid4()), time.monotonic() + patience
    while True:
        wait = 1
        try:
            agent = Agent(path)
            agent.request("POST", "/v1/sessions", json.dumps({"context": context}),
                          {"Content-Type": "application/json", "Idempotency-Key": key})
            answer = agent.getresponse()
            body = json.load(answer)
            if answer.status == 201:
                return body
            if body["retry"] != "after":
                raise PermissionError(f'{body["code"]}: {body["detail"]} (record {body.get("record")})\n{body["next"]}')
            wait = int(answer.headers.get("Retry-After", 1))
        except (ConnectionError, FileNotFoundError, TimeoutError, http.client.HTTPException):
            pass  # not running or restarting; the same key, so that no second login is made
        if time.monotonic() + wait > until:
            raise TimeoutError("the KSeF agent gives no session")
        time.sleep(wait)


def main():
    path = sys.argv[2] if len(sys.argv) > 2 else "/run/ksefvault/agent.sock"
    lease = session(sys.argv[1], path)
    print(json.dumps({"session": lease["session"], "validUntil": lease["validUntil"]}))
    # ... calls to KSeF with the header Authorization: Bearer <accessToken> ...
    agent = Agent(path)
    agent.request("DELETE", f'/v1/sessions/{lease["session"]}')
    agent.getresponse().read()


if __name__ == "__main__":
    try:
        main()
    except (PermissionError, TimeoutError) as refused:
        sys.exit(str(refused))
