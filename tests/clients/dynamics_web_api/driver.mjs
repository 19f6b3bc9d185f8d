// Runs dynamics-web-api for tests: one JSON request a line on stdin, one JSON answer a line on stdout.
//
// {"configure": {...}}                            change the configuration
// {"call": "retrieve", "arguments": [...]}        call a method
// {"batch": [{"call", "arguments"}...], "options"} call several methods in one $batch
// {"methods": true}                               the names of all methods
//
// The address stands in DYNAMICS_URL, the access token in DYNAMICS_TOKEN.

import { createInterface } from "node:readline";
import { DynamicsWebApi } from "dynamics-web-api";

const api = new DynamicsWebApi({
    serverUrl: process.env.DYNAMICS_URL,
    dataApi: { version: "9.2" },
    onTokenRefresh: async () => process.env.DYNAMICS_TOKEN,
});

async function answer(request) {
    if (request.methods) {
        return Object.keys(api).filter((name) => typeof api[name] === "function");
    }
    if (request.configure) {
        return api.setConfig(request.configure);
    }
    return request.batch ? runBatch(request) : api[request.call](...request.arguments);
}

async function runBatch({ batch, options }) {
    api.startBatch();
    const calls = batch.map((inner) => api[inner.call](...inner.arguments));
    // Their results and refusals come with those of the batch.
    calls.forEach((call) => call?.catch?.(() => undefined));
    return api.executeBatch(options);
}

function described(problem) {
    if (Array.isArray(problem)) {
        return problem.map(described);
    }
    return problem instanceof Error ? { ...problem, message: problem.message } : problem;
}

for await (const line of createInterface({ input: process.stdin })) {
    let printed;
    try {
        printed = { result: (await answer(JSON.parse(line))) ?? null };
    } catch (problem) {
        printed = { error: described(problem) };
    }
    process.stdout.write(JSON.stringify(printed) + "\n");
}
