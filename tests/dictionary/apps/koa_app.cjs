// A Koa application that fails in many ways.

const Sentry = require('@sentry/node');
const Koa = require('koa');
const { Router } = require('@koa/router');
const bodyParser = require('koa-bodyparser');
const failures = require('./failures.cjs');
const { choice, describe, noun, number, phrase } = require('./words.cjs');

const own = {
  asserted: context => context.assert(context.state.user, 500, phrase()),
  thrown: context => context.throw(500 + number(4), phrase(), { [noun()]: number() }),
  wrongStatus: context => { context.status = number(90); },
  circularBody: context => { context.body = { context: context.req }; context.length; },
  missingBody: context => context.request.body.customer.email.toLowerCase(),
  missingQuery: context => context.query.filter.split(','),
  missingState: context => context.state.session.user.id,
  missingCookie: context => context.cookies.get(noun()).split('.'),
  wrongRedirect: context => context.redirect({ [noun()]: noun() }),
  signedCookie: context => context.cookies.set(noun(), phrase(), { signed: true }),
};

const app = new Koa();
const router = new Router();
const known = [];
Sentry.setupKoaErrorHandler(app);
app.silent = true;
router.get('/routes', context => { context.body = known; });
app.use(bodyParser());
app.use(async (context, next) => { if (context.path !== '/routes') describe(Sentry); await next(); });
for (const [name, fail] of [...Object.entries(own), ...Object.entries(own), ...Object.entries(failures)]) {
  const method = choice(['get', 'get', 'post', 'put']);
  const path = `${choice(['', '/api', `/v${number(4)}`])}/${noun()}s/:id/${noun()}`;
  const handlers = { async [name](context) { context.body = { done: String(await fail(context)) }; } };
  router[method](path, handlers[name]);
  known.push([method.toUpperCase(), path.replace(':id', '0')]);
}
app.use(router.routes()).use(router.allowedMethods());
app.listen(process.env.PORT, '127.0.0.1');
