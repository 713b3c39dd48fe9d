// s3_client.mjs - Node's own http as a client of S3, signatures made by hand: one of those that s3_clients.py compares.
//
//     node s3_client.mjs FOLDER FLIGHT PREFIX
//
// puts FOLDER's files, so many at a time. S3_ENDPOINT and the rest in the environment say where.
import { createHash, createHmac } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import http from "node:http";

const [folder, flight, prefix] = process.argv.slice(2);
const { S3_ENDPOINT, S3_BUCKET, S3_REGION, S3_ACCESS_KEY, S3_SECRET_KEY } = process.env;
const endpoint = new URL(S3_ENDPOINT);
const agent = new http.Agent({ keepAlive: true, maxSockets: Number(flight), noDelay: true });
const sha256 = (data) => createHash("sha256").update(data).digest("hex");
const hmac = (key, data) => createHmac("sha256", key).update(data).digest();
const keys = new Map(); // of a day; the other clients may keep theirs too

function signingKey(day) {
    if (!keys.has(day))
        keys.set(day, [day, S3_REGION, "s3", "aws4_request"].reduce(hmac, "AWS4" + S3_SECRET_KEY));
    return keys.get(day);
}

function headers(path, body) {
    const stamp = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
    const scope = `${stamp.slice(0, 8)}/${S3_REGION}/s3/aws4_request`;
    const hash = sha256(body), names = "host;x-amz-content-sha256;x-amz-date";
    const canonical = `PUT\n${path}\n\nhost:${endpoint.host}\nx-amz-content-sha256:${hash}\nx-amz-date:${stamp}\n\n` +
        `${names}\n${hash}`;
    const signature = hmac(signingKey(stamp.slice(0, 8)), `AWS4-HMAC-SHA256\n${stamp}\n${scope}\n${sha256(canonical)}`);
    return {
        host: endpoint.host, "x-amz-content-sha256": hash, "x-amz-date": stamp, "content-length": body.length,
        authorization: `AWS4-HMAC-SHA256 Credential=${S3_ACCESS_KEY}/${scope}, SignedHeaders=${names}, ` +
            `Signature=${signature.toString("hex")}`,
    };
}

function put(name) {
    const body = readFileSync(`${folder}/${name}`), path = `/${S3_BUCKET}/${prefix}${name}`;
    return new Promise((done, fail) => {
        const request = http.request({
            agent, host: endpoint.hostname, port: endpoint.port, method: "PUT", path, headers: headers(path, body),
        }, (answer) => {
            answer.resume().on("end", () => answer.statusCode === 200 ? done() : fail(new Error(answer.statusCode)));
        });
        request.on("error", fail).end(body);
    });
}

const names = readdirSync(folder);
await Promise.all(Array.from({ length: Number(flight) }, async () => {
    for (let name; (name = names.pop()) !== undefined;)
        await put(name);
}));
agent.destroy();
