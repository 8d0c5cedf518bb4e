import SQLite from "libsql";
import mysql from "mysql2/promise";
import pg from "pg";

/**
 * Opens the database of a DSN as the bridge takes it. An engine reads all rows of a
 * table, inserts one and deletes all. Rows are plain objects with numbers for expiries:
 * the suite compares them strictly.
 */
export async function openEngine(dsn) {
	const scheme = dsn.slice(0, dsn.indexOf(":"));
	return await { sqlite: openSQLite, postgres: openPostgres, mysql: openMySQL }[scheme](dsn);
}

// libsql is SQLite with the interface of better-sqlite3, and comes as a binary inside its
// package, where better-sqlite3 wants a download or a compiler.
function openSQLite(dsn) {
	const db = new SQLite(dsn.slice("sqlite:".length), { timeout: 3000 });
	return {
		get: (table) => db.prepare(`SELECT * FROM "${table}"`).all().map((row) => ({ ...row })),
		insert(table, row) {
			const { columns, values } = split(row, () => "?");
			db.prepare(`INSERT INTO "${table}" (${columns}) VALUES (${values})`).run(Object.values(row));
		},
		clear: (table) => db.prepare(`DELETE FROM "${table}"`).run(),
		close: () => db.close()
	};
}

async function openPostgres(dsn) {
	const pool = new pg.Pool({ connectionString: dsn, max: 2 });
	return {
		async get(table) {
			const { rows } = await pool.query(`SELECT * FROM "${table}"`);
			return rows.map(withNumbers); // the driver gives a bigint as a text
		},
		async insert(table, row) {
			const { columns, values } = split(row, (i) => `$${i + 1}`);
			await pool.query(`INSERT INTO "${table}" (${columns}) VALUES (${values})`, Object.values(row));
		},
		clear: (table) => pool.query(`DELETE FROM "${table}"`),
		close: () => pool.end()
	};
}

async function openMySQL(dsn) {
	const pool = mysql.createPool(dsn);
	return {
		pool, // for the official adapter
		async get(table) {
			const [rows] = await pool.query(`SELECT * FROM \`${table}\``);
			return rows.map((row) => ({ ...row }));
		},
		async insert(table, row) {
			const { columns, values } = split(row, () => "?");
			await pool.query(`INSERT INTO \`${table}\` (${columns}) VALUES (${values})`, Object.values(row));
		},
		clear: (table) => pool.query(`DELETE FROM \`${table}\``),
		close: () => pool.end()
	};
}

function split(row, placeholder) {
	const names = Object.keys(row);
	return { columns: names.join(", "), values: names.map((_, i) => placeholder(i)).join(", ") };
}

function withNumbers(row) {
	const expiries = ["active_expires", "idle_expires"].filter((name) => name in row);
	return { ...row, ...Object.fromEntries(expiries.map((name) => [name, Number(row[name])])) };
}
