// Bun, whose server is uWebSockets inside. /ws: everything to everybody, the sender included; /echo: everything back to
// its sender.
//
//     bun bun.mjs ADDRESS PORT
const [hostname, port] = process.argv.slice(2);

const server = Bun.serve({
  hostname,
  port: Number(port),
  fetch(request, server) {
    const isEcho = new URL(request.url).pathname.startsWith("/echo");
    if (server.upgrade(request, { data: { isEcho } })) return undefined;
    return new Response("This is a WebSocket server.\n", { status: 426 });
  },
  websocket: {
    perMessageDeflate: false,
    backpressureLimit: 64 << 20, // by default whoever lags by more than 16 MiB misses messages
    maxPayloadLength: 16 << 20,
    idleTimeout: 120,
    open(client) {
      if (!client.data.isEcho) client.subscribe("all");
    },
    message(client, message) {
      if (client.data.isEcho) client.send(message);
      else server.publish("all", message);
    },
  },
});
