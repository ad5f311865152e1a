"""A TCP proxy that delays all data, to simulate a distant server. Its own process.

Each direction delays every byte by half of the given delay. The bandwidth is not
limited, and new connections are not delayed.

    python -m benchmarks.delay PORT TARGET_PORT DELAY_MS
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

_HOST = "127.0.0.1"
_CHUNK_BYTES = 1 << 18
_MAX_CHUNKS = 1024  # bounds the memory if a reader stops reading


async def _forward(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float
) -> None:
    """Forward each chunk, and then the end of the stream, ``delay_s`` later."""
    queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_MAX_CHUNKS)
    clock = asyncio.get_running_loop().time

    async def write() -> None:
        while True:
            due, chunk = await queue.get()
            await asyncio.sleep(due - clock())
            if not chunk:
                return
            writer.write(chunk)
            await writer.drain()

    writing = asyncio.create_task(write())
    try:
        while chunk := await reader.read(_CHUNK_BYTES):
            await queue.put((clock() + delay_s, chunk))
        await queue.put((clock() + delay_s, b""))
        await writing
        writer.write_eof()
    finally:
        writing.cancel()


async def _connect(
    client: asyncio.StreamReader,
    to_client: asyncio.StreamWriter,
    target_port: int,
    delay_s: float,
) -> None:
    server, to_server = await asyncio.open_connection(_HOST, target_port)
    try:
        with contextlib.suppress(OSError):  # one of the two closed the connection
            await asyncio.gather(
                _forward(client, to_server, delay_s),
                _forward(server, to_client, delay_s),
            )
    finally:
        to_server.close()
        to_client.close()


async def serve(port: int, target_port: int, delay_ms: float) -> None:
    """Listen on ``port`` until the process ends."""
    server = await asyncio.start_server(
        lambda reader, writer: _connect(
            reader, writer, target_port, delay_ms / 1000 / 2
        ),
        _HOST,
        port,
        limit=_CHUNK_BYTES,
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
