// What the page asks its server, and what it tells: events go out in order, and are kept while the server is away.

const AGAIN_MS = 1000;

async function answer(response) {
  const body = await response.json();
  if (!response.ok) throw Object.assign(new Error(body.error ?? response.statusText), { status: response.status });
  return body;
}

/** Browsers each have words of their own for a lost connection, and none of them tells people what is the matter. */
async function reached(path, options) {
  try {
    return await fetch(path, options);
  } catch {
    throw Object.assign(new Error("the page's server does not answer"), { away: true });
  }
}

export const get = async (path) => answer(await reached(path));

export const post = async (path, body, keepalive = false) =>
  answer(
    await reached(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      keepalive,
    }),
  );

let last = Promise.resolve();

/** Sends an event after those before it. A lost connection, or a server that cannot take it yet, is tried again: the
    same id twice does nothing. */
export function send(event) {
  last = last.catch(() => {}).then(() => untilSent(event));
  return last;
}

/** Resolves when all that was given to `send` so far is sent, or refused. */
export const settled = () => last.catch(() => {});

async function untilSent(event) {
  for (;;) {
    try {
      return await post("/api/events", event, true);
    } catch (error) {
      if (!(error.away || error.status === 503)) throw error; // The server has answered, and means it.
      await new Promise((done) => setTimeout(done, AGAIN_MS));
    }
  }
}
