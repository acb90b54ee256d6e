// Chromium on the chat page. Started by `run` with the binary and the work directory; the screenshots it leaves there
// (chat-*.png) are to be looked at.

import { deepStrictEqual as same, match, ok } from "node:assert";
import { execFileSync } from "node:child_process";
import { join } from "node:path";

import { check, finish, foreign, require, serve, stoppedByPolicy, work } from "./checks.mjs";

const { chromium } = require("playwright-core");
const { WebSocket } = require("ws");

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"],
});

let server = await serve();
const origin = `http://${server.address}`;
const complaints = [];      // errors in consoles, exceptions, policy violations: there should be none
const requests = new Set(); // what the pages have asked for
let down = false;           // while the server is down, Chromium reports refused connections as console errors

/** Opens the chat page as a browser of its own (its own storage) and waits until it is connected. */
async function visit(name, { at = origin, hash = "", ...options } = {}) {
  const context = await browser.newContext({ locale: "en-GB", ...options });
  const page = await context.newPage();
  page.on("console", message => {
    const expected = down && message.text().includes("ERR_CONNECTION_REFUSED");
    if (["error", "warning"].includes(message.type()) && !expected) complaints.push(message.text());
  });
  page.on("pageerror", error => complaints.push(error.message));
  page.on("dialog", dialog => { complaints.push(`a dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", request => requests.add(request.url()));
  page.on("websocket", socket => requests.add(socket.url()));
  await page.goto(at + "/" + hash);
  await connected(page);
  await page.getByLabel("Your name").fill(name);
  return page;
}

const connected = page => page.getByRole("button", { name: "Connected", exact: true }).waitFor();

async function say(page, text) {
  await page.getByLabel("Message", { exact: true }).fill(text);
  await page.keyboard.press("Enter");
}

/** Waits for a message in the log and returns the name it stands under, or "You". */
async function hears(page, text) {
  const message = page.locator("#log .msg", { has: page.locator(".text").filter({ hasText: text }) }).last();
  await message.waitFor();
  return message.locator("bdi").textContent();
}

const ada = await visit("Ada");
const grace = await visit("Grace");

await check("two pages talk to each other: names and texts arrive, one's own stand apart", async () => {
  await say(ada, "hello from Ada");
  same(await hears(grace, "hello from Ada"), "Ada");
  same(await hears(ada, "hello from Ada"), "You");
  await say(grace, "and hello from Grace");
  same(await hears(ada, "and hello from Grace"), "Grace");
});

await check("Shift+Enter starts a line, Enter sends; the lines arrive", async () => {
  await ada.getByLabel("Message", { exact: true }).fill("first line");
  await ada.keyboard.press("Shift+Enter");
  await ada.keyboard.type("second line");
  await ada.keyboard.press("Enter");
  await hears(grace, "second line");
  match(await grace.locator("#log .text").last().innerText(), /^first line\nsecond line/);
});

await check("HTML in names and texts is shown as text", async () => {
  const markup = "<img src=x onerror=alert(1)><script>alert(2)</script><b>bold</b>";
  await ada.getByLabel("Your name").fill("<i onclick=alert(3)>Eve</i>");
  await say(ada, markup);
  same(await hears(grace, markup), "<i onclick=alert(3)>Eve</i>");
  same(await grace.locator("#log").locator("img, script, b, svg, bdi > i").count(), 0);
  await ada.getByLabel("Your name").fill("Ada");
});

await check("only http and https addresses become links, and they carry nothing of us with them", async () => {
  await say(ada, "see https://example.org/a?b=c, javascript:alert(1) data:text/html,x");
  await hears(grace, "see https");
  const links = await grace.locator("#log a").evaluateAll(nodes => nodes.map(a => [a.href, a.rel, a.target]));
  same(links, [["https://example.org/a?b=c", "noopener noreferrer", "_blank"]]);
});

await check("plain text, other JSON and binary from other clients are shown, an error for others is no error", async () => {
  const client = new WebSocket(`ws://${server.address}/ws`);
  await new Promise(resolve => client.on("open", resolve));
  client.send("just <b>text</b>");
  same(await hears(ada, "just <b>text</b>"), "plain text");
  client.send('{"degrees": 21}');
  same(await hears(ada, '{"degrees": 21}'), "JSON");
  client.send(Buffer.from([0xde, 0xad, 0xbe, 0xef]));
  same(await hears(ada, "de ad be ef"), "binary, 4 bytes");
  client.send('{"error":"you are hacked"}');
  same(await hears(ada, "you are hacked"), "JSON");
  client.close();
});

await check("channels are apart; the address names the channel; impossible names are told so", async () => {
  const elsewhere = await visit("Linus", { hash: "#room/1" });
  same(await elsewhere.getByLabel("Channel").inputValue(), "room/1");
  await say(elsewhere, "only here");
  await hears(elsewhere, "only here");
  await elsewhere.getByLabel("Channel").fill("no spaces");
  await elsewhere.keyboard.press("Enter");
  await elsewhere.getByRole("alert").filter({ hasText: "no spaces" }).waitFor();
  await elsewhere.getByLabel("Channel").fill("lobby");
  await elsewhere.keyboard.press("Enter");
  await connected(elsewhere);
  await say(elsewhere, "now in the lobby");
  same(await hears(ada, "now in the lobby"), "Linus");
  same(await ada.locator("#log .msg").filter({ hasText: "only here" }).count(), 0);
  same(new URL(elsewhere.url()).hash, "#lobby");
  await elsewhere.context().close();
});

await check("at most 500 messages are kept, and who has scrolled up is not moved but told", async () => {
  const client = new WebSocket(`ws://${server.address}/ws`);
  await new Promise(resolve => client.on("open", resolve));
  for (let number = 0; number < 600; number++) client.send(JSON.stringify({ username: "Counter", text: `number ${number}` }));
  await hears(ada, "number 599");
  same(await ada.locator("#log > *").count(), 500);
  const distance = () => ada.locator("#scroll").evaluate(node => node.scrollHeight - node.scrollTop - node.clientHeight);
  ok(await distance() < 2, "the log follows what arrives");
  await ada.locator("#scroll").evaluate(node => { node.scrollTop = 100; node.dispatchEvent(new Event("scroll")); });
  client.send(JSON.stringify({ username: "Counter", text: "while you read" }));
  await ada.getByRole("button", { name: "1 new message" }).click();
  ok(await distance() < 2, "the button leads to the end");
  client.close();
});

await check("permessage-deflate, which Chromium offers by itself: 0 bytes to 1 MiB round trip, text and binary", async () => {
  const url = `ws://${server.address}/ws/deflate`;
  const network = await ada.context().newCDPSession(ada);
  await network.send("Network.enable");
  const answered = new Promise(resolve => network.once("Network.webSocketHandshakeResponseReceived", resolve));
  const plain = new WebSocket(url, { perMessageDeflate: false });
  const heard = [];
  plain.on("message", (bytes, isBinary) => heard.push([isBinary, bytes.length, bytes.toString()]));
  await new Promise(resolve => plain.on("open", resolve));
  const { extensions, said, echoed } = await ada.evaluate(async url => {
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    await new Promise(resolve => { socket.onopen = resolve; });
    const said = [], echoed = [];
    for (const size of [0, 16, 1 << 10, 64 << 10, 1 << 20]) {
      let text = "";
      for (let number = 0; text.length < size; number++) text += `${number},`;
      text = text.slice(0, size);
      for (const message of [text, new TextEncoder().encode(text)]) {
        const answer = new Promise(resolve => { socket.onmessage = event => resolve(event.data); });
        socket.send(message);
        const data = await answer;
        said.push([typeof message !== "string", size, text]);
        const isBinary = typeof data !== "string";
        const back = isBinary ? new TextDecoder().decode(data) : data;
        echoed.push([isBinary, isBinary ? data.byteLength : data.length, back]);
      }
    }
    socket.close();
    return { extensions: socket.extensions, said, echoed };
  }, url);
  const agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
  same(extensions, agreed);
  const { headers } = (await answered).response;
  const [, header] = Object.entries(headers).find(([name]) => name.toLowerCase() === "sec-websocket-extensions");
  same(header, agreed);
  same(said.length, 10);
  ok(JSON.stringify(echoed) === JSON.stringify(said), "what came back is what was said");
  ok(JSON.stringify(heard) === JSON.stringify(said), "what another heard is what was said");
  plain.close();
  await network.detach();
});

await check("the server goes and comes back on the same port: unsent text stays, the pages reconnect and talk", async () => {
  down = true;
  await server.kill("SIGTERM");
  for (const page of [ada, grace]) await page.getByRole("button", { name: /Reconnecting in \d+ s/ }).waitFor();
  await say(ada, "written while it was away");
  await ada.getByText("Your text stays here").waitFor();
  same(await ada.getByLabel("Message", { exact: true }).inputValue(), "written while it was away");
  server = await serve("--listen", server.address);
  await Promise.all([connected(ada), connected(grace)]);
  down = false;
  await ada.getByLabel("Message", { exact: true }).press("Enter");
  same(await hears(grace, "written while it was away"), "Ada");
});

await check("what was sent into a connection that dies is not lost: it is shown so, and can be sent again", async () => {
  down = true;
  server.kill("SIGSTOP");
  await say(ada, "into the void");
  await ada.getByText("Sending…").waitFor();
  await server.kill("SIGKILL");
  await ada.getByText("Not confirmed in #lobby").waitFor();
  server = await serve("--listen", server.address);
  await Promise.all([connected(ada), connected(grace)]);
  down = false;
  await ada.getByRole("button", { name: "Send again" }).click();
  same(await hears(grace, "into the void"), "Ada");
  same(await hears(ada, "into the void"), "You");
  same(await ada.locator("#held > *").count(), 0);
});

await check("--payload chat: the page speaks what the Go program spoke", async () => {
  const chat = await serve("--payload", "chat");
  const page = await visit("Rob", { at: `http://${chat.address}` });
  await say(page, "strictly speaking");
  same(await hears(page, "strictly speaking"), "You");
  await page.context().close();
  await chat.kill("SIGTERM");
});

await check("over https the page speaks wss: two browsers talk to each other", async () => {
  const [certificate, key] = [join(work, "chromium-cert.pem"), join(work, "chromium-key.pem")];
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
    "-subj", "/CN=localhost", "-keyout", key, "-out", certificate], { stdio: "ignore" });
  const secure = await serve("--listen-tls", "127.0.0.1:0", "--tls-cert", certificate, "--tls-key", key);
  const options = { at: `https://${secure.address}`, ignoreHTTPSErrors: true };
  const [tess, tom] = [await visit("Tess", options), await visit("Tom", options)];
  await say(tess, "nobody listens in");
  same(await hears(tom, "nobody listens in"), "Tess");
  await say(tom, "so it seems");
  same(await hears(tess, "so it seems"), "Tom");
  ok([...requests].some(url => url.startsWith(`wss://${secure.address}/`)), "by wss");
  for (const page of [tess, tom]) await page.context().close();
  await secure.kill("SIGTERM");
});

await check("no errors in the consoles, no policy violations, no requests to anyone else", async () => {
  same(complaints, []);
  same(foreign(requests, "http", "https", "ws", "wss"), []);
});

await check("the policy stops what a script could be talked into", async () => {
  same(await stoppedByPolicy(ada), ["img-src", "require-trusted-types-for", "style-src-elem"]);
});

await check("screenshots: desktop and phone, dark and light", async () => {
  const conversation = [
    ["Mara", "morning! the new relay is up on the little board in the attic"],
    ["Mara", "48 hours, no restarts 🎉"],
    ["Jonas Weber", "nice. and everybody is on it?"],
    [null, "everybody but the printer"],
    ["Priya", "numbers are here: https://example.org/attic/load"],
    ["Jonas Weber", "I left a terminal running:\nfanwire chat ws://attic.local:8080/ws\nworks even over the train wifi"],
    ["דנה", "שלום לכולם! נראה נהדר"],
    ["Mara", "tonight we try it with the whole choir: sixty phones in one room"],
    [null, "I will bring the slow one. It is always me."],
  ];
  const views = [];
  for (const [device, viewport] of [["desktop", { width: 1280, height: 800 }], ["phone", { width: 390, height: 844 }]]) {
    for (const colorScheme of ["dark", "light"]) {
      const phone = device === "phone" && { isMobile: true, hasTouch: true, deviceScaleFactor: 2 };
      const page = await visit("Tove", { viewport, colorScheme, hash: `#attic-${device}-${colorScheme}`, ...phone });
      await page.screenshot({ path: join(work, `chat-${device}-${colorScheme}-empty.png`), animations: "disabled" });
      views.push([`chat-${device}-${colorScheme}.png`, page]);
    }
  }
  for (const [file, page] of views) {
    const client = new WebSocket(`ws://${server.address}/ws/${new URL(page.url()).hash.slice(1)}`);
    await new Promise(resolve => client.on("open", resolve));
    for (const [username, text] of conversation) {
      if (username) client.send(JSON.stringify({ username, text }));
      else await say(page, text);
      await hears(page, text.split("\n")[0]);
    }
    client.close();
    await page.screenshot({ path: join(work, file), animations: "disabled" });
    const sideways = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    ok(sideways <= 0, `${file} scrolls sideways`);
  }
});

await browser.close();
finish();
