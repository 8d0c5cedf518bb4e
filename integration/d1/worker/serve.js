// Serves Cloudflare's D1 API on workerd, the engine that D1 runs on, for tests:
//
//	node serve.js [--port 18787] [--databases 12]
//
// The databases are gormkey0, gormkey1, …, in memory until it ends. It prints a line
// with "ready" when it answers, and stops on SIGTERM or SIGINT. The account may be any,
// the token has to be that of d1.js.
import { parseArgs } from "node:util";
import { Miniflare } from "miniflare";

const { values } = parseArgs({
	options: { port: { type: "string", default: "18787" }, databases: { type: "string", default: "12" } }
});
const names = Array.from({ length: Number(values.databases) }, (_, i) => `gormkey${i}`);

const server = new Miniflare({
	host: "127.0.0.1",
	port: Number(values.port),
	compatibilityDate: "2026-04-01",
	rootPath: import.meta.dirname,
	modules: [{ type: "ESModule", path: "d1.js" }],
	d1Databases: Object.fromEntries(names.map((name) => [name, name])),
	cf: false // otherwise it asks the network where it is
});

let stopping = false;
async function stop() {
	if (stopping) return;
	stopping = true;
	await server.dispose();
	process.exit(0);
}
process.on("SIGTERM", stop);
process.on("SIGINT", stop);

await server.ready;
console.log(`ready: http://127.0.0.1:${values.port}/client/v4, databases gormkey0 … gormkey${names.length - 1}`);
