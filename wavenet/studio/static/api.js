// What the server is asked for. Errors have the server's own words.

async function answer(response) {
  const isJson = (response.headers.get("content-type") || "").startsWith("application/json");
  const body = isJson ? await response.json() : null;
  if (!response.ok) throw new Error((body && body.error) || `the studio answered ${response.status}`);
  return body;
}

async function ask(address, options) {
  try {
    return await fetch(address, options);
  } catch {
    throw new Error("the studio does not answer; is `wavenet studio` still running?");
  }
}

function addressOf(name, parameters) {
  const query = new URLSearchParams(parameters).toString();
  return `api/${name}${query ? `?${query}` : ""}`;
}

/** The JSON of an address under /api, such as get("models"). */
export async function get(name, parameters = {}, options = {}) {
  return answer(await ask(addressOf(name, parameters), options));
}

/** The bytes of an address under /api: an ArrayBuffer. */
export async function getBytes(name, parameters = {}, options = {}) {
  const response = await ask(addressOf(name, parameters), options);
  return response.ok ? response.arrayBuffer() : answer(response);
}

/** Send an object, or a File or Blob as it is, and return the JSON of the answer. */
export async function post(name, body = {}, parameters = {}) {
  const isFile = body instanceof Blob;
  const headers = { "content-type": isFile ? "application/octet-stream" : "application/json" };
  const options = { method: "POST", headers, body: isFile ? body : JSON.stringify(body) };
  return answer(await ask(addressOf(name, parameters), options));
}

/**
 * A connection on which a stream of these settings is started. `hear` is given every message,
 * `lost` is called where it ends before it is closed.
 */
export class Connection {
  constructor(settings, { hear, lost }) {
    const address = new URL("api/stream", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    address.hash = "";
    address.search = "";
    this.socket = new WebSocket(address);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => this.say({ type: "start", ...settings });
    this.socket.onmessage = ({ data }) => hear(data);
    this.socket.onclose = () => lost("the stream has ended; is `wavenet studio` still running?");
  }

  say(message) {
    this.send(JSON.stringify(message));
  }

  /** Send a text, or samples. */
  send(data) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(data);
  }

  close() {
    this.socket.onclose = null;
    // Browsers report a connection that is closed before it is there as one that failed.
    if (this.socket.readyState === WebSocket.CONNECTING) {
      this.socket.onopen = () => this.socket.close();
    } else {
      this.socket.close();
    }
  }
}
