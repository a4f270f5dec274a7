// Calls of the service's API, the only address that this page contacts.

/** What the paths of the API begin with, below the address of the page. */
const API = "api/v1";

/** What to do in a browser: without the parts of a remedy that are about curl. */
const here = (remedy) => (remedy ?? "").split("; ").filter((part) => !/\bcurl\b/.test(part)).join("; ");

/** A failed request; the message is for users. */
export class Refused extends Error {
  constructor(status, problem, told, code) {
    const remedy = here(told);
    const text = remedy ? `${problem} – ${remedy}` : problem;
    super(/[.?!]$/.test(text) ? text : `${text}.`);
    this.status = status;
    this.code = code;
  }
}

let token = stored();

/** The token, or an empty text. */
export const given = () => token ?? "";

/** Use a token until this tab is closed. */
export function use(given) {
  token = given.replace(/[^!-~]/g, ""); // drop what a header cannot contain, such as copied spaces
  try {
    sessionStorage.setItem("token", token);
  } catch {
    // without storage, the page asks again after a reload
  }
}

function stored() {
  try {
    return sessionStorage.getItem("token");
  } catch {
    return null;
  }
}

/** Send a request; any status is returned, no reply is an error. */
export async function fetched(path, options = {}) {
  const headers = token ? { ...options.headers, Authorization: `Bearer ${token}` } : options.headers;
  try {
    return await fetch(path, { ...options, headers, credentials: "omit" });
  } catch {
    throw new Refused(0, "The service does not respond", "is it still running?");
  }
}

async function called(path, options = {}) {
  const reply = await fetched(path, { ...options, cache: "no-store" });
  const told = await reply.json().catch(() => ({}));
  if (!reply.ok) throw new Refused(reply.status, told.error || `status ${reply.status}`, told.remedy, told.code);
  return told;
}

export const model = () => called(`${API}/model`);

/** Upload an image; the reply is a scene with its regions. */
export const upload = (blob) =>
  called(`${API}/scenes`, { method: "POST", body: blob, headers: { "Content-Type": "application/octet-stream" } });

/** Delete an image that is no longer needed, before it expires. */
export const forget = (scene) => scene && fetched(`${API}/scenes/${scene.id}`, { method: "DELETE" }).catch(() => {});

/** Where a sample image is. */
export const sampleAddress = (name) => `${API}/samples/${encodeURIComponent(name)}`;

/** The bytes of a sample image. */
export async function sample(name) {
  const reply = await fetched(sampleAddress(name));
  if (!reply.ok) throw new Refused(reply.status, "this sample does not exist");
  return reply.blob();
}

/** The bytes of a thumbnail of an image that was found. */
export async function thumbnail(name) {
  const reply = await fetched(`${API}/thumbnail?image=${encodeURIComponent(name)}`);
  if (!reply.ok) throw new Refused(reply.status, "this image is gone, or has changed");
  return reply.blob();
}

/**
 * Ask about images (each has `scene` and `again()`). Images that have expired are uploaded again.
 * @param body function that returns the body of a request: an image that is uploaded again has a new id
 */
export async function ask(method, images, body) {
  const post = () =>
    called(`${API}/${method}`, {
      method: "POST",
      body: JSON.stringify(body()),
      headers: { "Content-Type": "application/json" },
    });
  try {
    return await post();
  } catch (error) {
    if (error.code !== "unknown_image") throw error;
    await Promise.all(images.map((image) => image.again()));
    return post();
  }
}
