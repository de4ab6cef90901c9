// Random words and settings for the applications, from the seed in the environment; the words are those of words.py.

const fs = require('node:fs');
const path = require('node:path');

const seed = Number(process.env.SEED ?? 1);

// Mulberry32: the generator of the language takes no seed.
let state = seed;
function chance() {
  state = (state + 0x6d2b79f5) | 0;
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
}

const source = fs.readFileSync(path.join(__dirname, 'words.py'), 'utf8');
const list = name => source.match(new RegExp(`^${name} = """([^"]*)"""`, 'm'))[1].split(/\s+/);
const choice = values => values[Math.floor(chance() * values.length)];
const [nouns, verbs, names] = ['NOUNS', 'VERBS', 'NAMES'].map(list);

const noun = () => choice(nouns);
const verb = () => choice(verbs);
const person = () => choice(names);
const number = (most = 1_000_000) => Math.floor(chance() * most);
const token = (length = 32) => Array.from({ length }, () => number(16).toString(16)).join('');
const phrase = () => `${verb()} ${noun()} ${number(100_000)}`;
const email = () => `${person()}.${noun()}@example.${choice(['com', 'org', 'net'])}`;
const host = () => `${noun()}.example.${choice(['com', 'org', 'net'])}`;
const version = () => `${number(12)}.${number(30)}.${number(20)}`;

// What the application would give to Sentry.init.
function settings() {
  return {
    dsn: process.env.SENTRY_DSN,
    release: choice([`${noun()}@${version()}`, token(40), `${noun()}-${token(8)}`]),
    environment: choice(['production', 'production', 'staging', 'development', 'prod']),
    serverName: choice([`${noun()}-${token(10)}-${token(5)}`, `${noun()}-${number(20)}`, host()]),
    sendDefaultPii: seed % 2 === 0,
    includeLocalVariables: seed % 2 === 1,
    ...[{}, { tracesSampleRate: 1 }, { tracesSampleRate: 0 }][seed % 3],
  };
}

// Says something about the current request or task, as applications do.
function describe(Sentry) {
  if (chance() < 0.5) {
    Sentry.setUser({
      id: String(number()),
      ...(chance() < 0.5 && { email: email() }),
      ...(chance() < 0.5 && { username: person() }),
      ...(chance() < 0.3 && { ip_address: `203.0.113.${number(255)}` }),
    });
  }
  for (let left = number(3); left > 0; left--) Sentry.setTag(noun(), choice([noun(), String(number()), token(8)]));
  if (chance() < 0.3) Sentry.setContext(noun(), { [noun()]: number(), [noun()]: phrase(), [noun()]: chance() < 0.5 });
  if (chance() < 0.2) Sentry.setExtra(noun(), { [noun()]: number() });
  for (let left = number(5); left > 0; left--) {
    choice([console.log, console.log, console.info, console.warn, console.error])(`${noun()}: ${phrase()}`);
  }
  if (chance() < 0.3) {
    Sentry.addBreadcrumb({ category: noun(), message: phrase(), level: 'info', data: { [noun()]: number() } });
  }
}

module.exports = {
  chance, choice, noun, verb, person, number, token, phrase, email, host, version, settings, describe,
};
