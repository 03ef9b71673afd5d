#!/usr/bin/env python3
"""The server of module.c: FOLDER/port says where it listens, FOLDER/mode what it answers.

A mode is `WHAT ANSWER`, two letters: to questions WHAT (I initialise, L login, R random, S sign) it
gives ANSWER (see module.c; h: none at all), to others `o`. FOLDER/asked counts by lines what came."""
import socket
import sys
import threading
import time


def serve(connection, folder):
    with connection:
        what = connection.recv(1).decode()
        with open(folder + "/asked", "a", encoding="ascii") as asked:
            asked.write(what + "\n")
        with open(folder + "/mode", encoding="ascii") as mode:
            subject, _, answer = mode.read().strip().partition(" ")
        if subject != what:
            answer = "o"
        while answer == "h":  # until the mode is another
            time.sleep(0.2)
            with open(folder + "/mode", encoding="ascii") as mode:
                answer = "h" if mode.read().strip().endswith(" h") else "o"
        try:
            connection.sendall(answer.encode())
        except OSError:
            pass  # the module has ended


def main():
    folder = sys.argv[1]
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    with open(folder + "/port", "w", encoding="ascii") as port:
        port.write(str(listener.getsockname()[1]))
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection, folder), daemon=True).start()


main()
