// Verifies access tokens with jose from the JWK set at JWKS_URL. Reads a JSON array
// of {token, issuer, audience}, prints one of "" or the refusal for each.
import { createRemoteJWKSet, jwtVerify } from "jose";

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const keys = createRemoteJWKSet(new URL(process.env.JWKS_URL));

const verdicts = [];
for (const { token, issuer, audience } of JSON.parse(Buffer.concat(chunks))) {
	try {
		const { payload } = await jwtVerify(token, keys, {
			issuer,
			audience,
			typ: "at+jwt",
			algorithms: ["ES256"],
			requiredClaims: ["sub", "exp", "iat", "jti", "sid"],
		});
		verdicts.push(payload.aud === audience ? "" : "aud is not a string");
	} catch (err) {
		verdicts.push(`${err.code}: ${err.message}`);
	}
}
console.log(JSON.stringify(verdicts));
