// Runs Lucia's adapter suite, on tables that are there and empty:
//
//	node run.js --adapter bridge --bridge PATH --dsn URL --tables user=…,key=…,session=…
//	node run.js --adapter mysql2 --dsn mysql://… --tables …
//
// The first tests gormkey's models through the bridge, the second Lucia's official
// adapter for MySQL. The suite prints its tests, and ends with an error at the first that
// fails. It looks at the tables by drivers of Node, not through what it tests.
import { parseArgs } from "node:util";
import { LuciaError } from "lucia";
import { Database, testAdapter } from "@lucia-auth/adapter-test";
import { mysql2 } from "@lucia-auth/adapter-mysql";
import { Bridge } from "./bridge.js";
import { openEngine } from "./engines.js";

const { values: options } = parseArgs({
	options: {
		adapter: { type: "string" },
		bridge: { type: "string" },
		dsn: { type: "string" },
		tables: { type: "string" }
	}
});
const tables = Object.fromEntries(options.tables.split(",").map((pair) => pair.split("=")));

const engine = await openEngine(options.dsn);
const table = (name) => ({
	get: () => engine.get(name),
	insert: (row) => engine.insert(name, row),
	clear: () => engine.clear(name)
});
const database = new Database({
	user: table(tables.user),
	key: table(tables.key),
	session: table(tables.session)
});

let bridge;
try {
	if (options.adapter === "bridge") {
		bridge = new Bridge(options.bridge, options.dsn);
		await testAdapter((await bridge.hello(tables))(LuciaError), database);
	} else {
		await testAdapter(mysql2(engine.pool, tables)(LuciaError), database);
	}
} catch (error) {
	console.error(error);
	process.exitCode = 1;
} finally {
	await engine.close();
	const code = await bridge?.close();
	if (code) {
		console.error(`the bridge ended with ${code}`);
		process.exitCode = 1;
	}
}
