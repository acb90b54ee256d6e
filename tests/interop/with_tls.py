"""OpenSSL, alone and below Python's `websockets`, as clients of fanwire over TLS. Started by `run` with the binary and the
work directory."""

import asyncio
import contextlib
import re
import shutil
import signal
import ssl
import subprocess
import sys
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

BINARY, WORK = sys.argv[1], Path(sys.argv[2])
CERTIFICATE, KEY = WORK / "tls-cert.pem", WORK / "tls-key.pem"
CHECK_SECONDS_MAX = 30

CHECKS = []


def check(sentence):
    """Registers a check; its name is the sentence that it proves."""
    def register(function):
        CHECKS.append((sentence, function))
        return function
    return register


def same(actual, expected):
    assert actual == expected, f"expected {expected!r:.200}, got {actual!r:.200}"


def make_certificate():
    """A self-signed one with an RSA key in the form of old: -----BEGIN RSA PRIVATE KEY-----."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)
    openssl("genrsa", "-traditional", "-out", KEY, "2048")
    openssl("req", "-x509", "-new", "-key", KEY, "-days", "30", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", CERTIFICATE)
    assert KEY.read_text().startswith("-----BEGIN RSA PRIVATE KEY-----")


class Server:
    """A fanwire that speaks TLS alone, on a free port."""

    async def __aenter__(self):
        self.process = await asyncio.create_subprocess_exec(
            BINARY, "serve", "--listen-tls", "127.0.0.1:0", "--tls-cert", CERTIFICATE, "--tls-key", KEY, "--echo",
            stderr=asyncio.subprocess.PIPE,
        )
        self.log = open(WORK / "tls.log", "wb")
        async for line in self.process.stderr:
            self.log.write(line)
            if found := re.search(rb"wss://(127\.0\.0\.1:[1-9]\d*)", line):
                self.address = found[1].decode()
                self.rest = asyncio.create_task(self._keep_reading())
                return self
        raise AssertionError("the server ended before it said where it listens")

    async def __aexit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        await self.rest
        self.log.close()

    async def _keep_reading(self):
        async for line in self.process.stderr:
            self.log.write(line)

    def connect(self, path="/ws", version=None):
        context = ssl.create_default_context(cafile=CERTIFICATE)
        if version:
            context.minimum_version = context.maximum_version = version
        return connect(f"wss://{self.address}{path}", ssl=context, ping_interval=None, max_size=None, proxy=None)

    async def s_client(self, *options, send=b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"):
        """What `openssl s_client` says of a connection in which `send` is sent."""
        process = await asyncio.create_subprocess_exec(
            "openssl", "s_client", "-connect", self.address, "-CAfile", CERTIFICATE, "-alpn", "h2,http/1.1", *options,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate(send)
        return said.decode(errors="replace")


@check("Python's websockets over TLS 1.3 and 1.2: text, binary and long messages, both ways")
async def _(server):
    for version in [ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2]:
        async with server.connect("/ws/a", version) as a, server.connect("/ws/a") as b:
            for payload in ["héllo", b"\x00\xff", "x" * 70_000, b"y" * 1_000_000]:
                await a.send(payload)
                same(await a.recv(), payload)
                same(await b.recv(), payload)


@check("a close from either side ends with its code, TLS and all")
async def _(server):
    async with server.connect("/echo") as client:
        await client.close(4000, "bye")
        same(client.close_code, 4000)
    client = await server.connect("/echo")
    with contextlib.suppress(ConnectionClosed):
        await client.send(b"\xc3\x28", text=True)
        while True:
            await client.recv()
    same(client.protocol.close_rcvd.code, 1007)


@check("openssl s_client fetches a page over TLS 1.3, trusts the certificate and agrees on http/1.1")
async def _(server):
    said = await server.s_client("-tls1_3", "-ign_eof", "-verify_return_error")
    for part in ["TLSv1.3", "ALPN protocol: http/1.1", "Verify return code: 0 (ok)", "HTTP/1.1 200 OK"]:
        assert part in said, f"{part}: {said}"
    assert "unexpected eof" not in said, "the end is announced by a close_notify"


@check("the same over TLS 1.2; TLS 1.1 is refused")
async def _(server):
    said = await server.s_client("-tls1_2", "-ign_eof")
    assert "Protocol  : TLSv1.2" in said and "HTTP/1.1 200 OK" in said, said
    said = await server.s_client("-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")
    assert "Cipher is (NONE)" in said, said


@check("openssl resumes its session five times in five connections")
async def _(server):
    said = await server.s_client("-tls1_2", "-reconnect", send=b"")
    same(len(re.findall("^Reused, TLSv1.2", said, re.MULTILINE)), 5)


@check("openssl s_client resumes a TLS 1.3 session from its ticket")
async def _(server):
    session = WORK / "tls-session.pem"
    session.unlink(missing_ok=True)
    await server.s_client("-tls1_3", "-ign_eof", "-sess_out", session)
    said = await server.s_client("-tls1_3", "-ign_eof", "-sess_in", session)
    assert "Reused, TLSv1.3" in said and "HTTP/1.1 200 OK" in said, said


async def main():
    failed = 0
    make_certificate()
    async with Server() as server:
        for sentence, function in CHECKS:
            try:
                await asyncio.wait_for(function(server), CHECK_SECONDS_MAX)
                print(f"  ok {sentence}", flush=True)
            except Exception as error:
                failed += 1
                print(f"  FAILED {sentence}: {type(error).__name__}: {error}", flush=True)
    return 1 if failed else 0


if not shutil.which("openssl"):
    sys.exit("  FAILED openssl is missing (on Debian and Ubuntu: apt-get install openssl)")
# Told to go, it goes the way that stops the server.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
sys.exit(asyncio.run(main()))
