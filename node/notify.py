"""Tells systemd how the process is doing (sd_notify(3)): one datagram a message."""

from __future__ import annotations

import logging
import os
import socket

log = logging.getLogger(__name__)


def notify(message: str) -> None:
    """Sends for example ``READY=1``; does nothing outside a ``Type=notify`` unit.

    ``NOTIFY_SOCKET`` is the protocol's own address, not a setting of ours.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    target = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.settimeout(1.0)
            channel.sendto(message.encode(), target)
    except OSError as error:
        log.warning("systemd did not take '%s': %s", message, error.strerror or error)
