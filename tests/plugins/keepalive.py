"""The keepalive settings of a connection's socket, found by its local port."""

from __future__ import annotations

import os
import socket

import psutil

CLIENT_PORT = {
    "postgresql": "select inet_client_port()",
    "mysql": "select substring_index(host, ':', -1) from information_schema.processlist where id = connection_id()",
}
"""Asks the server for that port."""


def seconds_to_live(client_port: int) -> float:
    """After how many seconds of silence an idle connection of this process ends; infinite for never."""
    with _socket(client_port) as tcp:
        if not tcp.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE):
            return float("inf")
        idle, interval, probes = (
            tcp.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        )
        return float(idle + interval * probes)


def seconds_unacknowledged(client_port: int) -> float:
    """After how many seconds a connection with unacknowledged data ends; 0 for the system's own limit."""
    with _socket(client_port) as tcp:
        return tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) / 1000


def _socket(client_port: int) -> socket.socket:
    connections = psutil.Process().net_connections("tcp")
    (descriptor,) = [each.fd for each in connections if each.laddr.port == client_port and each.fd >= 0]
    return socket.socket(fileno=os.dup(descriptor))
