// npm's `ws` as a client of fanwire. Started by `run` with the binary and the work directory.

import { deepStrictEqual as same, ok } from "node:assert";
import { once } from "node:events";

import { check, finish, require, serve } from "./checks.mjs";

const { WebSocket } = require("ws");
const MESSAGE_BYTES_MAX = 1 << 20;

const server = await serve("--echo", "--max-message-size", String(MESSAGE_BYTES_MAX));

/** A client whose messages, pongs and end can be awaited in their order. */
class Client {
  static async open(path = "/ws", { at = server, ...options } = {}) {
    const client = new Client();
    client.ws = new WebSocket(`ws://${at.address}${path}`, { maxPayload: 0, ...options });
    client.arrived = [];
    client.waiting = [];
    client.ws.on("message", (bytes, isBinary) => client.#arrive(isBinary ? bytes : bytes.toString()));
    client.closed = new Promise(resolve => client.ws.on("close", (code, reason) => resolve([code, reason.toString()])));
    await once(client.ws, "open");
    client.ws.on("error", () => {});   // a send that meets a connection already closed; `closed` tells how
    return client;
  }

  #arrive(message) {
    const next = this.waiting.shift();
    if (next) next(message);
    else this.arrived.push(message);
  }

  next() {
    return this.arrived.length ? Promise.resolve(this.arrived.shift()) : new Promise(resolve => this.waiting.push(resolve));
  }

  send(...message) {
    this.ws.send(...message);
  }

  close() {
    this.ws.close(1000);
    return this.closed;
  }
}

/** The status with which a handshake is refused, or 101. */
function answer(path, options) {
  return new Promise((resolve, reject) => {
    const ws = new WebSocket(`ws://${server.address}${path}`, options);
    ws.on("open", () => { ws.close(); resolve(101); });
    ws.on("unexpected-response", (request, response) => { response.resume(); resolve(response.statusCode); });
    ws.on("error", reject);
  });
}

await check("text and binary messages come back to their sender and to everyone in the channel", async () => {
  const [a, b] = [await Client.open("/ws/room/1"), await Client.open("/ws/room/1")];
  for (const message of ["héllo ✓ 🎉", "", Buffer.from([...Array(256).keys()]), Buffer.alloc(0), "x".repeat(65_536), Buffer.alloc(125), "y".repeat(126)]) {
    a.send(message);
    same(await a.next(), message);
    same(await b.next(), message);
  }
  await Promise.all([a.close(), b.close()]);
});

/** Text and binary messages of 0 bytes, 16 bytes, 1 KiB, 64 KiB and 1 MiB that can be compressed. */
function* ofAllSizes() {
  for (const size of [0, 16, 1 << 10, 64 << 10, 1 << 20]) {
    let text = "";
    for (let number = 0; text.length < size; number++) text += `${number},`;
    text = text.slice(0, size);
    yield text;
    yield Buffer.from(text);
  }
}

const equal = (a, b) => typeof a === typeof b && (typeof a === "string" ? a === b : a.equals(b));

/** What `a` says arrives at all, itself among them. */
async function talk(a, ...all) {
  for (const message of ofAllSizes()) {
    a.send(message);
    for (const client of [a, ...all]) ok(equal(await client.next(), message), `${message.length} bytes arrived changed`);
  }
}

await check("permessage-deflate with all that ws can offer: 0 bytes to 1 MiB go and come compressed", async () => {
  const forgets = { server_no_context_takeover: true, client_no_context_takeover: true };
  for (const [perMessageDeflate, agreed] of [
    [true, forgets],
    [{ threshold: 0 }, forgets],
    [{ threshold: 0, serverNoContextTakeover: true, clientNoContextTakeover: true }, forgets],
    [{ threshold: 0, serverMaxWindowBits: 15 }, { ...forgets, server_max_window_bits: 15 }],
    [{ threshold: 0, serverMaxWindowBits: 11 }, { ...forgets, server_max_window_bits: 9 }],
    [{ threshold: 0, serverMaxWindowBits: 9, clientMaxWindowBits: 10 },
      { ...forgets, server_max_window_bits: 9, client_max_window_bits: 10 }],
    [{ threshold: 0, clientMaxWindowBits: 8 }, { ...forgets, client_max_window_bits: 8 }],
  ]) {
    const a = await Client.open("/ws/deflate", { perMessageDeflate });
    const plain = await Client.open("/ws/deflate", { perMessageDeflate: false });
    same([a.ws.extensions, plain.ws.extensions], ["permessage-deflate", ""]);
    same({ ...a.ws._extensions["permessage-deflate"].params }, agreed);
    const before = a.ws._socket.bytesWritten;
    await talk(a, plain);
    await talk(plain, a);
    // Each said 2.2 MB and heard 4.4 MB.
    const [wrote, read] = [a.ws._socket.bytesWritten - before, a.ws._socket.bytesRead];
    ok(wrote < 1_300_000 && read < 2_600_000, `${wrote} bytes were written, ${read} read`);
    await Promise.all([a.close(), plain.close()]);
  }
});

await check("permessage-deflate: fragments of one compressed message arrive as one, and many small messages in their order", async () => {
  const a = await Client.open("/echo", { perMessageDeflate: { threshold: 0 } });
  a.send("one ".repeat(50), { fin: false });
  a.ws.ping("between");
  a.send("", { fin: false });
  a.send("two", { fin: true });
  same(await a.next(), "one ".repeat(50) + "two");
  for (let number = 0; number < 500; number++) a.send(`message ${number}`);
  for (let number = 0; number < 500; number++) same(await a.next(), `message ${number}`);
  await a.close();
});

await check("--deflate off declines; --deflate-context-takeover lets ws keep its context", async () => {
  const off = await serve("--deflate", "off");
  const a = await Client.open("/ws", { at: off, perMessageDeflate: { threshold: 0 } });
  same([a.ws.extensions, a.ws.protocol], ["", ""]);
  await talk(a);
  await a.close();
  await off.kill("SIGTERM");
  const own = await serve("--deflate-context-takeover", "--echo");
  for (const clientMaxWindowBits of [15, 9]) {
    const b = await Client.open("/echo", { at: own, perMessageDeflate: { threshold: 0, clientMaxWindowBits } });
    same(b.ws._extensions["permessage-deflate"].params.client_no_context_takeover, undefined);
    const message = number => `${number} ${"ten fold ".repeat(10)}`;
    const before = b.ws._socket.bytesWritten;
    for (let number = 0; number < 1000; number++) b.send(message(number));
    for (let number = 0; number < 1000; number++) same(await b.next(), message(number));
    const each = (b.ws._socket.bytesWritten - before) / 1000;
    ok(each < 20, `each takes ${each} bytes: it is not compressed with the ones before`);
    await talk(b);
    await b.close();
  }
  await own.kill("SIGTERM");
});

await check("fragments arrive as one message, with a Ping between them", async () => {
  const [a, b] = [await Client.open("/ws/frag"), await Client.open("/ws/frag")];
  a.send("one ", { fin: false });
  a.ws.ping("between");
  a.send("", { fin: false });
  a.send("two", { fin: true });
  same((await once(a.ws, "pong"))[0].toString(), "between");
  same(await b.next(), "one two");
  same(await a.next(), "one two");
  await Promise.all([a.close(), b.close()]);
});

await check("a message of exactly 1 MiB passes; one byte more, or 16 times as much, is refused with 1009", async () => {
  const a = await Client.open("/ws/big");
  const largest = Buffer.alloc(MESSAGE_BYTES_MAX, 7);
  a.send(largest);
  ok(largest.equals(await a.next()), "the message arrived changed");
  a.send(Buffer.alloc(MESSAGE_BYTES_MAX + 1));
  same((await a.closed)[0], 1009);
  const b = await Client.open("/ws/big");
  b.send(Buffer.alloc(16 * MESSAGE_BYTES_MAX));
  same((await b.closed)[0], 1009);
  const c = await Client.open("/ws/big", { perMessageDeflate: false });
  for (let part = 0; part < 5; part++) c.send(Buffer.alloc(MESSAGE_BYTES_MAX / 4), { fin: false });
  same((await c.closed)[0], 1009);
  const d = await Client.open("/ws/big");   // compressed, the parts are next to nothing: the whole is inflated
  for (let part = 0; part < 5; part++) d.send(Buffer.alloc(MESSAGE_BYTES_MAX / 4), { fin: part === 4 });
  same((await d.closed)[0], 1009);
});

await check("invalid UTF-8 is refused with 1007, also when fragments hide it", async () => {
  const a = await Client.open("/ws/utf8");
  a.send(Buffer.from([0xc0, 0xaf]), { binary: false });
  same((await a.closed)[0], 1007);
  const b = await Client.open("/ws/utf8");
  b.send(Buffer.from([0xe2, 0x82]), { binary: false, fin: false });
  b.send(Buffer.from([0x41]), { fin: true });
  same((await b.closed)[0], 1007);
});

await check("an unmasked frame ends the connection with 1002 and reaches nobody", async () => {
  const [a, witness] = [await Client.open("/ws/mask"), await Client.open("/ws/mask")];
  a.send("in clear", { mask: false });
  same((await a.closed)[0], 1002);
  witness.send("only this");
  same(await witness.next(), "only this");
  await witness.close();
});

await check("a Ping is answered with its own bytes", async () => {
  const a = await Client.open();
  for (const payload of ["", "x", "y".repeat(125)]) {
    a.ws.ping(payload);
    same((await once(a.ws, "pong"))[0].toString(), payload);
  }
  await a.close();
});

await check("the client's Close is answered with its code", async () => {
  for (const [code, reason] of [[1000, ""], [1001, "leaving"], [4999, "x".repeat(123)]]) {
    const a = await Client.open();
    a.ws.close(code, reason);
    same((await a.closed)[0], code);
  }
  const a = await Client.open();
  a.ws.close();
  same((await a.closed)[0], 1005, "a Close without a code is answered without one");
});

await check("a thousand messages of two senders reach three clients in one order", async () => {
  const clients = [await Client.open("/ws/order"), await Client.open("/ws/order"), await Client.open("/ws/order")];
  for (let number = 0; number < 500; number++) {
    clients[0].send(`a ${number}`);
    clients[1].send(`b ${number}`);
  }
  const heard = [];
  for (const client of clients) {
    const messages = [];
    while (messages.length < 1000) messages.push(await client.next());
    heard.push(messages);
  }
  same(heard[1], heard[0]);
  same(heard[2], heard[0]);
  for (const name of ["a", "b"]) {
    same(heard[0].filter(m => m.startsWith(name)), [...Array(500).keys()].map(number => `${name} ${number}`));
  }
  await Promise.all(clients.map(client => client.close()));
});

await check("?echo=off leaves out the sender; /echo answers nobody else", async () => {
  const [a, b] = [await Client.open("/ws/quiet?echo=off"), await Client.open("/ws/quiet")];
  a.send("from a");
  same(await b.next(), "from a");
  b.send("from b");
  same(await a.next(), "from b");
  const [c, d] = [await Client.open("/echo"), await Client.open("/echo")];
  c.send("c");
  d.send("d");
  same([await c.next(), await d.next()], ["c", "d"]);
  await Promise.all([a, b, c, d].map(client => client.close()));
});

await check("refusals are HTTP: 404 for an impossible channel, 403 for a foreign Origin, 426 for version 8", async () => {
  same(await answer("/ws/no%20spaces"), 404);
  same(await answer("/ws", { origin: "http://elsewhere.example" }), 403);
  same(await answer("/ws", { origin: `http://${server.address}` }), 101);
  same(await answer("/ws", { protocolVersion: 8 }), 426);
});

await check("SIGTERM: clients are told 1001, and the program ends with 0", async () => {
  const own = await serve();
  const [a, b] = [await Client.open("/ws", { at: own }), await Client.open("/ws/other", { at: own })];
  const ended = own.kill("SIGTERM");
  same([(await a.closed)[0], (await b.closed)[0]], [1001, 1001]);
  same(await ended, 0);
});

await check("chat: the normalised object goes to everyone, an error to its sender alone", async () => {
  const chat = await serve("--payload", "chat");
  const [a, b] = [await Client.open("/ws", { at: chat }), await Client.open("/ws", { at: chat })];
  a.send("nonsense");
  same(Object.keys(JSON.parse(await a.next())), ["error"]);
  a.send('{"text":"hi","colour":"red"}');
  same(JSON.parse(await a.next()), { username: "", text: "hi" });
  same(JSON.parse(await b.next()), { username: "", text: "hi" });
  await Promise.all([a.close(), b.close()]);
  await chat.kill("SIGTERM");
});

finish();
