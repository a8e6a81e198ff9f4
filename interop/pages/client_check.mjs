// Runs client.mjs as a browser would: with a store, locks and an API at BASE_URL. The
// grant of a session comes on standard input.
import assert from "node:assert/strict";

const store = new Map();
globalThis.localStorage = {
	getItem: (key) => store.get(key) ?? null,
	setItem: (key, value) => store.set(key, value),
	removeItem: (key) => store.delete(key),
};
let held = Promise.resolve();
Object.defineProperty(globalThis, "navigator", {
	value: { locks: { request: (_, run) => (held = held.then(run, run)) } },
});
let refreshes = 0;
const { fetch } = globalThis;
globalThis.fetch = (url, init) => {
	if (url.endsWith("/refresh")) refreshes++;
	return fetch(url.replace("https://api.example", process.env.BASE_URL), init);
};

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const grant = JSON.parse(Buffer.concat(chunks));
// An access token that is refused, and a refresh token that is good.
store.set("grant", JSON.stringify({ ...grant, access_token: `${grant.access_token}x` }));

const { call } = await import("./client.mjs");
const answers = await Promise.all([call("/me"), call("/me"), call("/me")]);
assert.deepEqual(answers.map(({ status }) => status), [200, 200, 200]);
assert.equal(refreshes, 1);
assert.notEqual(JSON.parse(store.get("grant")).refresh_token, grant.refresh_token);

assert.equal((await call("/auth/sessions/current", { method: "DELETE" })).status, 200);
assert.equal((await call("/me")).status, 401);
assert.equal(store.has("grant"), false);
