// A page on another origin than the API. docs/browsers.md shows this file.
const api = "https://api.example";

const grant = () => JSON.parse(localStorage.getItem("grant") ?? "{}");

// Tabs share one store, and the lock lets one refresh at a time read it and send.
const refresh = (used) => navigator.locks.request("refresh", async () => {
	if (grant().access_token !== used) return; // another tab has refreshed meanwhile
	const response = await fetch(`${api}/auth/sessions/current/refresh`, {
		method: "POST",
		headers: { "Content-Type": "application/json" },
		body: JSON.stringify({ refresh_token: grant().refresh_token }),
		signal: AbortSignal.timeout(20_000), // below half of Rotation.Overlap; then the same token again
	});
	if (response.ok) localStorage.setItem("grant", await response.text());
	else if (response.status === 401) localStorage.removeItem("grant"); // sign in again
	else throw new Error(`refresh: ${response.status}`); // 503: the token still works
});

export const call = async (path, init = {}) => {
	for (const last of [false, true]) {
		const { access_token } = grant();
		const headers = { ...init.headers, Authorization: `Bearer ${access_token}` };
		const response = await fetch(api + path, { ...init, headers });
		if (response.status !== 401 || last || !access_token) return response;
		await refresh(access_token);
	}
};
