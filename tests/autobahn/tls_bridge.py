"""Carries plain TCP connections on over TLS, for programs that speak none.

    tls_bridge.py HOST:PORT

It listens on a free port of 127.0.0.1, says so on stderr, and connects to HOST:PORT for each connection that comes.
Certificates are not verified: whoever uses it has just made the server's.
"""

import asyncio
import ssl
import sys

# The most that is read at once.
PIECE_BYTES = 256 << 10


async def carry(reader, writer):
    """Carries what one side says to the other, until it ends or the other is gone."""
    try:
        while piece := await reader.read(PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def main(server):
    host, port = server.rsplit(":", 1)
    tls = ssl.create_default_context()
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE

    async def bridge(plain_reader, plain_writer):
        tls_reader, tls_writer = await asyncio.open_connection(host, int(port), ssl=tls)
        await asyncio.gather(carry(plain_reader, tls_writer), carry(tls_reader, plain_writer))

    listener = await asyncio.start_server(bridge, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()
    print(f"listening on {host}:{port}", file=sys.stderr, flush=True)
    await listener.serve_forever()


asyncio.run(main(sys.argv[1]))
