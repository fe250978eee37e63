"""Run on an outsider's host: which TCP ports of some hosts can be connected to, of all 65535; prints JSON."""

import errno
import json
import resource
import selectors
import socket
import sys
import time

BATCH = 16000
PATIENCE = 1.5
"""Seconds for an answer: a refusal comes at once, behind a firewall nothing ever comes."""


def open_ports(host: str) -> list[int]:
    """The ports of one host that accept a connection."""
    ports = range(1, 65536)
    return [port for start in range(0, len(ports), BATCH) for port in accepting(host, ports[start : start + BATCH])]


def accepting(host: str, ports: range) -> list[int]:
    """Those of some ports that accept, all tried at once."""
    found = []
    with selectors.DefaultSelector() as waiting:
        for port in ports:
            attempt = socket.socket()
            attempt.setblocking(False)
            state = attempt.connect_ex((host, port))
            if state == errno.EINPROGRESS:
                waiting.register(attempt, selectors.EVENT_WRITE, port)
                continue
            found += [port] if state == 0 else []
            attempt.close()
        deadline = time.monotonic() + PATIENCE
        while waiting.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in waiting.select(left):
                found += [] if key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) else [key.data]
                waiting.unregister(key.fileobj)
                key.fileobj.close()
        for key in list(waiting.get_map().values()):
            key.fileobj.close()
    return sorted(found)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    print(json.dumps({host: open_ports(host) for host in sys.argv[1:]}))
