// Chromium on the dashboard of the admin API. Started by `run` with the binary and the work directory; the screenshots it
// leaves there (dashboard-*.png) are to be looked at.

import { deepStrictEqual as same, match, ok } from "node:assert";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { check, finish, foreign, require, serve, stoppedByPolicy, work } from "./checks.mjs";

const { chromium } = require("playwright-core");
const { WebSocket } = require("ws");

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"],
});

const complaints = [];      // errors in consoles, exceptions, policy violations: there should be none
const requests = new Set(); // what the pages have asked for
let excused = /^$/;         // what Chromium reports as an error in its console, and is one that is looked for

/** Opens the dashboard as a browser of its own (its own storage). */
async function visit(admin, { before, ...options } = {}) {
  const context = await browser.newContext({ locale: "en-GB", viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.on("console", message => {
    if (["error", "warning"].includes(message.type()) && !excused.test(message.text())) complaints.push(message.text());
  });
  page.on("pageerror", error => complaints.push(error.message));
  page.on("dialog", dialog => { complaints.push(`a dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", request => requests.add(request.url()));
  page.on("websocket", socket => requests.add(socket.url()));
  await before?.(page);
  await page.goto(`http://${admin}/`);
  return page;
}

const link = (page, state) => page.locator("#link", { hasText: state }).waitFor();
const figure = (page, name) => page.locator("#figures > div", { hasText: name }).locator(".value");
const row = (page, table, name) => page.getByRole("table", { name: table }).getByRole("row", { name });

/** A client in `channel` that counts what it hears. */
async function client(server, channel) {
  const socket = new WebSocket(`ws://${server.address}/ws/${channel}`);
  const one = { socket, heard: 0, closed: new Promise(resolve => socket.on("close", (code, reason) => resolve([code, String(reason)]))) };
  socket.on("message", () => { one.heard += 1; });
  await new Promise((resolve, reject) => { socket.on("open", resolve); socket.on("error", reject); });
  return one;
}

let server = await serve("--admin", "127.0.0.1:0", "--workers", "2");
const page = await visit(server.admin);
await link(page, "Live");

await check("an empty server is shown as one", async () => {
  await page.getByText("No clients are connected.").waitFor();
  await page.getByText("Nobody listens to any channel.").waitFor();
  same(await figure(page, "Connections").innerText(), "0");
  same(await page.locator("#state").innerText(), "Serving");
  match(await page.locator("#version").innerText(), /^version \d+\.\d+\.\d+$/);
  match(await page.locator("#uptime").innerText(), /^up \d+ s$/);
  await page.screenshot({ path: join(work, "dashboard-empty.png"), animations: "disabled" });
});

const clients = [];
for (const channel of ["prices/EURUSD", "prices/EURUSD", "prices/EURUSD", "match/4711", "lobby"]) clients.push(await client(server, channel));
const traffic = setInterval(() => {
  for (const { socket } of clients) if (socket.readyState === WebSocket.OPEN) socket.send(`{"now":${Date.now()}}`);
}, 20);

await check("the figures, the workers and the counters are those of the real server", async () => {
  await page.locator("#figures > div", { hasText: /Connections5/ }).waitFor();
  await page.locator("#figures > div", { hasText: /Channels3/ }).waitFor();
  // Five clients send 50 messages a second each, if the machine is not too busy; eleven copies of 50 go out.
  for (const name of ["Messages in", "Deliveries"]) await page.locator("#figures > div", { hasText: name }).locator(".value", { hasText: /^\d\d\d\/s$/ }).waitFor();
  match(await figure(page, "Latency").innerText(), /^[\d.]+ (µs|ms|s)$/);
  match(await figure(page, "Memory").innerText(), /^[\d.]+ (B|KiB|MiB)$/);
  const workers = page.getByRole("table", { name: "What each worker does" }).locator("tbody tr");
  same(await workers.count(), 2);
  const connections = await workers.locator("td:nth-child(2)").allInnerTexts();
  same(connections.map(Number).reduce((sum, one) => sum + one), 5);
  const received = page.locator("#counters > div", { hasText: /^messages received/ }).locator("dd");
  const before = Number((await received.innerText()).replace(/\D/g, ""));
  await page.waitForFunction(before => [...document.querySelectorAll("#counters > div")].some(row =>
    row.firstChild.textContent === "messages received" && Number(row.lastChild.textContent.replace(/\D/g, "")) > before), before);
});

await check("every chart gets data and draws it: a line of several points for each of its series", async () => {
  await page.waitForFunction(() => [...document.querySelectorAll(".plot .line")].every(line => (line.getAttribute("d").match(/[ML]/g) ?? []).length >= 3));
  same(await page.locator(".plot").count(), 9);
  const latest = await page.locator(".legend b").allInnerTexts();
  same(latest.length, 13);
  same(latest.filter(value => value === "–"), []);
});

await check("pointing at one chart shows what all of them were then; so do the arrow keys, and say it", async () => {
  const plot = page.getByRole("slider", { name: "Connections: open" });
  const crossed = count => page.waitForFunction(count => document.querySelectorAll(".plot .cross[visibility=visible]").length === count, count);
  const { x, y, width } = await plot.boundingBox();
  await page.mouse.move(x + width - 8, y + 60);
  await crossed(9);
  match(await page.locator(".plot .when").first().innerHTML(), /^\d\d:\d\d:\d\d$/);
  await page.mouse.move(5, 5);
  await crossed(0);
  await plot.focus();
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("ArrowLeft");
  match(await plot.getAttribute("aria-valuetext"), /^\d\d:\d\d:\d\d: open \d+$/);
  same(await plot.getAttribute("aria-valuenow"), "-2");
  await page.keyboard.press("Escape");
  await crossed(0);
});

await check("the tables show the real channels, busiest first, and the real clients", async () => {
  const channels = page.getByRole("table", { name: "The channels with most traffic" });
  await channels.getByRole("row", { name: "prices/EURUSD" }).waitFor();
  // Its rate is over seconds; the order is settled when it shows.
  await page.waitForFunction(() => document.querySelector("#channels tbody th")?.textContent === "prices/EURUSD");
  const cells = await row(page, "The channels with most traffic", "prices/EURUSD").locator("th, td").allInnerTexts();
  same(cells.slice(0, 2), ["prices/EURUSD", "3"]);
  match(cells[4], /^[\d,]+$/);
  const addresses = await page.locator("#clients tbody td:nth-child(2)").allInnerTexts();
  const own = clients.map(({ socket }) => `127.0.0.1:${socket._socket.localPort}`);
  same(addresses.sort(), own.sort());
});

await check("the close button asks, and then closes that client with the code and the reason that it was given", async () => {
  const victim = clients[3];
  const address = `127.0.0.1:${victim.socket._socket.localPort}`;
  const line = row(page, "The clients with most bytes queued", address);
  const id = await line.locator("th").innerText();
  await line.getByRole("button", { name: `Close client ${id}` }).click();
  const dialog = page.getByRole("dialog", { name: `Close client ${id}?` });
  await dialog.getByText(`${address}, in match/4711`).waitFor();
  await dialog.getByRole("button", { name: "Keep it open" }).click();
  same(await dialog.isVisible(), false);
  same(victim.socket.readyState, WebSocket.OPEN);
  await line.getByRole("button").click();
  await dialog.getByLabel("Close code").selectOption("1013");
  await dialog.getByLabel("Reason").fill("come back später");
  await dialog.getByRole("button", { name: "Close client" }).click();
  same(await victim.closed, [1013, "come back später"]);
  await page.getByText(`Client ${id} is told to go.`).waitFor();
  await page.mouse.move(5, 5);
  await line.waitFor({ state: "detached" });
  await page.locator("#figures > div", { hasText: /Connections4/ }).waitFor();
});

await check("rows stay where they are while somebody points at them, so that nobody closes the wrong client", async () => {
  await page.locator("#clients tbody tr").first().hover();
  const before = await page.locator("#clients tbody th").allInnerTexts();
  await page.getByText("order held while you are here").waitFor();
  const late = await client(server, "late");
  await page.locator("#figures > div", { hasText: /Connections5/ }).waitFor();
  same(await page.locator("#clients tbody th").allInnerTexts(), before);
  await page.mouse.move(5, 5);
  await page.waitForFunction(count => document.querySelectorAll("#clients tbody tr").length === count, before.length + 1);
  late.socket.close();
  await late.closed;
});

await check("markup in the names that peers choose is shown as text", async () => {
  const markup = "<img src=x onerror=alert(1)><script>alert(2)</script><b>bold</b>";
  const hostile = await visit(server.admin, { before: page => page.routeWebSocket(/\/v1\/live/, socket => {
    const real = socket.connectToServer();
    real.onMessage(data => {
      const said = JSON.parse(data);
      for (const one of [...said.slowest, ...said.busiest]) one.channel = markup;
      for (const one of said.slowest) Object.assign(one, { user: markup, address: markup, state: markup });
      Object.assign(said, { version: markup, totals: { [markup]: 1 } });
      socket.send(JSON.stringify(said));
    });
  }) });
  await hostile.locator("#channels tbody th", { hasText: markup }).waitFor();
  same(await hostile.locator("#version").innerText(), `version ${markup}`);
  for (const column of [2, 3, 4, 5]) same(await hostile.locator(`#clients tbody tr:first-child td:nth-child(${column})`).textContent(), markup);
  same(await hostile.locator("#channels, #clients, #counters, header").locator("img, script, b").count(), 0);
  await hostile.locator("#clients button").first().click();
  await hostile.getByText(`in ${markup}`).waitFor();
  same(await hostile.locator("dialog").locator("img, script, b").count(), 0);
  await hostile.context().close();
});

await check("the page remembers five minutes and no more, however long it is open", async () => {
  const long = await visit(server.admin, { before: page => page.routeWebSocket(/\/v1\/live/, socket => {
    let past = 3600;
    socket.connectToServer().onMessage(data => {
      const said = JSON.parse(data);
      for (; past > 0; past--) {
        const busiest = [{ channel: `channel-${past}`, subscribers: 1 }];
        socket.send(JSON.stringify({ ...said, at: said.at - past * 1000, busiest, slowest: [], totals: {} }));
      }
      socket.send(data);
    });
  }) });
  await long.waitForFunction(() => /prices/.test(document.querySelector("#channels tbody th")?.textContent));
  await long.waitForFunction(() => (document.querySelector(".plot .line").getAttribute("d").match(/[ML]/g) ?? []).length >= 300);
  ok(await long.evaluate(() => samples.length) <= 302, "the samples of five minutes");
  ok(await long.locator("#channels tbody tr").count() <= 20, "rows that are gone are gone");
  await long.context().close();
});

await check("a page that nobody sees goes on listening, and shows the latest of everything when it is seen again", async () => {
  const unseen = await visit(server.admin);
  await link(unseen, "Live");
  const turn = hidden => unseen.evaluate(hidden => {
    Object.defineProperty(document, "hidden", { configurable: true, value: hidden });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
  const uptime = unseen.locator("#uptime");
  await turn(true);
  const [before, known] = [await uptime.innerText(), await unseen.evaluate(() => samples.length)];
  await unseen.waitForFunction(known => samples.length >= known + 3, known);
  same(await uptime.innerText(), before);
  await turn(false);
  await unseen.waitForFunction(before => document.querySelector("#uptime").textContent !== before, before);
  await unseen.context().close();
});

await check("a connection that opens and says nothing, or nothing that can be read, is given up; and why is said", async () => {
  let opened = 0;
  const deaf = await visit(server.admin, { before: async page => {
    await page.clock.install();
    await page.routeWebSocket(/\/v1\/live/, socket => {
      opened += 1;
      if (opened === 2) setTimeout(() => socket.send("{}"), 100);
      if (opened === 3) socket.connectToServer();
    });
  } });
  await deaf.clock.fastForward(10e3);
  await link(deaf, "Disconnected");
  await deaf.waitForFunction(() => /cannot be read/.test(why));
  await deaf.clock.fastForward(10e3);
  await link(deaf, "Disconnected");
  await deaf.locator("#trouble", { hasText: /cannot be read: it may be of another version/ }).waitFor();
  await link(deaf, "Live");
  same(opened, 3);
  await deaf.context().close();
});

await check("dark and light are the system's, unless chosen, which is remembered", async () => {
  const colour = page => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const [dark, light] = ["rgb(11, 12, 15)", "rgb(236, 229, 220)"];
  const shady = await visit(server.admin, { colorScheme: "dark" });
  await link(shady, "Live");
  same(await colour(shady), dark);
  await shady.screenshot({ path: join(work, "dashboard-dark.png"), animations: "disabled" });
  await shady.getByRole("button", { name: "Switch to light" }).click();
  same(await colour(shady), light);
  await shady.reload();
  await link(shady, "Live");
  same(await colour(shady), light);
  await shady.getByRole("button", { name: "Switch to dark" }).click();
  await shady.emulateMedia({ colorScheme: "light" });
  same(await colour(shady), light, "who chose what the system has goes on with the system");
  await shady.context().close();
});

await check("on a phone and on a desktop nothing is cut off sideways", async () => {
  for (const [name, viewport] of [["desktop", { width: 1280, height: 900 }], ["phone", { width: 390, height: 844 }]]) {
    const narrow = await visit(server.admin, { viewport, ...name === "phone" && { isMobile: true, hasTouch: true, deviceScaleFactor: 2 } });
    await row(narrow, "The clients with most bytes queued", "prices/EURUSD").first().waitFor();
    await narrow.screenshot({ path: join(work, `dashboard-${name}.png`), fullPage: true, animations: "disabled" });
    ok(await narrow.evaluate(() => document.documentElement.scrollWidth - innerWidth) <= 0, `${name} scrolls sideways`);
    const button = await narrow.locator("#clients button").first().boundingBox();
    ok(button.x + button.width <= viewport.width, `the close button is in sight on a ${name}`);
    await narrow.context().close();
  }
});

await check("no errors in the consoles, no policy violations, no requests to anyone else", async () => {
  same(complaints, []);
  same(foreign(requests, "http", "ws"), []);
});

await check("the policy stops what a script could be talked into", async () => {
  excused = /Content Security Policy|This document requires 'TrustedHTML'/;
  same(await stoppedByPolicy(page), ["img-src", "require-trusted-types-for", "style-src-elem"]);
});

await check("a server that goes is said to be gone, what is shown is said to be stale; when it is back the page is", async () => {
  excused = /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|closed before a connection|WebSocket connection to/;
  clearInterval(traffic);
  await server.kill("SIGKILL");
  await link(page, "Disconnected");
  await page.locator("#trouble", { hasText: /The server cannot be reached\. What is shown is of \d\d:\d\d:\d\d\. Next try in \d+ s\./ }).waitFor();
  same(await page.title(), "Stale · fanwire");
  same(await page.locator("body.stale").count(), 1);
  await page.screenshot({ path: join(work, "dashboard-disconnected.png"), animations: "disabled" });
  server = await serve("--admin", server.admin, "--drain-delay", "3", "--close-timeout", "4");
  await page.getByRole("button", { name: "Try now" }).click();
  await link(page, "Live");
  await page.getByText("The server has been restarted.").waitFor();
  same(await page.locator("body.stale").count(), 0);
  same(await page.locator("#trouble").isVisible(), false);
});

await check("a server that says nothing more is said to be stale before it is given up", async () => {
  server.kill("SIGSTOP");
  await link(page, "Stale");
  await page.locator("#trouble", { hasText: /The server has said nothing for \d+ s\./ }).waitFor();
  server.kill("SIGCONT");
  await link(page, "Live");
});

await check("a draining server is shown as one", async () => {
  const someone = await client(server, "lobby");
  someone.socket._socket.pause();   // it does not answer its goodbye, so that there is time to look
  server.kill("SIGTERM");
  await page.locator("#state", { hasText: "About to drain" }).waitFor();
  await page.locator("#state", { hasText: "Draining" }).waitFor();
  await server.ended;
  await link(page, "Disconnected");
});

await check("a server with a token has the page ask for it: the wrong one is refused, the right one is kept in this tab alone", async () => {
  excused = /401|HTTP Authentication failed|ERR_CONNECTION_REFUSED|WebSocket connection to/;
  const file = join(work, "dashboard-token"), token = "Token-of:the~admin+/=?&!";
  writeFileSync(file, token);
  const guarded = await serve("--admin", "127.0.0.1:0", "--admin-token-file", file);
  const one = await client(guarded, "lobby");
  const visitor = await visit(guarded.admin);
  await visitor.getByLabel("Token").fill("a token that nobody knows");
  await visitor.keyboard.press("Enter");
  await visitor.getByRole("alert").filter({ hasText: "That token is not the one." }).waitFor();
  await visitor.screenshot({ path: join(work, "dashboard-locked.png"), animations: "disabled" });
  await visitor.getByLabel("Token").fill(token);
  await visitor.keyboard.press("Enter");
  await link(visitor, "Live");
  await visitor.locator("#clients .shut").first().click();
  await visitor.getByRole("button", { name: "Close client", exact: true }).click();
  same(await one.closed, [1008, "closed by an operator"]);
  const kept = await visitor.evaluate(() => [Object.values(sessionStorage), Object.values(localStorage), document.cookie]);
  same(kept, [[token], [], ""]);
  ok(![...requests].some(url => url.includes("token=")), "it stands in no address");
  await visitor.reload();
  await link(visitor, "Live");
  const other = await visit(guarded.admin);
  await other.getByLabel("Token").waitFor();
  await guarded.kill("SIGKILL");
});

await browser.close();
finish();
