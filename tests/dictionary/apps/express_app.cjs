// An Express application that fails in many ways. It uses axios as such applications do.

const Sentry = require('@sentry/node');
const axios = require('axios');
const express = require('express');
const failures = require('./failures.cjs');
const { choice, describe, noun, number, person, phrase, email } = require('./words.cjs');

const sink = () => `http://127.0.0.1:${process.env.SINK_PORT}/${noun()}s`;

const own = {
  refusedAxios: () => axios.get(`http://127.0.0.1:1/${noun()}s/${number()}`, { params: { page: number(9) } }),
  axiosStatus: () => axios.post(sink(), { [noun()]: phrase(), email: email() }, { headers: { 'X-Trace': noun() } }),
  axiosTimeout: () => axios.get('http://192.0.2.1/', { timeout: 30 }),
  axiosInvalid: () => axios.create({ baseURL: `${noun()}://${noun()}` }).delete(`/${number()}`),
  axiosChained: async () => {
    try {
      await own.axiosStatus();
    } catch (error) {
      throw new Error(`${noun()} is not available`, { cause: error });
    }
  },
  sentHeaders: (request, response) => { response.end('{}'); response.status(500).json({ [noun()]: number() }); },
  wrongStatus: (request, response) => response.status(phrase()).send(noun()),
  wrongHeader: (request, response) => response.setHeader(noun(), undefined),
  missingView: (request, response) => response.render(`${noun()}/${noun()}`, { title: phrase() }),
  circularAnswer: (request, response) => response.json(request.socket),
  missingBody: request => request.body.customer.email.toLowerCase(),
  missingQuery: request => request.query.filter.split(',').map(Number),
  missingLocal: (request, response) => response.locals.session.user.id,
  nextError: (request, response, next) => next(new TypeError(phrase())),
  captured: (request, response) => {
    Sentry.withScope(scope => {
      scope.setTag(noun(), noun()).setLevel(choice(['warning', 'error', 'fatal'])).setExtra(noun(), { [noun()]: number() });
      Sentry.captureException(new RangeError(phrase()));
    });
    response.json({});
  },
  message: (request, response) => { Sentry.captureMessage(phrase(), choice(['info', 'warning', 'error'])); response.json({}); },
};

const app = express();
const known = [];
app.get('/routes', (request, response) => response.json(known));
app.use(express.json(), express.urlencoded({ extended: true }));
app.use((request, response, next) => { describe(Sentry); next(); });
for (const [name, fail] of [...Object.entries(own), ...Object.entries(own), ...Object.entries(failures)]) {
  const method = choice(['get', 'get', 'post', 'put', 'delete']);
  const path = `/${noun()}s/:id/${noun()}`;
  const handle = { async [name](request, response, next) { response.json({ done: await fail(request, response, next) }); } };
  if (number(2)) {
    const router = express.Router({ mergeParams: true });
    const version = `/api/v${1 + number(3)}`;
    router[method](path, handle[name]);
    app.use(version, router);
    known.push([method.toUpperCase(), version + path.replace(':id', '0')]);
  } else {
    app[method](path, handle[name]);
    known.push([method.toUpperCase(), path.replace(':id', '0')]);
  }
}
Sentry.setupExpressErrorHandler(app);
app.use((error, request, response, next) => {
  if (response.headersSent) return next(error);
  return response.status(500).json({ message: `sorry, ${person()}` });
});
app.listen(process.env.PORT, '127.0.0.1');
