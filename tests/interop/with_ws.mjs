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

await check("permessage-deflate is declined when offered, and what is sent arrives", async () => {
  const a = await Client.open("/ws/deflate", { perMessageDeflate: { threshold: 0 } });
  same(a.ws.extensions, "");
  same(a.ws.protocol, "");
  a.send("x".repeat(10_000));
  same(await a.next(), "x".repeat(10_000));
  await a.close();
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
  const c = await Client.open("/ws/big");
  for (let part = 0; part < 5; part++) c.send(Buffer.alloc(MESSAGE_BYTES_MAX / 4), { fin: false });
  same((await c.closed)[0], 1009);
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
