// Drives the published SDK against a running example. The environment says which
// version, and where; exit code 0 means that everything went as an app expects.
import assert from "node:assert/strict";

const env = (name) => {
	assert.ok(process.env[name], `${name} is not set`);
	return process.env[name];
};

const { StackClientApp, StackServerApp } = await import(env("SDK"));

const common = {
	projectId: env("PROJECT_ID"),
	publishableClientKey: env("CLIENT_KEY"),
	baseUrl: env("BASE_URL"),
	analytics: { enabled: false },
	devTool: false,
};
const userId = env("USER_ID");
const server = new StackServerApp({ ...common, secretServerKey: env("SERVER_KEY"), tokenStore: null });
const clientWith = (tokenStore) => new StackClientApp({ ...common, tokenStore });

const claims = (accessToken) => JSON.parse(Buffer.from(accessToken.split(".")[1], "base64url"));

const step = async (name, run) => {
	try {
		return await run();
	} catch (err) {
		console.error(`failed: ${name}`);
		throw err;
	}
};

const user = await step("the server app finds a user", async () => {
	assert.equal(await server.getUser("11111111-2222-4333-8444-555555555555"), null, "an unknown user");
	const user = await server.getUser(userId);
	assert.equal(user.id, userId);
	return user;
});

const create = async (options) => {
	const tokens = await (await user.createSession(options)).getTokens();
	assert.equal(typeof tokens.accessToken, "string");
	assert.equal(typeof tokens.refreshToken, "string");
	return tokens;
};

const tokens = await step("createSession", () => create({ expiresInMillis: 60 * 60 * 1000 }));
const second = await step("createSession, a second one", () => create({}));
const third = await step("createSession, a third one", () => create({}));
const impersonation = await step("createSession for an impersonation", () => create({ isImpersonation: true, expiresInMillis: 60 * 60 * 1000 }));

const client = clientWith(tokens);
const me = await step("getUser", async () => {
	const me = await client.getUser();
	assert.equal(me?.id, userId);
	assert.equal(me.displayName, user.displayName);
	assert.equal((await clientWith(impersonation).getUser())?.id, userId);
	return me;
});

await step("getUser by the server app, with the user's tokens", async () => {
	assert.equal((await server.getUser({ tokenStore: tokens }))?.id, userId);
});

await step("getTokens", async () => {
	const got = await me.currentSession.getTokens();
	assert.equal(got.refreshToken, tokens.refreshToken);
	assert.equal(claims(got.accessToken).sub, userId);
});

await step("getActiveSessions and revokeSession", async () => {
	const listed = await me.getActiveSessions();
	assert.deepEqual(
		new Set(listed.map((s) => s.id)),
		new Set([tokens, second, third].map((t) => claims(t.accessToken).refresh_token_id)),
		"impersonations are not for the user to see",
	);
	assert.deepEqual(listed.filter((s) => s.isCurrentSession).map((s) => s.id), [claims(tokens.accessToken).refresh_token_id]);
	for (const s of listed) {
		assert.equal(s.userId, userId);
		assert.ok(s.createdAt instanceof Date && Math.abs(Date.now() - s.createdAt) < 10 * 60 * 1000);
	}

	await me.revokeSession(claims(second.accessToken).refresh_token_id); // with ?user_id=me
	await user.revokeSession(claims(third.accessToken).refresh_token_id); // the server app sends no query
	for (const list of [await me.getActiveSessions(), await user.getActiveSessions()]) {
		assert.deepEqual(list.map((s) => s.id), [claims(tokens.accessToken).refresh_token_id]);
	}
	await assert.rejects(me.revokeSession(claims(tokens.accessToken).refresh_token_id), /current session/i);
	for (const revoked of [second, third]) {
		assert.equal(await clientWith(revoked).getUser(), null, "whose session was revoked");
	}
});

await step("refresh after expiry", async () => {
	// The SDK takes a token that has less than 20 s left for expired.
	const deadline = Date.now() + 60 * 1000;
	let now;
	do {
		assert.ok(Date.now() < deadline, "the access token is not replaced");
		await new Promise((resolve) => setTimeout(resolve, 250));
		now = await me.currentSession.getTokens();
	} while (now.accessToken === tokens.accessToken);
	assert.equal(claims(now.accessToken).refresh_token_id, claims(tokens.accessToken).refresh_token_id);
	assert.ok(claims(now.accessToken).exp > claims(tokens.accessToken).exp);
	assert.equal(now.refreshToken, tokens.refreshToken, "the SDK keeps the refresh token that it has");
	assert.equal((await me.getActiveSessions()).length, 1);
});

await step("refresh by several, and again, with the one refresh token", async () => {
	const without = { accessToken: null, refreshToken: tokens.refreshToken };
	const found = await Promise.all([1, 2, 3, 4].map(() => clientWith(without).getUser()));
	assert.deepEqual(found.map((u) => u?.id), [userId, userId, userId, userId]);
	assert.equal((await clientWith(without).getUser())?.id, userId);
});

await step("signOut", async () => {
	assert.equal((await client.getUser())?.id, userId);
	await client.signOut({ redirectUrl: "/signed-out" });
	assert.equal((await user.getActiveSessions()).length, 0);
	await me.signOut({ redirectUrl: "/signed-out" }); // once more does no harm
});

await step("refused refresh after signOut", async () => {
	assert.equal(await client.getUser(), null, "with tokens that are not known to be dead");
	assert.equal(await clientWith({ accessToken: null, refreshToken: tokens.refreshToken }).getUser(), null, "with the refresh token alone");
	assert.equal(await server.getUser({ tokenStore: tokens }), null, "by the server app");
	const { accessToken, refreshToken } = await me.currentSession.getTokens();
	assert.deepEqual({ accessToken, refreshToken }, { accessToken: null, refreshToken: null });
	assert.equal(await clientWith({ accessToken: null, refreshToken: "forged" }).getUser(), null, "with a forged refresh token");
});

// Nothing is left to wait for but the SDK's own timers.
process.exit(0);
