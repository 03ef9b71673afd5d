"""An HTTP proxy for one test: CONNECT only, on 127.0.0.1.

python3 proxy.py DIR: writes DIR/proxy-port when it listens, and appends to DIR/proxy-log what
clients sent it in the clear.
"""

import os
import pathlib
import selectors
import socket
import sys
import threading


def read_head(client):
    """The request head, up to the empty line."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = client.recv(1)
        if not byte:
            raise ConnectionError("the head ended early")
        head += byte
    return head


def pump(one, other):
    """Copy both ways until one side ends."""
    with selectors.DefaultSelector() as selector:
        selector.register(one, selectors.EVENT_READ, other)
        selector.register(other, selectors.EVENT_READ, one)
        while True:
            for key, _ in selector.select():
                data = key.fileobj.recv(65536)
                if not data:
                    return
                key.data.sendall(data)


def serve(client, log):
    """One client: CONNECT, then a tunnel to the same port on this host."""
    with client:
        head = read_head(client)
        with open(log, "ab") as file:
            file.write(head)
        method, target = head.split()[:2]
        if method != b"CONNECT":
            client.sendall(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")
            return
        port = int(target.rpartition(b":")[2])
        with socket.create_connection(("127.0.0.1", port)) as server:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            try:
                pump(client, server)
            except OSError:
                pass  # either side may break off


def main():
    """Accept until killed."""
    folder = pathlib.Path(sys.argv[1])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        (folder / "proxy-port.new").write_text(f"{listener.getsockname()[1]}\n", encoding="ascii")
        os.rename(folder / "proxy-port.new", folder / "proxy-port")
        while True:
            client, _ = listener.accept()
            threading.Thread(target=serve, args=(client, folder / "proxy-log"),
                             daemon=True).start()


if __name__ == "__main__":
    main()
