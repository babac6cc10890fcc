"""Plain-data messages with descriptors between the processes of one executor.

One message is one datagram of JSON on a ``SOCK_SEQPACKET`` socket. Nothing is ever unpickled, so the worst that an
untrusted sender can do is to send something that is refused.
"""

from __future__ import annotations

import array
import json
import os
import socket
from collections.abc import Sequence
from typing import Any, Final

__all__ = ["MESSAGE_BYTES", "WireError", "close_all", "memory_file", "pair", "receive", "send"]

MESSAGE_BYTES: Final = 1 << 16
"""Largest message. Larger things (programs, arrays) travel as descriptors of memory."""


class WireError(Exception):
    """A message that is not one JSON object, is cut off, or comes with too many descriptors."""


def pair() -> tuple[socket.socket, socket.socket]:
    """A connected pair of message sockets, neither of them inheritable."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(sock: socket.socket, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
    """Send one message with copies of ``fds``.

    Raises:
        WireError: if the message is too large.
        OSError: if the other end is gone.
    """
    data = json.dumps(message, separators=(",", ":")).encode()
    if len(data) > MESSAGE_BYTES:
        raise WireError(f"a message of {len(data)} bytes")
    socket.send_fds(sock, [data], list(fds))


def receive(sock: socket.socket, most_fds: int = 0) -> tuple[dict[str, Any], list[int]]:
    """Receive one message and its descriptors, which are close-on-exec.

    Raises:
        EOFError: when the other end is closed.
        WireError: when what came is no message.
    """
    try:
        # socket.recv_fds drops its flags argument, and the descriptors would be inherited.
        space = socket.CMSG_LEN(most_fds * array.array("i").itemsize)
        data, ancillary, flags, _ = sock.recvmsg(MESSAGE_BYTES, space, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        raise EOFError("the other end is gone") from None
    received = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            received.frombytes(payload[: len(payload) - len(payload) % received.itemsize])
    fds = received.tolist()
    if not data:
        close_all(fds)
        raise EOFError("the other end is gone")
    try:
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            raise WireError("a message was cut off")
        message = json.loads(data)
    except (ValueError, RecursionError) as error:
        close_all(fds)
        raise WireError(f"no JSON: {type(error).__name__}") from None
    except WireError:
        close_all(fds)
        raise
    if not isinstance(message, dict):
        close_all(fds)
        raise WireError("not a JSON object")
    return message, fds


def close_all(fds: Sequence[int]) -> None:
    """Close descriptors."""
    for fd in fds:
        os.close(fd)


def memory_file(data: bytes) -> int:
    """A descriptor, at its start, of a memory file that holds ``data``; the caller closes it."""
    fd = os.memfd_create("program", os.MFD_CLOEXEC)
    while data:
        data = data[os.write(fd, data) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
