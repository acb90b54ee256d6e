// The npm package `ws` on Node.js. /ws: everything to everybody, the sender included; /echo: everything back to its
// sender.
//
//     node ws.mjs ADDRESS PORT
import { WebSocketServer } from "ws";

const [host, port] = process.argv.slice(2);
const clients = new Set();

const server = new WebSocketServer({
  host,
  port: Number(port),
  backlog: 4096,
  perMessageDeflate: false,
  clientTracking: false, // the set above is enough
});

server.on("connection", (client, request) => {
  client.on("error", () => client.terminate());
  if (request.url.startsWith("/echo")) {
    client.on("message", (message, isBinary) => client.send(message, { binary: isBinary }));
    return;
  }
  clients.add(client);
  client.on("close", () => clients.delete(client));
  client.on("message", (message, isBinary) => {
    for (const each of clients) {
      if (each.readyState === each.OPEN) each.send(message, { binary: isBinary });
    }
  });
});
