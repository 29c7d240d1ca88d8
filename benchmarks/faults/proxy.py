"""A TCP proxy that can cut every connection, after so many bytes or at once."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from contextlib import suppress


class Proxy:
    """Forwards a port of its own to ``upstream`` on the loopback, in a thread."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._left: int | None = None
        #: Bytes that came from clients, and how often all connections were cut.
        self.passed = self.cuts = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        threading.Thread(target=self._serve, args=(ready,), daemon=True).start()
        ready.wait()

    def cut_after(self, size: int | None) -> None:
        """Cut all connections once so many more bytes have come from the client; None lets everything pass."""
        self._loop.call_soon_threadsafe(setattr, self, "_left", size)

    def _serve(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        self._loop.run_forever()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:
            writer.close()
            return
        self._writers |= {writer, server_writer}
        await asyncio.gather(self._pump(reader, server_writer, True), self._pump(server_reader, writer, False))
        self._writers -= {writer, server_writer}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counted: bool) -> None:
        with suppress(OSError):
            while data := await reader.read(4096):
                self.passed += len(data) if counted else 0
                if counted and self._left is not None:
                    data, self._left = data[: self._left], self._left - len(data)
                writer.write(data)
                await writer.drain()
                if self._left is not None and self._left <= 0:
                    self._cut()
        writer.close()

    def _cut(self) -> None:
        self._left = None
        self.cuts += 1
        for writer in self._writers:
            with suppress(OSError, AttributeError):
                # A reset, as a firewall or a failing machine gives, and not a polite end.
                found: socket.socket = writer.get_extra_info("socket")
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
