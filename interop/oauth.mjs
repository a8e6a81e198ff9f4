// Drives OAuth clients, as they are published, against a running example that they know
// the issuer of and nothing else. Prints one [name, refusal] for each check, where the
// refusal is "" if the check passed; a failed check does not keep the others from running.
import assert from "node:assert/strict";
import * as oauth from "oauth4webapi";
import * as openid from "openid-client";
import simple from "simple-oauth2";
import jwtBearer from "express-oauth2-jwt-bearer";

const env = (name) => {
	assert.ok(process.env[name], `${name} is not set`);
	return process.env[name];
};
const base = env("BASE_URL"), issuer = new URL(env("ISSUER")), id = env("PROJECT_ID"), secret = env("CLIENT_KEY"), userId = env("USER_ID");

const verdicts = [];
const check = async (name, run) => {
	try {
		const result = await run();
		verdicts.push([name, ""]);
		return result;
	} catch (err) {
		verdicts.push([name, `${err.name} ${err.code ?? ""}: ${err.message} ${err.cause?.message ?? ""}`]);
	}
};

const create = async () => {
	const response = await fetch(`${base}/auth/sessions`, {
		method: "POST",
		headers: { "authorization": `Bearer ${env("SERVER_KEY")}`, "content-type": "application/json" },
		body: JSON.stringify({ user_id: userId }),
	});
	assert.equal(response.status, 200);
	return response.json();
};
const lives = async ({ access_token }) => {
	const { status } = await fetch(`${base}/auth/sessions/current`, { headers: { authorization: `Bearer ${access_token}` } });
	assert.ok(status === 200 || status === 401, `status ${status}`);
	return status === 200;
};
const thrown = async (promise) => {
	try {
		await promise;
	} catch (err) {
		return err;
	}
	assert.fail("nothing was thrown");
};
// The configuration of a client by hand, for the checks after a failed discovery.
const byHand = {
	issuer: issuer.href, token_endpoint: `${base}/api/v1/auth/oauth/token`, revocation_endpoint: `${base}/api/v1/auth/oauth/revoke`,
	jwks_uri: `${base}/api/v1/.well-known/jwks.json`,
};

// oauth4webapi
{
	const insecure = { [oauth.allowInsecureRequests]: true }; // http, on this machine
	const client = { client_id: id };
	const discover = async (algorithm) => {
		const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm, ...insecure }));
		assert.equal(as.token_endpoint, byHand.token_endpoint);
		assert.equal(as.revocation_endpoint, byHand.revocation_endpoint);
		return as;
	};
	await check("oauth4webapi: discovery by RFC 8414", () => discover("oauth2"));
	const as = (await check("oauth4webapi: discovery by OpenID Connect", () => discover("oidc"))) ?? byHand;
	const refresh = async (auth, token) =>
		oauth.processRefreshTokenResponse(as, client, await oauth.refreshTokenGrantRequest(as, client, auth, token, insecure));
	const revoke = async (token) =>
		oauth.processRevocationResponse(await oauth.revocationRequest(as, client, oauth.ClientSecretBasic(secret), token, insecure));

	for (const [method, auth] of Object.entries({
		client_secret_basic: oauth.ClientSecretBasic(secret), client_secret_post: oauth.ClientSecretPost(secret), none: oauth.None(),
	})) {
		await check(`oauth4webapi: refresh by ${method}`, async () => {
			const grant = await create();
			const first = await refresh(auth, grant.refresh_token);
			assert.equal(first.token_type, "bearer");
			assert.notEqual(first.refresh_token, grant.refresh_token);
			const second = await refresh(auth, first.refresh_token);
			assert.ok(await lives(second));
		});
		await check(`oauth4webapi: a dead token is invalid_grant by ${method}`, async () => {
			const grant = await create();
			await revoke(grant.refresh_token);
			const err = await thrown(refresh(auth, grant.refresh_token));
			assert.ok(err instanceof oauth.ResponseBodyError, err);
			assert.equal(err.error, "invalid_grant");
			assert.equal(err.status, 400);
			assert.equal(err.error_description, "The session has ended.");
		});
	}
	await check("oauth4webapi: a replayed token is invalid_grant", async () => {
		const grant = await create();
		const first = await refresh(oauth.None(), grant.refresh_token);
		await refresh(oauth.None(), first.refresh_token);
		const err = await thrown(refresh(oauth.None(), grant.refresh_token));
		assert.ok(err instanceof oauth.ResponseBodyError, err);
		assert.equal(err.error, "invalid_grant");
	});
	await check("oauth4webapi: a wrong client is invalid_client", async () => {
		const { refresh_token } = await create();
		const err = await thrown(refresh(oauth.ClientSecretPost("x"), refresh_token));
		assert.ok(err instanceof oauth.ResponseBodyError, err);
		assert.equal(err.error, "invalid_client");
	});
	await check("oauth4webapi: a wrong client by Basic is a challenge", async () => {
		const { refresh_token } = await create();
		const err = await thrown(refresh(oauth.ClientSecretBasic("x"), refresh_token));
		assert.ok(err instanceof oauth.WWWAuthenticateChallengeError, err);
		assert.deepEqual([err.status, err.cause.length, err.cause[0].scheme], [401, 1, "basic"]);
	});
	for (const kind of ["refresh_token", "access_token"]) {
		await check(`oauth4webapi: revocation of the ${kind}`, async () => {
			const grant = await create();
			await revoke(grant[kind]);
			assert.ok(!(await lives(grant)));
			await revoke(grant[kind]);
		});
	}
	await check("oauth4webapi: revocation of a string that is not a token", () => revoke("undefined"));
	const validate = (token, audience) =>
		oauth.validateJwtAccessToken(as, new Request(base, { headers: { authorization: `Bearer ${token}` } }), audience, insecure);
	await check("oauth4webapi: verification by RFC 9068", async () => {
		const grant = await create();
		const claims = await validate(grant.access_token, id);
		assert.deepEqual([claims.sub, claims.sid], [userId, grant.session_id]);
		assert.match((await thrown(validate(grant.access_token, "another"))).message, /aud/);
	});
}

// openid-client
{
	const options = { execute: [openid.allowInsecureRequests] };
	const discover = (algorithm, auth) => openid.discovery(issuer, id, secret, auth, { algorithm, ...options });
	for (const [algorithm, auth] of Object.entries({ oidc: openid.ClientSecretBasic(secret), oauth2: openid.ClientSecretPost(secret) })) {
		let config = await check(`openid-client: discovery by ${algorithm}`, () => discover(algorithm, auth));
		if (!config) {
			config = new openid.Configuration(byHand, id, secret, auth);
			openid.allowInsecureRequests(config);
		}
		await check(`openid-client: refresh after ${algorithm}`, async () => {
			const grant = await create();
			const tokens = await openid.refreshTokenGrant(config, grant.refresh_token);
			assert.notEqual(tokens.refresh_token, grant.refresh_token);
			assert.ok(tokens.expiresIn() > 0 && (await lives(tokens)));
		});
		await check(`openid-client: a dead token is invalid_grant after ${algorithm}`, async () => {
			const grant = await create();
			await openid.tokenRevocation(config, grant.refresh_token);
			const err = await thrown(openid.refreshTokenGrant(config, grant.refresh_token));
			assert.ok(err instanceof openid.ResponseBodyError, err);
			assert.equal(err.error, "invalid_grant");
		});
		await check(`openid-client: revocation of the access token after ${algorithm}`, async () => {
			const grant = await create();
			await openid.tokenRevocation(config, grant.access_token);
			assert.ok(!(await lives(grant)));
		});
	}
}

// simple-oauth2, which discovers nothing
{
	for (const authorizationMethod of ["header", "body"]) {
		const client = new simple.AuthorizationCode({
			client: { id, secret },
			auth: { tokenHost: base, tokenPath: "/api/v1/auth/oauth/token", revokePath: "/api/v1/auth/oauth/revoke" },
			options: { authorizationMethod },
		});
		const by = `by ${authorizationMethod}`;
		await check(`simple-oauth2: refresh ${by}`, async () => {
			const grant = await create();
			const { token } = await client.createToken(grant).refresh();
			assert.notEqual(token.refresh_token, grant.refresh_token);
			assert.ok(await lives(token));
		});
		for (const how of ["the access token", "the refresh token", "all"]) {
			await check(`simple-oauth2: revocation of ${how} ${by}`, async () => {
				const grant = await create();
				const held = client.createToken(grant);
				await (how === "all" ? held.revokeAll() : held.revoke(how === "the access token" ? "access_token" : "refresh_token"));
				assert.ok(!(await lives(grant)), "the session lives");
				const err = await thrown(held.refresh());
				assert.deepEqual([err.output?.statusCode, err.data?.payload?.error], [400, "invalid_grant"]);
			});
		}
	}
}

// express-oauth2-jwt-bearer, with what it asks of a request of Express
{
	const verify = (token, options) => new Promise((resolve, reject) => {
		const headers = { host: "api.example", authorization: `Bearer ${token}` };
		const request = { method: "GET", protocol: "https", originalUrl: "/", headers, query: {}, get: (name) => headers[name.toLowerCase()], is: () => false };
		jwtBearer.auth({ audience: id, ...options })(request, {}, (err) => (err ? reject(err) : resolve(request.auth))).catch(reject);
	});
	for (const [name, options] of Object.entries({ "the issuer": { issuerBaseURL: issuer.href }, "the issuer, strictly": { issuerBaseURL: issuer.href, strict: true } })) {
		await check(`express-oauth2-jwt-bearer: verification with ${name}`, async () => {
			const grant = await create();
			const { payload, header } = await verify(grant.access_token, options);
			assert.deepEqual([payload.sub, payload.sid, header.alg], [userId, grant.session_id, "ES256"]);
		});
		await check(`express-oauth2-jwt-bearer: refusal with ${name}`, async () => {
			const { access_token: token } = await create();
			const [head, payload] = token.split(".");
			const forged = [head, payload, (await create()).access_token.split(".")[2]].join(".");
			for (const [text, other] of [[forged, {}], [token, { audience: "another" }]]) {
				const err = await thrown(verify(text, { ...options, ...other }));
				assert.ok(err instanceof jwtBearer.InvalidTokenError, err);
				assert.equal(err.status, 401);
				assert.match(err.message, /signature|'aud'/);
			}
		});
	}
}

console.log(JSON.stringify(verdicts));

// Clients may have left connections open.
process.exit(0);
