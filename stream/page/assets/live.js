// The stream of what comes back: each part arrives as a whole whenever it has changed.

let source = null;

/** Opens the stream. `parts` maps a part's name to what takes it; `connected` is told whether the server is there. */
export function follow(parts, connected) {
  source?.close();
  source = new EventSource("/api/stream");
  source.onopen = () => connected(true);
  source.onerror = () => {
    connected(false);
    if (source.readyState === EventSource.CLOSED) setTimeout(() => follow(parts, connected), 1000);
  };
  for (const [name, take] of Object.entries(parts)) {
    source.addEventListener(name, (message) => take(JSON.parse(message.data)));
  }
}
