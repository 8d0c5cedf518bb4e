import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

// The methods of Lucia's Adapter that every adapter has.
const methods = [
	"getUser", "setUser", "updateUser", "deleteUser",
	"getKey", "getKeysByUserId", "setKey", "updateKey", "deleteKey", "deleteKeysByUserId",
	"getSession", "getSessionsByUserId", "setSession", "updateSession", "deleteSession", "deleteSessionsByUserId"
];

// The codes of LuciaError that an adapter may reject with.
const luciaCodes = ["AUTH_DUPLICATE_KEY_ID", "AUTH_INVALID_USER_ID", "AUTH_INVALID_KEY_ID", "AUTH_INVALID_SESSION_ID"];

/** The bridge as a child process. Its protocol is in ../bridge/main.go. */
export class Bridge {
	#child;
	#ended;
	#pending = new Map();
	#lastId = 0;

	constructor(path, dsn) {
		this.#child = spawn(path, ["--dsn", dsn], { stdio: ["pipe", "pipe", "inherit"] });
		this.#child.stdin.on("error", () => {}); // the end of the child says it better
		this.#ended = new Promise((resolve) => {
			this.#child.on("error", (error) => this.#end(resolve, error.message));
			this.#child.on("close", (code, signal) => this.#end(resolve, signal ?? code));
		});
		createInterface({ input: this.#child.stdout }).on("line", (line) => this.#receive(JSON.parse(line)));
	}

	/** Opens the tables, and returns what Lucia calls an InitializeAdapter. */
	async hello(tables) {
		const { protocol, capabilities } = await this.#call("hello", [{ protocol: 1, tables }]);
		if (protocol !== 1) throw new Error(`the bridge speaks protocol ${protocol}`);
		const names = capabilities.getSessionAndUser ? [...methods, "getSessionAndUser"] : methods;
		return (LuciaError) =>
			Object.fromEntries(names.map((name) => [name, (...args) => this.#call(name, args, LuciaError)]));
	}

	/** Ends the bridge's input, and returns how it ended: 0 if well. */
	async close() {
		this.#child.stdin.end();
		const timer = setTimeout(() => this.#child.kill("SIGKILL"), 6000);
		const code = await this.#ended;
		clearTimeout(timer);
		return code;
	}

	#call(method, args, LuciaError) {
		return new Promise((resolve, reject) => {
			const id = ++this.#lastId;
			this.#pending.set(id, { resolve, reject, LuciaError });
			this.#child.stdin.write(JSON.stringify({ id, method, args }) + "\n");
		});
	}

	#receive({ id, result, error }) {
		const { resolve, reject, LuciaError } = this.#pending.get(id);
		this.#pending.delete(id);
		if (!error) resolve(result);
		else if (LuciaError && luciaCodes.includes(error.code)) reject(new LuciaError(error.code));
		else reject(new Error(`${error.code}: ${error.message}`));
	}

	#end(resolve, how) {
		for (const { reject } of this.#pending.values()) reject(new Error(`the bridge ended: ${how}`));
		this.#pending.clear();
		resolve(how);
	}
}
