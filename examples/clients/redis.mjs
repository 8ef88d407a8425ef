// A client of Redis for nemesis (nemesis-client/1): registers, one connection a process.
import { createConnection } from "node:net";
import { createInterface } from "node:readline";

const CAS = "if redis.call('GET',KEYS[1])==ARGV[1] then redis.call('SET',KEYS[1],ARGV[2]) return 1 end return 0";
const nodes = new Map(), processes = new Map();
const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");

// One connection with at most one command under way.
class Redis {
  constructor({ host, port }) { Object.assign(this, { host, port, sock: null }); }

  // Calls done with (sent, error, answer): nothing was sent unless sent.
  call(timeout, words, done) {
    let data = Buffer.alloc(0), connected = this.sock !== null;
    const sock = (this.sock ??= createConnection(this.port, this.host).setNoDelay());
    const timer = setTimeout(() => finish("timeout"), timeout);
    const finish = (error, answer) => {
      clearTimeout(timer);
      sock.removeAllListeners().on("error", () => {});
      if (error) { sock.destroy(); this.sock = null; } // a late answer must be nobody else's
      done(connected, error, answer);
    };
    const send = () => {
      connected = true;
      sock.write(`*${words.length}\r\n` + words.map((w) => `$${Buffer.byteLength(String(w))}\r\n${w}\r\n`).join(""));
    };
    sock.on("error", (e) => finish(e.message)).on("close", () => finish("the connection was closed"));
    sock.on("data", (some) => {
      data = Buffer.concat([data, some]);
      const end = data.indexOf("\r\n");
      if (end < 0) return;
      const line = data.toString("utf8", 0, end);
      if (line[0] !== "$") return finish(null, line);
      const size = Number(line.slice(1));
      if (size < 0) return finish(null, null);
      if (data.length >= end + 2 + size + 2) finish(null, data.toString("utf8", end + 2, end + 2 + size));
    });
    connected ? send() : sock.on("connect", send);
  }
}

const commands = {
  read: (op) => ["GET", op.key],
  write: (op) => ["SET", op.key, op.value],
  cas: (op) => ["EVAL", CAS, 1, op.key, ...op.value],
};

function outcome(op, sent, error, got) {
  if (error) return sent ? { type: "info", code: 0, text: error } : { type: "fail", code: 11, text: error };
  if (op.f === "read" && (got === null || /^\d+$/.test(got))) return { type: "ok", value: got === null ? null : Number(got) };
  if (op.f === "write" && got === "+OK") return { type: "ok" };
  if (op.f === "cas" && got === ":1") return { type: "ok" };
  if (op.f === "cas" && got === ":0") return { type: "fail", code: 22 };
  if (/^-(READONLY|LOADING)/.test(got)) return { type: "fail", code: 11, text: got };
  return { type: "info", code: 13, text: String(got) };
}

createInterface({ input: process.stdin }).on("line", (line) => {
  const op = JSON.parse(line);
  if (op.hello) {
    for (const n of op.nodes) nodes.set(n.id, { host: n.addr, port: n.ports.client });
    return say({ ready: true, ops: Object.keys(commands) });
  }
  if ("close" in op) {
    for (const c of processes.get(op.close)?.values() ?? []) c.sock?.destroy();
    return processes.delete(op.close);
  }
  if (!commands[op.f]) return say({ id: op.id, type: "fail", code: 10 });
  if (!processes.has(op.p)) processes.set(op.p, new Map());
  const mine = processes.get(op.p);
  if (!mine.has(op.node)) mine.set(op.node, new Redis(nodes.get(op.node)));
  mine.get(op.node).call(op.timeout_ms, commands[op.f](op), (...how) => say({ id: op.id, ...outcome(op, ...how) }));
}).on("close", () => process.exit(0));
