// What the programs in node share: named checks, each told of by a line, and where drivers are.
//
//   node PROGRAM URL FOLDER     FOLDER has node_modules; exit status 1 where a check fails

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const CHECK_SECONDS = 60;

export const [url, folder] = process.argv.slice(2);

// Not import: that looks beside this file only, where nothing is to be installed.
export const load = createRequire(`${resolve(folder)}/`);

const checks = [];

export function check(name, body) {
	checks.push({ name, body });
}

// A check that hangs must say which it was.
function deadline() {
	let timer;
	const late = new Promise((_, reject) => {
		timer = setTimeout(() => reject(new Error(`not within ${CHECK_SECONDS} s`)), CHECK_SECONDS * 1000);
	});
	return { late, clear: () => clearTimeout(timer) };
}

export async function run() {
	let failed = 0;
	for (const { name, body } of checks) {
		const { late, clear } = deadline();
		try {
			await Promise.race([body(), late]);
			console.log(`ok ${name}`);
		} catch (error) {
			failed++;
			console.error(`not ok ${name}: ${error.stack}`);
		}
		clear();
	}
	process.exit(failed ? 1 : 0);
}

// The promise must fail with that SQLSTATE; the error, for more questions.
export async function fails(promise, code) {
	try {
		await promise;
	} catch (error) {
		assert.equal(error.code, code, error.stack);
		return error;
	}
	return assert.fail(`no error where ${code} belongs`);
}

export function range(count) {
	return Array.from({ length: count }, (_, i) => i);
}

export { assert };
