// The worker: Cloudflare's API for one account's databases, which are its bindings.
const token = "gormkey-test";
const path = /^\/client\/v4\/accounts\/[^/]+\/d1\/database\/([^/]+)\/(query|raw)$/;

export default {
	async fetch(request, env) {
		const match = path.exec(new URL(request.url).pathname);
		if (!match) return failure(404, 7003, "Could not route to the requested path");
		if (request.method !== "POST") return failure(405, 10405, "Method not allowed for this authentication scheme");
		if (request.headers.get("Authorization") !== `Bearer ${token}`) return failure(401, 10000, "Authentication error");
		const [, name, endpoint] = match;
		if (!Object.hasOwn(env, name)) return failure(404, 7404, `The database ${name} could not be found`);
		let statements;
		try {
			const body = await request.json();
			statements = (body.batch ?? [body]).map(({ sql, params }) => ({ sql, params: params ?? [] }));
		} catch {
			return failure(400, 7400, "The request is malformed");
		}
		return await run(env[name], statements, endpoint === "raw" ? "ROWS_AND_COLUMNS" : "ARRAY_OF_OBJECTS");
	}
};

// The binding's own methods lose columns of one name in a batch, and raw() the meta. Both
// are there in the request that they make, and so it is made here.
async function run(database, statements, resultsFormat) {
	let answer;
	try {
		const response = await database.fetcher.fetch(`http://d1/query?resultsFormat=${resultsFormat}`, {
			method: "POST",
			headers: { "Content-Type": "application/json" },
			body: JSON.stringify(statements)
		});
		const text = await response.text();
		if (response.status === 400) return failure(400, 7400, "The request is malformed"); // a parameter of no type of D1's
		answer = JSON.parse(text);
	} catch (error) {
		return failure(500, 7500, error.message); // as for a deferred foreign key that is broken at the end
	}
	if (!Array.isArray(answer)) return failure(400, 7500, answer.error);
	return Response.json({ success: true, errors: [], messages: [], result: answer });
}

function failure(status, code, message) {
	return Response.json({ success: false, errors: [{ code, message }], messages: [], result: [] }, { status });
}
