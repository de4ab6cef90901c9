// Starts the SDK; loaded before the application, as its manual says.

const Sentry = require('@sentry/node');
const { settings } = require('./words.cjs');

Sentry.init(settings());
