// Holds the one event stream of all tabs: browsers allow six connections a server, and a seventh tab would hang.

const KINDS = ["hello", "pairs", "problem", "gone", "order", "verdict", "entry", "models", "tick", "resync", "bye"];
const ports = new Set();
let source = null, hello = null, tick = null, open = false;

function tell(message) {
  for (const port of ports) port.postMessage(message);
}

function connect() {
  source = new EventSource("/api/v1/events");
  source.onopen = () => { open = true; tell({ kind: "open" }); };
  source.onerror = () => {
    open = false;
    tell({ kind: "lost" });
    if (source.readyState === EventSource.CLOSED) { // an answer that was no stream: the browser gives up, we do not
      source.close();
      setTimeout(connect, 3000);
    }
  };
  for (const kind of KINDS) {
    source.addEventListener(kind, (event) => {
      const message = { kind, data: JSON.parse(event.data) };
      if (kind === "hello") hello = message;
      if (kind === "tick") tick = message;
      tell(message);
    });
  }
}

function join(port) {
  ports.add(port);
  port.onmessage = (event) => { if (event.data === "leave") ports.delete(port); };
  if (hello) port.postMessage(hello);
  if (tick) port.postMessage(tick);
  port.postMessage({ kind: open ? "open" : "lost" });
  if (!source) connect();
}

if ("onconnect" in self) self.onconnect = (event) => join(event.ports[0]);
else { // a plain worker, where there are no shared ones: one stream a tab
  join({ postMessage: (message) => self.postMessage(message), set onmessage(handler) { self.onmessage = handler; } });
}
