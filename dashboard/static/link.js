// The page's end of the event stream.

const WORKER = "/static/worker.js";

function scriptUrl(url) {
  if (!self.trustedTypes) return url;
  const policy = self.trustedTypes.createPolicy("modelcast", {
    createScriptURL: (asked) => { if (asked === WORKER) return asked; throw new TypeError("not one of ours"); },
  });
  return policy.createScriptURL(url);
}

/** Calls `hear({kind, data})` with every event, and with kind "open" and "lost". */
export function listen(hear) {
  const url = scriptUrl(WORKER);
  if (self.SharedWorker) {
    const { port } = new SharedWorker(url, { name: "modelcast" });
    port.onmessage = (event) => hear(event.data);
    addEventListener("pagehide", () => port.postMessage("leave"));
    addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
    return;
  }
  new Worker(url, { name: "modelcast" }).onmessage = (event) => hear(event.data);
}
