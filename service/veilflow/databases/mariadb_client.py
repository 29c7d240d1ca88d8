"""PyMySQL's connection without its way to files.

A MariaDB server may answer any statement with a request for any file of the client, and the driver's own way to LOAD DATA
LOCAL opens what it is asked for. Here nothing is opened: such a request is met from memory, or ends the connection.
"""

from __future__ import annotations

from typing import Any, NoReturn

from pymysql.connections import Connection, MySQLResult

from veilflow.errors import VeilError

#: Of a packet: less than any server's max_allowed_packet.
_PIECE_BYTES = 1 << 16


class FilelessConnection(Connection):  # type: ignore[misc]
    """Sends what ``load`` announces, in answer to its statement and whatever name the server asks for; asked at any other
    moment it closes, and raises VEIL401."""

    _announced: memoryview | None = None
    _result: Any

    def load(self, statement: bytes, content: memoryview) -> tuple[int, int]:
        """Carry out a LOAD DATA LOCAL with ``content`` for its file; the rows that the server took, and its warnings."""
        self._announced = content
        try:
            rows = self.query(statement)
        finally:
            self._announced = None
        return int(rows), int(self._result.warning_count)

    def announced(self) -> memoryview:
        """What the server may have now."""
        if self._announced is None:
            self.refuse()
        return self._announced

    def refuse(self) -> NoReturn:
        """End the connection: who asks for a file is no honest server."""
        self._force_close()
        raise VeilError(
            "VEIL401", "the server asked for a file of this machine; it got none, and the connection was closed",
            "this is no server to trust, or somebody stands between: check its address, and name its CA by `ssl_ca`",
        )  # fmt: skip

    def _read_query_result(self, unbuffered: bool = False) -> int:
        """As the driver's own, with a result that reads no file."""
        self._result = None
        result = _FilelessResult(self)
        if unbuffered:
            result.init_unbuffered_query()
        else:
            result.read()
        self._result = result
        if result.server_status is not None:
            self.server_status = result.server_status
        return int(result.affected_rows)


class _FilelessResult(MySQLResult):  # type: ignore[misc]
    """What a statement gave."""

    def _read_load_local_packet(self, _asked: object) -> None:
        """The answer to a server that asks for a file."""
        connection: FilelessConnection = self.connection
        content = connection.announced()
        for first in range(0, len(content), _PIECE_BYTES):
            connection.write_packet(content[first : first + _PIECE_BYTES])
        connection.write_packet(b"")
        packet = connection._read_packet()
        if not packet.is_ok_packet():
            connection.refuse()
        self._read_ok_packet(packet)
