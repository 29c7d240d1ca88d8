"""A proxy between Veilflow and Vault that breaks the network on demand: asyncio in a thread, one request a connection."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass


@dataclass(frozen=True)
class Weather:
    """What happens to a request: passed on, refused, its answer lost, delayed, or answered with a status."""

    cut: bool = False
    lose_answers: bool = False
    delay_seconds: float = 0.0
    status: int = 0


FAIR = Weather()


class FaultProxy:
    """Listens on ``port``; ``weather`` may change at any time and holds for the requests that begin after it."""

    def __init__(self, upstream_port: int, *, without: bytes = b"") -> None:
        self.weather, self.requests = FAIR, 0
        #: The head of each request, as it came; the header ``without`` is not passed on.
        self.heads: list[bytes] = []
        self._without = without.lower()
        self._upstream = upstream_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()
        self.port = 0

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *_error: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await self._pass_on(self.weather, reader, writer)
        writer.close()

    def _passed_on(self, request: bytes) -> bytes:
        head, _, body = request.partition(b"\r\n\r\n")
        self.heads.append(head)
        kept = [line for line in head.split(b"\r\n") if not self._without or not line.lower().startswith(self._without)]
        return b"\r\n".join(kept) + b"\r\n\r\n" + body

    async def _pass_on(self, weather: Weather, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if weather.cut:
            _reset(writer)
            return
        request = await _request(reader)
        self.requests += 1
        if weather.status:
            body = b'{"errors":[]}'
            writer.write(
                b"HTTP/1.1 %d Fault\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
                % (weather.status, len(body), body)
            )
            await writer.drain()
            return
        answers, asks = await asyncio.open_connection("127.0.0.1", self._upstream)
        asks.write(self._passed_on(request))
        answer = await answers.read()  # the client asks for a connection that closes
        asks.close()
        if weather.lose_answers:
            _reset(writer)
            return
        await asyncio.sleep(weather.delay_seconds)
        writer.write(answer)
        await writer.drain()


async def _request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return head + await reader.readexactly(int(value))
    return head


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset, as a network that breaks does."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
