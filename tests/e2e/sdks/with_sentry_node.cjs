// An application with @sentry/node: see with_sentry_sdk.py.

const Sentry = require('@sentry/node');

function charge(amount) {
  throw new TypeError(`cannot charge ${amount}`);
}

Sentry.init({ dsn: process.argv[2], release: 'shop@1.2.3', environment: 'test' });
Sentry.setUser({ id: '7', email: 'ada@example.com' });
Sentry.setTag('payment', 'card');
Sentry.addBreadcrumb({ category: 'cart', message: 'put a book into the cart', level: 'info' });
try {
  charge(12);
} catch (error) {
  console.log(Sentry.captureException(error));
}
Sentry.close(20000);
