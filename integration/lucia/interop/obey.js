// Lucia v2 with the official adapter of an engine, for a test that tells it what to do:
//
//	node obey.js --dsn sqlite:/path --tables user=…,key=…,session=…
//
// Standard input has one command a line, standard output one answer a line, in any order:
// commands overlap as requests to a server do.
//
//	{"id":1,"method":"getUser","args":["abc"]}
//	{"id":1,"result":{"username":"ada","userId":"abc"}}
//	{"id":2,"error":{"message":"AUTH_INVALID_USER_ID","lucia":true}}
//
// A method is one of Lucia's Auth, or one of those below. Without --dsn there are only these.
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import SQLite from "libsql";
import mysql from "mysql2/promise";
import pg from "pg";
import { betterSqlite3 } from "@lucia-auth/adapter-sqlite";
import { mysql2 } from "@lucia-auth/adapter-mysql";
import { pg as postgres } from "@lucia-auth/adapter-postgresql";
import { LuciaError, lucia } from "lucia";
import { validateLuciaPasswordHash } from "lucia/utils";

const { values: options } = parseArgs({ options: { dsn: { type: "string" }, tables: { type: "string" } } });

const adapters = {
	// libsql has the interface of better-sqlite3, and comes as a binary inside its package.
	sqlite: (dsn, tables) => betterSqlite3(new SQLite(dsn.slice("sqlite:".length), { timeout: 20000 }), tables),
	postgres: (dsn, tables) => postgres(new pg.Pool({ connectionString: dsn, max: 8 }), tables),
	mysql: (dsn, tables) => mysql2(mysql.createPool(dsn), tables)
};

const auth = options.dsn && lucia({
	env: "DEV",
	adapter: adapters[options.dsn.slice(0, options.dsn.indexOf(":"))](
		options.dsn,
		Object.fromEntries(options.tables.split(",").map((pair) => pair.split("=")))
	),
	getUserAttributes: ({ username }) => ({ username }),
	getSessionAttributes: ({ country }) => ({ country })
});

// Lucia does not await some promises (getAllUserSessions of nobody, deleteDeadUserSessions),
// which ends a process that does not ask for this.
const unhandled = [];
process.on("unhandledRejection", (error) => unhandled.push(String(error?.message)));

const more = {
	unhandled: () => unhandled,
	// Milliseconds of one verification, as useKey does it, and what it answered.
	verify: async (password, hash) => {
		const start = performance.now();
		const valid = await validateLuciaPasswordHash(password, hash);
		return { valid, milliseconds: performance.now() - start };
	}
};

async function obey({ id, method, args }) {
	try {
		return { id, result: (await (more[method] ?? auth[method])(...args)) ?? null };
	} catch (error) {
		const { message, code } = error;
		return { id, error: { message, code: code === undefined ? "" : String(code), lucia: error instanceof LuciaError } };
	}
}

createInterface({ input: process.stdin })
	.on("line", async (line) => process.stdout.write(JSON.stringify(await obey(JSON.parse(line))) + "\n"))
	.on("close", () => process.exit());
