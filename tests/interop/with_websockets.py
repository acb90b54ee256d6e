"""Python's `websockets` as a client of fanwire. Started by `run` with the binary and the work directory."""

import asyncio
import contextlib
import json
import re
import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

BINARY, WORK = sys.argv[1], Path(sys.argv[2])
MESSAGE_BYTES_MAX = 1 << 20
CHECK_SECONDS_MAX = 30

CHECKS = []


def check(sentence):
    """Registers a check; its name is the sentence that it proves."""
    def register(function):
        CHECKS.append((sentence, function))
        return function
    return register


class Server:
    """A fanwire of our own, on a free port."""

    started = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def start(cls, *options):
        server = cls()
        cls.started += 1
        server.process = await asyncio.create_subprocess_exec(
            BINARY, "serve", "--listen", "127.0.0.1:0", *options, stderr=asyncio.subprocess.PIPE
        )
        with open(WORK / f"websockets-{cls.started}.log", "wb") as log:
            try:
                server.address = await asyncio.wait_for(server._read_address(log), 10)
                rest = asyncio.create_task(server._keep_reading(log))
                yield server
            finally:
                if server.process.returncode is None:
                    server.process.kill()
                await server.process.wait()
            await rest

    async def _read_address(self, log):
        async for line in self.process.stderr:
            log.write(line)
            if found := re.search(rb"127\.0\.0\.1:[1-9]\d*", line):
                return found[0].decode()
        raise AssertionError("the server ended before it said where it listens")

    async def _keep_reading(self, log):
        async for line in self.process.stderr:
            log.write(line)

    def connect(self, path="/ws", **options):
        options = {"ping_interval": None, "max_size": None, "proxy": None, **options}
        return connect(f"ws://{self.address}{path}", **options)

    async def get(self, path):
        """Status, headers and body of a plain request."""
        def ask():
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            try:
                with opener.open(f"http://{self.address}{path}", timeout=10) as response:
                    return response.status, response.headers, response.read().decode()
            except urllib.error.HTTPError as error:
                return error.code, error.headers, error.read().decode()
        return await asyncio.to_thread(ask)


async def code_after(connecting, *arguments, **options):
    """Connects, sends, and returns the code with which the server then closes."""
    ws = await connecting  # not `async with`: its close() trips in asyncio over a transport that is already gone
    with contextlib.suppress(ConnectionClosed):
        await ws.send(*arguments, **options)
    with contextlib.suppress(ConnectionClosed):
        while True:
            await ws.recv()
    assert ws.protocol.close_rcvd is not None, "the connection broke without a Close frame"
    return ws.protocol.close_rcvd.code


def same(actual, expected):
    assert actual == expected, f"expected {expected!r:.200}, got {actual!r:.200}"


# ---- Messages -----------------------------------------------------------------------------------------------------


@check("a text message comes back to its sender and to everyone in the channel, and to nobody else")
async def _(server):
    async with server.connect() as a, server.connect("/ws/lobby") as b, server.connect("/ws/other") as c:
        await a.send("héllo ✓ 🎉")
        same(await a.recv(), "héllo ✓ 🎉")
        same(await b.recv(), "héllo ✓ 🎉")
        await c.send("mine")
        same(await c.recv(), "mine")


@check("a binary message stays binary, byte for byte")
async def _(server):
    every_byte = bytes(range(256)) * 3
    async with server.connect("/ws/bin") as a, server.connect("/ws/bin") as b:
        for payload in [every_byte, b"", b"\x00"]:
            await a.send(payload)
            same(await a.recv(), payload)
            same(await b.recv(), payload)


@check("lengths around 125, 126, 65,535 and 65,536 bytes arrive whole")
async def _(server):
    async with server.connect("/ws/len") as a, server.connect("/ws/len") as b:
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 65_537]:
            await a.send("x" * length)
            same(len(await a.recv()), length)
            same(await b.recv(), "x" * length)


@check("fragments arrive as one message, with a Ping between them, even when they cut a character")
async def _(server):
    async with server.connect("/ws/frag") as a, server.connect("/ws/frag") as b:
        async def parts():
            yield "one "
            await (await a.ping(b"between"))
            yield "two "
            yield "three"
        await a.send(parts())
        same(await b.recv(), "one two three")
        same(await a.recv(), "one two three")
        await a.send([bytes([byte]) for byte in "né🎉".encode()], text=True)
        same(await b.recv(), "né🎉")
        await a.send([b"\x00", b"", b"\xff"])
        same(await b.recv(), b"\x00\xff")


@check("a message of exactly 1 MiB passes, text and binary")
async def _(server):
    text, binary = "é" * (MESSAGE_BYTES_MAX // 2), bytes(MESSAGE_BYTES_MAX)
    async with server.connect("/ws/big") as a, server.connect("/ws/big") as b:
        for payload in [text, binary]:
            await a.send(payload)
            assert await b.recv() == payload, "the message arrived changed"
            assert await a.recv() == payload, "the message came back changed"


@check("a thousand messages of two senders reach three clients in one order")
async def _(server):
    async with server.connect("/ws/order") as a, server.connect("/ws/order") as b, server.connect("/ws/order") as c:
        async def say(ws, name):
            for number in range(500):
                await ws.send(f"{name} {number}")

        async def hear(ws):
            return [await ws.recv() for _ in range(1000)]

        *heard, _, _ = await asyncio.gather(hear(a), hear(b), hear(c), say(a, "a"), say(b, "b"))
        same(heard[1], heard[0])
        same(heard[2], heard[0])
        for name in "ab":
            same([m for m in heard[0] if m.startswith(name)], [f"{name} {number}" for number in range(500)])


@check("?echo=off leaves out the sender, and only the sender")
async def _(server):
    async with server.connect("/ws/quiet?echo=off") as a, server.connect("/ws/quiet") as b:
        await a.send("from a")
        same(await b.recv(), "from a")
        await b.send("from b")
        same(await b.recv(), "from b")
        same(await a.recv(), "from b")


@check("/echo answers the sender alone")
async def _(server):
    async with server.connect("/echo") as a, server.connect("/echo") as b:
        await a.send("a")
        await b.send(b"b")
        same(await a.recv(), "a")
        same(await b.recv(), b"b")


# ---- permessage-deflate: websockets offers it unless told otherwise --------------------------------------------------


def deflate_of(ws):
    """The extension that was agreed on. It counts in `compressed` and `plain` the messages that come so from now on."""
    same([extension.name for extension in ws.protocol.extensions], ["permessage-deflate"])
    [extension] = ws.protocol.extensions
    extension.compressed = extension.plain = 0
    decode = extension.decode

    def counting(frame, **options):
        if frame.opcode in (1, 2):
            extension.compressed += frame.rsv1
            extension.plain += not frame.rsv1
        return decode(frame, **options)

    extension.decode = counting
    return extension


def of_all_sizes():
    """Text and binary messages of 0 bytes, 16 bytes, 1 KiB, 64 KiB and 1 MiB. All from 1 KiB on can be compressed."""
    for size in [0, 16, 1 << 10, 64 << 10, 1 << 20]:
        numbers = ",".join(map(str, range(size // 2 + 16)))
        yield numbers[:size]
        yield numbers.encode()[:size]


async def talk(a, b):
    """What `a` says in their channel arrives at both."""
    for payload in of_all_sizes():
        await a.send(payload)
        assert await b.recv() == payload, f"{len(payload)} bytes arrived changed"
        assert await a.recv() == payload, f"{len(payload)} bytes came back changed"


@check("permessage-deflate, as websockets offers it: 0 bytes to 1 MiB go and come compressed, and meet who has it not")
async def _(server):
    async with server.connect("/ws/deflate") as a, server.connect("/ws/deflate", compression=None) as plain:
        same(plain.protocol.extensions, [])
        deflate = deflate_of(a)
        same((deflate.remote_no_context_takeover, deflate.local_no_context_takeover), (True, True))
        same((deflate.remote_max_window_bits, deflate.local_max_window_bits), (15, 15))
        await talk(a, plain)
        same((deflate.compressed, deflate.plain), (6, 4))
        await talk(plain, a)
        same((deflate.compressed, deflate.plain), (12, 8))


@check("permessage-deflate with windows of 9 to 15 bits, and without context takeover, round trip")
async def _(server):
    for offered, (remote, local) in [
        ({"server_max_window_bits": 15}, (15, 15)),
        ({"server_max_window_bits": 12}, (9, 15)),
        ({"server_max_window_bits": 9}, (9, 15)),
        ({"client_max_window_bits": None}, (15, 15)),
        ({"client_max_window_bits": 9}, (15, 9)),
        ({"client_max_window_bits": 12, "server_max_window_bits": 9}, (9, 12)),
        ({"server_no_context_takeover": True, "client_no_context_takeover": True}, (15, 15)),
    ]:
        factory = ClientPerMessageDeflateFactory(**{"client_max_window_bits": True, **offered})
        options = {"compression": None, "extensions": [factory]}
        async with server.connect("/ws/windows", **options) as a, server.connect("/ws/windows", compression=None) as b:
            deflate = deflate_of(a)
            same((deflate.remote_max_window_bits, deflate.local_max_window_bits), (remote, local))
            await talk(a, b)
            await talk(b, a)
            same((deflate.compressed, deflate.plain), (12, 8))


@check("permessage-deflate: fragments of one compressed message, a Ping between them, arrive as one")
async def _(server):
    async with server.connect("/ws/pieces") as a, server.connect("/ws/pieces") as b:
        deflate_of(a)
        async def parts():
            for number in range(100):
                yield f"part {number}, "
                if number == 50:
                    await (await a.ping(b"between"))
        await a.send(parts())
        whole = "".join(f"part {number}, " for number in range(100))
        same(await b.recv(), whole)
        same(await a.recv(), whole)


@check("permessage-deflate: 1 KiB that is 1 MiB and a byte is refused with 1009, and its sender alone suffers")
async def _(server):
    async with server.connect("/ws/bomb") as witness:
        for payload in [bytes(MESSAGE_BYTES_MAX + 1), "x" * (MESSAGE_BYTES_MAX + 1), bytes(64 * MESSAGE_BYTES_MAX)]:
            bomber = server.connect("/ws/bomb")
            same(await code_after(bomber, payload), 1009)
        await witness.send("nothing came through")
        same(await witness.recv(), "nothing came through")


@check("--deflate-context-takeover: websockets keeps its context or does not; --deflate-min-size 0 compresses all")
async def _(_):
    async with Server.start("--deflate-context-takeover", "--deflate-min-size", "0", "--echo") as own:
        for keeps in [True, False]:
            factory = ClientPerMessageDeflateFactory(client_max_window_bits=True, client_no_context_takeover=not keeps)
            async with own.connect("/echo", compression=None, extensions=[factory]) as a:
                deflate = deflate_of(a)
                same((deflate.remote_no_context_takeover, deflate.local_no_context_takeover), (True, not keeps))
                # They have nearly all in common with the one before, over more than a window.
                messages = [f"{number} {'-'.join(map(str, range(2000)))}" for number in range(20)]
                for message in messages + list(of_all_sizes()) + messages:
                    await a.send(message)
                    assert await a.recv() == message, f"{message:.40} came back changed"
                same((deflate.compressed, deflate.plain), (50, 0))


# ---- The opening handshake ------------------------------------------------------------------------------------------


@check("offered subprotocols are declined, and the connection works")
async def _(server):
    async with server.connect("/ws/plain", subprotocols=["chat", "soap"]) as a:
        same(a.subprotocol, None)
        same(a.response.headers.get("Sec-WebSocket-Protocol"), None)
        await a.send("x" * 5000)
        same(await a.recv(), "x" * 5000)


@check("an impossible channel is 404, a foreign Origin 403, its own Origin is welcome")
async def _(server):
    async def refusal(path, **options):
        try:
            async with server.connect(path, **options):
                return 101
        except InvalidStatus as error:
            assert error.response.body, "a refusal says why"
            return error.response.status_code
    same(await refusal("/ws/no%20spaces"), 404)
    same(await refusal("/ws/" + "x" * 201), 404)
    same(await refusal("/ws/" + "x" * 200), 101)
    same(await refusal("/ws/A-Za-z0-9_=@,.;:/"), 101)
    same(await refusal("/nothing"), 404)
    same(await refusal("/ws", origin="http://elsewhere.example"), 403)
    same(await refusal("/ws", origin=f"http://{server.address}"), 101)


@check("the pages: / with a strict policy, /healthz, 404 with a reason")
async def _(server):
    status, headers, body = await server.get("/")
    same(status, 200)
    assert headers["Content-Type"].startswith("text/html"), headers["Content-Type"]
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy, policy
    assert "<title>fanwire</title>" in body
    status, _, body = await server.get("/healthz")
    same((status, body.strip()), (200, "ok"))
    status, _, body = await server.get("/missing")
    same(status, 404)
    assert body.strip(), "a 404 says what is missing"
    status, _, body = await server.get("/ws")
    assert 400 <= status < 500 and body.strip(), f"a plain GET of /ws was answered {status}"


# ---- Control frames and the closing handshake -------------------------------------------------------------------------


@check("a Ping is answered with its own bytes, in less than a second")
async def _(server):
    async with server.connect("/ws/ping") as a:
        for payload in [b"", b"x", b"y" * 125]:
            assert await (await a.ping(payload)) < 1
        await a.pong(b"nobody asked")
        await a.send("still here")
        same(await a.recv(), "still here")


@check("the client's Close is answered with its code")
async def _(server):
    for code, reason in [(1000, ""), (1001, "leaving"), (3000, "x" * 123), (4999, "bye")]:
        async with server.connect() as a:
            await a.close(code, reason)
            same(a.protocol.close_rcvd.code, code)


@check("a message over the limit is refused with 1009, whole, fragmented or far too large")
async def _(server):
    async with server.connect("/ws/large") as witness:
        async def parts():
            for _ in range(17):
                yield b"x" * (MESSAGE_BYTES_MAX // 16)
        for payload in ["x" * (MESSAGE_BYTES_MAX + 1), parts(), b"x" * (16 * MESSAGE_BYTES_MAX)]:
            same(await code_after(server.connect("/ws/large"), payload), 1009)
        await witness.send("nothing came through")
        same(await witness.recv(), "nothing came through")


@check("invalid UTF-8 is refused with 1007 and reaches nobody; in a binary message it is data")
async def _(server):
    async with server.connect("/ws/utf8") as witness:
        for payload in [b"\xff", b"abc\xc3", b"\xed\xa0\x80", [b"\xf0\x9f", b"\x41"], [b"\xe2\x82", b""]]:
            same(await code_after(server.connect("/ws/utf8"), payload, text=True), 1007)
        async with server.connect("/ws/utf8") as a:
            await a.send(b"\xff\xfe")
        same(await witness.recv(), b"\xff\xfe")


@check("SIGTERM: what was accepted is delivered, everyone is told 1001, the program ends with 0")
async def _(server):
    async with Server.start() as own, own.connect() as a, own.connect() as b:
        for number in range(100):
            await a.send(str(number))
        same([await a.recv() for _ in range(100)], [str(number) for number in range(100)])
        own.process.send_signal(signal.SIGTERM)
        heard = []
        with contextlib.suppress(ConnectionClosed):
            while True:
                heard.append(await b.recv())
        same(heard, [str(number) for number in range(100)])
        with contextlib.suppress(ConnectionClosed):
            await a.recv()
        same((a.protocol.close_rcvd.code, b.protocol.close_rcvd.code), (1001, 1001))
        same(await own.process.wait(), 0)


# ---- What the Go program did: --payload chat ----------------------------------------------------------------------------


async def exchange(ws, payload):
    await ws.send(payload)
    return json.loads(await ws.recv())


@check("chat: {username, text} comes back as exactly that object, to everyone")
async def _(server):
    async with Server.start("--payload", "chat") as chat, chat.connect() as a, chat.connect() as b:
        said = {"username": "Ada", "text": "héllo \"✓\" \n<b>"}
        await a.send(json.dumps(said))
        for ws in [a, b]:
            received = await ws.recv()
            assert isinstance(received, str), "chat messages are text"
            same(json.loads(received), said)


@check("chat: missing fields become empty, unknown ones are dropped")
async def _(server):
    async with Server.start("--payload", "chat") as chat, chat.connect() as a:
        same(await exchange(a, '{"text":"hi"}'), {"username": "", "text": "hi"})
        same(await exchange(a, '{"username":"Ada"}'), {"username": "Ada", "text": ""})
        same(await exchange(a, "{}"), {"username": "", "text": ""})
        same(
            await exchange(a, '{"text":"hi","admin":true,"username":"Ada","x":{"y":[1]}}'),
            {"username": "Ada", "text": "hi"},
        )


@check("chat: what is not accepted is answered {\"error\"} to its sender alone, and the connection stays open")
async def _(server):
    async with Server.start("--payload", "chat") as chat, chat.connect() as a, chat.connect() as b:
        for payload in ["nonsense", "{", '{"username":1,"text":"x"}', '{"text":["x"]}', "[]", "3", ""]:
            answer = await exchange(a, payload)
            assert list(answer) == ["error"] and isinstance(answer["error"], str), f"{payload}: {answer}"
        await a.send('{"username":"Ada","text":"still here"}')
        same(json.loads(await a.recv())["text"], "still here")
        same(json.loads(await b.recv())["text"], "still here")


@check("json: JSON passes verbatim, everything else is an error to its sender")
async def _(server):
    async with Server.start("--payload", "json") as strict, strict.connect() as a, strict.connect() as b:
        for payload in ['{ "a": [1, 2.50, null] }', "[]", '"x"', "3"]:
            await a.send(payload)
            same(await a.recv(), payload)
            same(await b.recv(), payload)
        assert "error" in await exchange(a, "{a:1}")
        await a.send("true")
        same(await b.recv(), "true")


async def main():
    failed = 0
    async with Server.start("--echo", "--max-message-size", str(MESSAGE_BYTES_MAX)) as server:
        for sentence, function in CHECKS:
            try:
                await asyncio.wait_for(function(server), CHECK_SECONDS_MAX)
                print(f"  ok {sentence}", flush=True)
            except Exception as error:
                failed += 1
                print(f"  FAILED {sentence}: {type(error).__name__}: {error}", flush=True)
    return 1 if failed else 0


# Told to go, it goes the way that stops the servers.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
sys.exit(asyncio.run(main()))
