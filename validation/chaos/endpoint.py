"""A TCP relay before an S3 server. Killing it is what an outage of durable storage looks like to a client.

The server behind it keeps objects in memory, so it is the relay that dies: connections break in the middle of a
request, and nothing listens until it is started again.
"""

import asyncio
import contextlib
import sys
from functools import partial


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while content := await reader.read(65536):
            writer.write(content)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


async def _relay(target: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", target)
    except OSError:
        writer.close()
        return
    await asyncio.gather(_copy(reader, server_writer), _copy(server_reader, writer))


async def serve(port: int, target: int) -> None:
    """Relay a port of the loopback interface to another one, until killed."""
    server = await asyncio.start_server(partial(_relay, target), "127.0.0.1", port)
    print("listening", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
