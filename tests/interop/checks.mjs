// What the suites for node share: a fanwire of our own on a free port, and checks that are counted by `run`.

import { spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

export const [, suite, binary, work] = process.argv;
const CHECK_MS_MAX = 60_000;
const children = new Set();
let started = 0;
let failed = 0;

/** The packages that `run` has installed. */
export const require = createRequire(join(work, "package.json"));

/** Starts `fanwire serve`; resolves when it listens. */
export function serve(...options) {
  const at = options.some(option => option.startsWith("--listen")) ? [] : ["--listen", "127.0.0.1:0"];
  const child = spawn(binary, ["serve", ...at, ...options], { stdio: ["ignore", "inherit", "pipe"] });
  const log = createWriteStream(join(work, `${/with_(\w+)/.exec(suite)[1]}-${++started}.log`));
  const ended = new Promise(resolve => child.on("exit", (code, signal) => resolve(signal ?? code)));
  children.add(child);
  ended.then(() => children.delete(child));
  return new Promise((resolve, reject) => {
    let said = "";
    child.stderr.on("data", bytes => {
      log.write(bytes);
      const address = /127\.0\.0\.1:[1-9]\d*(?=\D)/.exec(said += bytes)?.[0];
      const admin = /dashboard at http:\/\/(127\.0\.0\.1:\d+)\//.exec(said)?.[1];
      if (!address || !admin && options.includes("--admin")) return;
      resolve({ address, admin, ended, kill: signal => (child.kill(signal), ended) });
    });
    child.on("error", reject);
    ended.then(how => reject(new Error(`the server ended (${how}) before it said where it listens: ${said}`)));
  });
}

/** Runs one check and prints how it went; its name is the sentence that it proves. */
export async function check(sentence, run) {
  let timer;
  const timeout = new Promise((_, reject) => {
    timer = setTimeout(reject, CHECK_MS_MAX, new Error("nothing happened for too long"));
  });
  try {
    await Promise.race([run(), timeout]);
    console.log(`  ok ${sentence}`);
  } catch (error) {
    failed += 1;
    console.log(`  FAILED ${sentence}: ${error.message.split("\n").slice(0, 6).join(" ")}`);
  }
  clearTimeout(timer);
}

/** Of the addresses that pages have asked for, those that are no server's of ours, which speak these schemes. */
export const foreign = (requests, ...schemes) => [...requests].filter(url =>
  !schemes.some(scheme => url.startsWith(`${scheme}://127.0.0.1:`)) && !url.startsWith("data:"));

/** What a page's security policy stops of what a script could be talked into: markup, a style, an image from elsewhere. */
export const stoppedByPolicy = page => page.evaluate(async () => {
  const violations = [];
  addEventListener("securitypolicyviolation", event => violations.push(event.effectiveDirective));
  const violated = count => new Promise(resolve => {
    const look = () => violations.length >= count ? resolve() : setTimeout(look, 10);
    look();
  });
  try { document.body.innerHTML += "<p>"; violations.push("nothing"); } catch { /* as it should be */ }
  document.body.append(Object.assign(document.createElement("style"), { textContent: "body{}" }));
  document.body.append(Object.assign(document.createElement("img"), { src: "http://127.0.0.1:9/x.png" }));
  await violated(3);
  return violations.sort();
});

/** Ends the suite; the servers that it has started go with it. */
export const finish = () => process.exit(failed ? 1 : 0);

process.on("exit", () => children.forEach(child => child.kill("SIGKILL")));
process.on("SIGTERM", () => process.exit(143));
