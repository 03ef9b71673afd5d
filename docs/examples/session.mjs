// One KSeF session from the agent, as an ERP in Node.js 18 or later gets it; no packages.
//   node session.mjs Nip:5265877635 [SOCKET]
import http from "node:http";
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

const socketPath = process.argv[3] ?? "/run/ksefvault/agent.sock";

function call(method, path, body, key) {
  return new Promise((resolve, reject) => {
    const headers = { "Content-Type": "application/json", ...(key && { "Idempotency-Key": key }) };
    const request = http.request({ socketPath, method, path, headers, timeout: 45_000 }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (part) => (text += part));
      answer.on("end", () => resolve({ status: answer.statusCode, headers: answer.headers, body: JSON.parse(text) }));
    });
    request.on("timeout", () => request.destroy(new Error("no answer")));
    request.on("error", reject);
    request.end(body && JSON.stringify(body));
  });
}

export async function session(context, patienceSeconds = 120) {
  const key = randomUUID(); // the same for every try, so that no second login is made
  const until = Date.now() + patienceSeconds * 1000;
  for (;;) {
    let wait = 1;
    try {
      const answer = await call("POST", "/v1/sessions", { context }, key);
      if (answer.status === 201) return answer.body;
      const { code, detail, record, retry } = answer.body;
      if (retry !== "after") throw Object.assign(new Error(`${code}: ${detail} (record ${record})`), { final: true });
      wait = Number(answer.headers["retry-after"] ?? 1);
    } catch (error) {
      if (error.final) throw error; // else it is not running, or restarting
    }
    if (Date.now() + wait * 1000 > until) throw new Error("the KSeF agent gives no session");
    await sleep(wait * 1000);
  }
}

const lease = await session(process.argv[2]);
console.log(JSON.stringify({ session: lease.session, validUntil: lease.validUntil }));
// … calls to KSeF with `Authorization: Bearer ${lease.accessToken}` …
await call("DELETE", `/v1/sessions/${lease.session}`);
