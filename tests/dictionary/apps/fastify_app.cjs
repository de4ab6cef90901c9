// A Fastify application that fails in many ways, among them those of its validation of JSON.

const Sentry = require('@sentry/node');
const fastify = require('fastify');
const failures = require('./failures.cjs');
const { choice, describe, noun, number, phrase } = require('./words.cjs');

const app = fastify({ logger: false });

const own = {
  sentTwice: (request, reply) => { reply.send({}); reply.send({ [noun()]: number() }); },
  wrongStatus: (request, reply) => reply.code(number(90)).send({}),
  wrongPayload: (request, reply) => reply.type('text/plain').send({ [noun()]: number() }),
  wrongHeader: (request, reply) => reply.header(noun(), undefined).raw.setHeader(noun(), undefined),
  missingBody: request => request.body.customer.email.toLowerCase(),
  missingQuery: request => request.query.filter.split(','),
  missingDecorator: request => request.session.user.id,
  withStatus: () => { throw Object.assign(new Error(phrase()), { statusCode: 502 }); },
  injected: async () => (await app.inject({ url: `/${noun()}` })).json().items.map(item => item.id),
  message: () => { Sentry.captureMessage(phrase(), choice(['info', 'warning', 'error'])); return {}; },
};

const known = [];
app.get('/routes', async () => known);
app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, async (request, body) => ({ body }));
app.addHook('preHandler', async request => { if (request.url !== '/routes') describe(Sentry); });
if (Sentry.setupFastifyErrorHandler) Sentry.setupFastifyErrorHandler(app);
for (const [name, fail] of [...Object.entries(own), ...Object.entries(own), ...Object.entries(failures)]) {
  const method = choice(['GET', 'GET', 'POST', 'PUT']);
  const path = `${choice(['', '/api', `/v${number(4)}`])}/${noun()}s/:id/${noun()}/${known.length}`;
  const handlers = { async [name](request, reply) { return { done: String(await fail(request, reply)) }; } };
  app.route({ method, url: path, handler: handlers[name] });
  known.push([method, path.replace(':id', '0')]);
}
app.listen({ port: process.env.PORT, host: '127.0.0.1' });
