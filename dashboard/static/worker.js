// Holds the one event stream of all tabs: browsers allow six connections a server, and a seventh tab would hang.

const KINDS = ["hello", "pairs", "problem", "gone", "recovered", "order", "verdict", "entry", "models", "tick", "resync", "bye"];
const QUIET_MS = 15000; // ticks come every 2 s: a stream that is quiet for longer is dead, whatever the browser thinks
const ports = new Set();
let source = null, hello = null, tick = null, open = false, heardAt = 0, anew = false;

function tell(message) {
  for (const port of ports) port.postMessage(message);
}

function connect() {
  source = new EventSource("/api/v1/events");
  heardAt = Date.now();
  source.onopen = () => {
    open = true;
    heardAt = Date.now();
    tell({ kind: "open" });
    if (anew) tell({ kind: "resync", data: {} }); // nobody knows what was missed
    anew = false;
  };
  source.onerror = () => {
    open = false;
    tell({ kind: "lost" });
    if (source.readyState === EventSource.CLOSED) again(3000); // an answer that was no stream: the browser gives up
  };
  for (const kind of KINDS) {
    source.addEventListener(kind, (event) => {
      const message = { kind, data: JSON.parse(event.data), at: Date.now() };
      heardAt = message.at;
      if (kind === "hello") hello = message;
      if (kind === "tick") tick = message;
      tell(message);
    });
  }
}

function again(waitMs) {
  source.close();
  anew = true;
  heardAt = Infinity;
  setTimeout(connect, waitMs);
}

setInterval(() => {
  if (!source || Date.now() - heardAt < QUIET_MS) return;
  open = false;
  tell({ kind: "lost" });
  again(0);
}, 1000);

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
