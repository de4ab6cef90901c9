// A page of plain JavaScript with @sentry/browser.

import * as Sentry from '@sentry/browser';
import { failures, run } from './page_failures.js';

const tracing = window.given.tracing ? [Sentry.browserTracingIntegration()] : [];
Sentry.init({ ...window.given.settings, integrations: tracing });
run(Sentry, failures);
