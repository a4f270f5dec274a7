// Calls of the service's API. This page contacts nothing else.

/** What the paths of the API begin with, below the URL of the page. */
export const API = "api/v1";

/** What to do in a browser: without the parts of a remedy that are about curl. */
const here = (remedy) => (remedy ?? "").split("; ").filter((part) => !/\bcurl\b/.test(part)).join("; ");

/** How often a request is sent in all while the service is busy, and the most seconds to wait before the next try. */
const TRIES = 3;
const LONGEST = 60;

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

/** What a header can contain of a token, without copied spaces and the like. */
export const cleaned = (given) => given.replace(/[^!-~]/g, "");

/** Use a token until this tab is closed. */
export function use(given) {
  token = cleaned(given);
  try {
    sessionStorage.setItem("token", token);
  } catch {
    // without storage, the page asks again after a reload
  }
}

/** Use another token, but keep the present one if the service does not accept the other. */
export async function change(given) {
  if (!token) return use(given);
  const headers = { Authorization: `Bearer ${cleaned(given)}` };
  const accepted = await called(`${API}/model`, { headers }).then(() => true, () => false);
  if (accepted) use(given);
}

function stored() {
  try {
    return sessionStorage.getItem("token");
  } catch {
    return null;
  }
}

/** Send a request; any status is returned, no reply is an error. A proxy in front may need cookies, the service has none. */
export async function fetched(path, options = {}) {
  const headers = token ? { Authorization: `Bearer ${token}`, ...options.headers } : options.headers;
  try {
    return await fetch(path, { ...options, headers, credentials: "same-origin" });
  } catch {
    throw new Refused(0, "The service does not respond", "is it still running?");
  }
}

/** Send a request again while the service is busy, after the time that it asks for; `say` gets a text about that. */
async function patient(path, options = {}, say = () => {}) {
  for (let tries = 1; ; tries += 1) {
    const reply = await fetched(path, options);
    const seconds = Number(reply.headers.get("Retry-After"));
    if (reply.status !== 429 || tries === TRIES || !(seconds > 0 && seconds <= LONGEST)) return reply;
    say(`The service is busy; trying again in ${seconds} s.`);
    await new Promise((done) => setTimeout(done, 1000 * seconds));
  }
}

async function called(path, options = {}, say = () => {}) {
  const reply = await patient(path, { ...options, cache: "no-store" }, say);
  const told = await reply.json().catch(() => ({}));
  if (!reply.ok) throw new Refused(reply.status, told.error || `status ${reply.status}`, told.remedy, told.code);
  return told;
}

export const model = (say) => called(`${API}/model`, {}, say);

/** Upload an image; the reply is a scene with its regions. */
export const upload = (blob, say) =>
  called(`${API}/scenes`, { method: "POST", body: blob, headers: { "Content-Type": "application/octet-stream" } }, say);

/** Delete a scene that is no longer needed, before it expires. */
export const forget = (scene) => scene && fetched(`${API}/scenes/${scene.id}`, { method: "DELETE" }).catch(() => {});

/** Where a sample image is. */
export const sampleUrl = (name) => `${API}/samples/${encodeURIComponent(name)}`;

/** The bytes of a sample image. */
export async function sample(name) {
  const reply = await patient(sampleUrl(name));
  if (!reply.ok) throw new Refused(reply.status, "this sample does not exist");
  return reply.blob();
}

/** The bytes of a thumbnail of an image that was found. */
export async function thumbnail(name) {
  const reply = await patient(`${API}/thumbnail?image=${encodeURIComponent(name)}`);
  if (!reply.ok) throw new Refused(reply.status, "this image is gone, or has changed");
  return reply.blob();
}

/**
 * Ask about images (each has `scene` and `again(say)`). Images whose scenes have expired are uploaded again.
 * @param body function that returns the body of a request: an image that is uploaded again has a new scene id
 * @param say gets a text while the service is busy
 */
export async function ask(method, images, body, say) {
  const headers = { "Content-Type": "application/json" };
  const post = () => called(`${API}/${method}`, { method: "POST", body: JSON.stringify(body()), headers }, say);
  try {
    return await post();
  } catch (error) {
    if (error.code !== "unknown_scene") throw error;
    await Promise.all(images.map((image) => image.again(say)));
    return post();
  }
}
