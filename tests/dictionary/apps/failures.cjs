// Ways in which programs for Node.js fail with nothing but its own modules: functions by name, some asynchronous.

const assert = require('node:assert');
const buffer = require('node:buffer');
const childProcess = require('node:child_process');
const cryptography = require('node:crypto');
const dns = require('node:dns/promises');
const events = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const stream = require('node:stream/promises');
const { Readable, Writable, Transform } = require('node:stream');
const timers = require('node:timers/promises');
const util = require('node:util');
const vm = require('node:vm');
const worker = require('node:worker_threads');
const zlib = require('node:zlib');
const { choice, chance, noun, verb, person, number, token, phrase, email, host } = require('./words.cjs');

class ProblemError extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = 'ProblemError';
    this.code = choice(['E_LIMIT', 'E_STATE', 'E_INPUT']);
    this.details = { [noun()]: number() };
  }
}

class Thing {
  constructor(name, owner) {
    this.name = name;
    this.owner = owner;
  }

  initials() {
    return this.owner.name.charAt(0).toUpperCase();
  }

  async load() {
    await timers.setTimeout(1);
    return this.rows.map(row => row.id);
  }
}

const gone = () => `http://127.0.0.1:1/${noun()}s/${number()}`;
const sink = () => `http://127.0.0.1:${process.env.SINK_PORT}/${noun()}s/${number()}`;

module.exports = {
  undefinedProperty: () => new Thing(noun()).initials(),
  nullProperty: () => new Thing(noun(), { name: null }).initials(),
  undefinedMap: () => new Thing(noun()).load(),
  notAFunction: () => new Thing(noun()).render(),
  notDefined: () => missingHelper(phrase()),
  notIterable: () => { const [first] = { [noun()]: number() }; return first; },
  notAConstructor: () => new (noun())(),
  constant: () => { const total = number(); total += 1; return total; },
  beforeInitialisation: () => { total += 1; let total = number(); return total; },
  destructured: () => { const { id } = undefined; return id; },
  frozen: () => { 'use strict'; Object.freeze(module.exports).extra = 1; },
  circular: () => { const thing = new Thing(noun()); thing.owner = thing; return JSON.stringify(thing); },
  bigint: () => JSON.stringify({ [noun()]: BigInt(number()) }),
  bigintAndNumber: () => BigInt(number()) + number(),
  jsonSyntax: () => JSON.parse(choice(['', '<!DOCTYPE html>', '{"a": 1,}', `{"${noun()}": tru`, 'undefined', phrase()])),
  invalidDate: () => new Date(phrase()).toISOString(),
  invalidFraction: () => number().toFixed(101 + number(100)),
  invalidLength: () => new Array(-1 - number()),
  invalidRepeat: () => noun().repeat(-1),
  invalidLocale: () => new Intl.NumberFormat(`${noun()}_x`).format(number()),
  invalidCurrency: () => new Intl.NumberFormat('en', { style: 'currency' }).format(number()),
  invalidRegularExpression: () => new RegExp(`(${noun()}|${verb()}`),
  invalidUrl: () => new URL(`/${noun()}s/${number()}`),
  invalidEscape: () => decodeURIComponent(`%E0%A4%${noun()}`),
  invalidScript: () => new vm.Script(`const ${noun()} = ;`).runInThisContext(),
  recursion: () => { const total = left => left + total(left - 1); return total(number()); },
  assertion: () => assert.strictEqual(number(), noun()),
  deepAssertion: () => assert.deepStrictEqual({ [noun()]: number() }, { [noun()]: number() }),
  failedAssertion: () => assert.ok(number() < 0, phrase()),
  missingModule: () => require(`${noun()}-${noun()}`),
  missingFile: () => fs.readFileSync(`/var/lib/${noun()}/${token(8)}.json`),
  missingFileAsync: () => fs.promises.readFile(`/etc/${noun()}/${noun()}.yaml`, 'utf8'),
  missingDirectory: () => fs.promises.readdir(`/data/${noun()}/${number()}`),
  missingStream: () => stream.pipeline(fs.createReadStream(`/data/${noun()}.csv`), new Writable({ write() {} })),
  wrongArgument: () => fs.readFileSync(undefined),
  wrongBuffer: () => Buffer.from(number()),
  outOfRange: () => Buffer.alloc(8).readUInt32LE(6 + number(100)),
  wrongPort: () => net.connect(70000 + number()),
  wrongHash: () => cryptography.createHash(noun()).update(phrase()).digest('hex'),
  wrongUpdate: () => cryptography.createHash('sha256').update(undefined),
  wrongKey: () => cryptography.createCipheriv('aes-256-gcm', token(8), token(12)),
  wrongCiphertext: () => {
    const decipher = cryptography.createDecipheriv('aes-256-cbc', token(32), token(16));
    return Buffer.concat([decipher.update(token(32), 'hex'), decipher.final()]);
  },
  wrongPem: () => cryptography.createPrivateKey(phrase()),
  notCompressed: () => zlib.gunzipSync(Buffer.from(phrase())),
  notCompressedAsync: () => util.promisify(zlib.inflate)(Buffer.from(phrase())),
  refusedFetch: () => fetch(gone(), { method: choice(['GET', 'POST', 'PUT']) }),
  fetchOfHtml: async () => (await fetch(sink(), { method: 'POST' })).json().then(answer => answer.data.items),
  fetchStatus: async () => {
    const response = await fetch(sink(), { method: 'POST', body: JSON.stringify({ [noun()]: number() }) });
    if (!response.ok) throw new Error(`Request failed with status ${response.status}`, { cause: new ProblemError(phrase()) });
  },
  fetchTimeout: () => new Promise((resolve, reject) => {
    const server = net.createServer(() => {}).listen(0, '127.0.0.1', () => {
      const url = `http://127.0.0.1:${server.address().port}/${noun()}`;
      fetch(url, { signal: AbortSignal.timeout(20) }).then(resolve, reject).finally(() => server.close());
    });
    server.unref();
  }),
  fetchAborted: () => {
    const controller = new AbortController();
    const response = fetch(gone(), { signal: controller.signal });
    controller.abort();
    return response;
  },
  fetchOfInvalidUrl: () => fetch(`/${noun()}/${number()}`),
  refusedRequest: () => new Promise((resolve, reject) => { http.get(gone(), resolve).on('error', reject); }),
  invalidHeader: () => http.request(gone(), { headers: { [noun()]: `${noun()}\n${noun()}` } }),
  refusedSocket: () => events.once(net.connect(1, '127.0.0.1'), 'connect'),
  unknownHost: () => dns.lookup(`${host()}.invalid`),
  missingProgram: () => util.promisify(childProcess.execFile)(`${noun()}-${verb()}`, ['--all']),
  failedProgram: () => util.promisify(childProcess.exec)(`exit ${1 + number(3)} # ${phrase()}`),
  failedProgramSync: () => childProcess.execSync(`echo ${noun()} >&2; exit 1`, { stdio: 'pipe' }),
  failedWorker: () => events.once(new worker.Worker(`throw new RangeError('${phrase()}')`, { eval: true }), 'exit'),
  aborted: () => timers.setTimeout(1000, null, { signal: AbortSignal.timeout(5) }),
  chained: () => {
    try {
      return JSON.parse(phrase());
    } catch (error) {
      throw new ProblemError(`could not ${phrase()}`, { cause: error });
    }
  },
  chainedTwice: async () => {
    try {
      await new Thing(noun()).load();
    } catch (error) {
      throw new Error(`no ${noun()} for ${email()}`, { cause: new ProblemError(phrase(), { cause: error }) });
    }
  },
  aggregate: () => Promise.any([Promise.reject(new ProblemError(phrase())), Promise.reject(new TypeError(phrase()))]),
  inATransform: () => stream.pipeline(
    Readable.from([token(8), phrase()]),
    new Transform({ transform(chunk, encoding, done) { done(null, JSON.parse(chunk).id); } }),
    new Writable({ write(chunk, encoding, done) { done(); } }),
  ),
  inAnEmitter: () => {
    const emitter = new events.EventEmitter();
    emitter.on(noun(), thing => thing.owner.name);
    for (const name of emitter.eventNames()) emitter.emit(name, new Thing(noun()));
  },
  emittedError: () => new events.EventEmitter().emit('error', new Error(phrase())),
  emittedObject: () => new events.EventEmitter().emit('error', { [noun()]: phrase() }),
  inATimer: () => new Promise((resolve, reject) => {
    setTimeout(() => { try { resolve(new Thing(noun()).initials()); } catch (error) { reject(error); } }, 1);
  }),
  inASort: () => [{ at: noun() }, {}, { at: noun() }].sort((a, b) => a.at.localeCompare(b.at)),
  inAReduce: () => [].reduce((total, line) => total + line.amount),
  inAMap: () => [{ owner: person() }, null].map(row => row.owner.length),
  allSettled: async () => {
    const results = await Promise.all([noun(), null].map(async name => (await timers.setTimeout(1), name.toUpperCase())));
    return results;
  },
  thrownText: () => { throw `${phrase()} failed`; },
  thrownObject: () => { throw { code: number(600), [noun()]: phrase() }; },
  withFields: () => {
    throw Object.assign(new Error(phrase()), { statusCode: 500 + number(5), [noun()]: { [noun()]: email() }, at: chance() });
  },
  structured: () => structuredClone({ [noun()]: () => number() }),
  wrongTranscode: () => buffer.transcode(Buffer.from(phrase()), 'utf8', noun()),
};
