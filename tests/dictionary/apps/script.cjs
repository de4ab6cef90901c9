// A program run from the command line, with an older version of the SDK: failures are captured, or nobody handles them.

const childProcess = require('node:child_process');
const Sentry = require('@sentry/node');
const failures = require('./failures.cjs');
const { choice, describe, noun, number, phrase } = require('./words.cjs');

const ways = {
  captured: async fail => {
    try {
      await fail();
    } catch (error) {
      Sentry.captureException(error, { tags: { [noun()]: noun() }, extra: { [noun()]: phrase() } });
    }
  },
  inAScope: fail => Sentry.withScope(async scope => {
    scope.setLevel(choice(['fatal', 'warning', 'error'])).setFingerprint([noun(), String(number())]);
    try {
      await fail();
    } catch (error) {
      Sentry.captureException(error);
    }
  }),
  inASpan: fail => Sentry.startSpan({ name: `${noun()} ${noun()}`, op: 'task' }, fail),
  rejected: fail => { Promise.resolve().then(fail); },
  uncaught: fail => { setImmediate(fail); },
  message: () => Sentry.captureMessage(phrase(), choice(['info', 'warning', 'error'])),
};

async function run() {
  describe(Sentry);
  const names = Object.keys(ways);
  // A message is rarer.
  await ways[names[number(names.length * 4) % (number(4) ? names.length - 1 : names.length)]](choice(Object.values(failures)));
  setTimeout(() => Sentry.close(2000), 100);
}

if (process.env.COUNT) {
  const seed = Number(process.env.SEED);
  const { COUNT: count, ...env } = process.env;
  for (let run = 0; run < count; run++) {
    const child = { ...env, SEED: String(seed + 1000 * run) };
    childProcess.spawnSync(process.execPath, ['-r', './instrument.cjs', __filename], { env: child, stdio: 'inherit', timeout: 20_000, killSignal: 'SIGKILL' });
  }
} else {
  run();
}
