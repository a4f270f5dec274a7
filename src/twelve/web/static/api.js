// The service's own API, and nothing else: bytes go up, JSON comes back.

/** A reply that is not 2xx; its message is for people. */
export class Refused extends Error {
  constructor(status, problem, remedy) {
    const text = remedy ? `${problem} – ${remedy}` : problem;
    super(/[.?!]$/.test(text) ? text : `${text}.`);
    this.status = status;
  }
}

let token = stored();

/** Use a token from now on, until this tab is closed. */
export function use(given) {
  token = given.replace(/[^!-~]/g, ""); // what no header can carry came with copying
  try {
    sessionStorage.setItem("token", token);
  } catch {
    // without storage, it is asked for again after a reload
  }
}

function stored() {
  try {
    return sessionStorage.getItem("token");
  } catch {
    return null;
  }
}

/** A reply, whatever its status; no reply at all is an error for people as well. */
async function fetched(path, options = {}) {
  const headers = token ? { ...options.headers, Authorization: `Bearer ${token}` } : options.headers;
  try {
    return await fetch(path, { ...options, headers, credentials: "omit" });
  } catch {
    throw new Refused(0, "The service does not answer", "is it still running?");
  }
}

async function called(path, options = {}) {
  const reply = await fetched(path, { ...options, cache: "no-store" });
  const told = await reply.json().catch(() => ({}));
  if (!reply.ok) throw new Refused(reply.status, told.error || `status ${reply.status}`, told.remedy);
  return told;
}

export const model = () => called("api/model");

/** Look at a file. */
export const look = (blob) =>
  called("api/scenes", { method: "POST", body: blob, headers: { "Content-Type": "application/octet-stream" } });

/** An image that is not needed any more; it would go by itself, only later. */
export const forget = (scene) => scene && fetched(`api/scenes/${scene.id}`, { method: "DELETE" }).catch(() => {});

/** Bytes of a sample image. */
export async function sample(name) {
  const reply = await fetched(`api/samples/${encodeURIComponent(name)}`);
  if (!reply.ok) throw new Refused(reply.status, "this sample is not there");
  return reply.blob();
}

/**
 * Ask something about images (each has `scene` and `again()`). Where the service has forgotten one, it is sent again.
 * @param body made anew for each try, as an image sent again has another id
 */
export async function ask(method, images, body) {
  const post = () =>
    called(`api/${method}`, {
      method: "POST",
      body: JSON.stringify(body()),
      headers: { "Content-Type": "application/json" },
    });
  try {
    return await post();
  } catch (error) {
    if (error.status !== 404) throw error;
    await Promise.all(images.map((image) => image.again()));
    return post();
  }
}
