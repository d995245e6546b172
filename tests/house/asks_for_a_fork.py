"""Stands for `python` in a command: has it run by the process at a socket, and ends as it does.

    python -I -S asks_for_a_fork.py SOCKET -m MODULE …
    python -I -S asks_for_a_fork.py SOCKET FILE …

It imports hardly anything, since it is started for every command.
"""

import os
import socket
import sys

with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.connect(sys.argv[1])
    request = repr((os.getcwd(), dict(os.environ), sys.argv[2:])).encode()
    socket.send_fds(server, [request], [0, 1, 2])
    status = int(server.recv(16))
if status < 0:  # a signal ended it
    os.kill(os.getpid(), -status)
sys.exit(status)
