//! What the applications of the benchmark are made of. `{…}` in a text is filled in anew for each event.

use rand::RngExt as _;
use uuid::Uuid;

use super::Rng;

/// What distinguishes the events of one kind of application.
pub(super) struct Platform {
    /// Sentry's name of it.
    pub(super) name: &'static str,
    pub(super) sdk: &'static str,
    pub(super) runtime: (&'static str, &'static str),
    pub(super) root: &'static str,
    pub(super) extension: &'static str,
    /// The application's own modules, by their paths.
    pub(super) own: &'static [&'static str],
    /// The libraries' modules.
    pub(super) libraries: &'static [&'static str],
    pub(super) functions: &'static [&'static str],
    pub(super) library_functions: &'static [&'static str],
    pub(super) exceptions: &'static [(&'static str, &'static str)],
    pub(super) lines: &'static [&'static str],
}

pub(super) const PLATFORMS: [Platform; 2] = [
    Platform {
        name: "python",
        sdk: "sentry.python.django",
        runtime: ("CPython", "3.12.4"),
        root: "/srv/app/",
        extension: ".py",
        own: &[
            "shop/checkout/views",
            "shop/checkout/services",
            "shop/cart/models",
            "shop/catalog/search",
            "shop/catalog/pricing",
            "shop/accounts/auth",
            "shop/accounts/tasks",
            "shop/orders/workflow",
            "shop/orders/repository",
            "shop/payments/gateway",
            "shop/payments/webhooks",
            "shop/shipping/rates",
            "shop/shipping/labels",
            "shop/mail/delivery",
            "shop/inventory/sync",
            "shop/reports/export",
        ],
        libraries: &[
            "django/core/handlers/base",
            "django/core/handlers/exception",
            "django/db/models/query",
            "django/db/backends/utils",
            "django/views/generic/base",
            "rest_framework/views",
            "celery/app/trace",
            "requests/sessions",
            "requests/adapters",
            "urllib3/connectionpool",
            "redis/connection",
            "psycopg/cursor",
        ],
        library_functions: &[
            "dispatch",
            "get_response",
            "inner",
            "_get_response",
            "execute",
            "send",
            "urlopen",
            "wrapped",
        ],
        functions: &[
            "process_order",
            "apply_discount",
            "charge",
            "load_customer",
            "save",
            "refresh_token",
            "render_invoice",
            "find_rates",
            "reserve_stock",
            "send_confirmation",
            "parse_payload",
            "handle",
            "retry_call",
            "price_cart",
            "settle",
            "validate",
            "fetch_page",
            "commit",
        ],
        exceptions: &[
            ("OperationalError", "connection to server at \"{ip}\", port 5432 failed: Connection refused"),
            (
                "IntegrityError",
                "duplicate key value violates unique constraint \"orders_pkey\": Key (id)=({n}) already exists.",
            ),
            ("KeyError", "'customer_{n}'"),
            ("ValueError", "invalid literal for int() with base 10: '{hex}'"),
            (
                "ConnectionError",
                "HTTPSConnectionPool(host='payments.example.net', port=443): Max retries exceeded with url: /v2/charges/{hex}",
            ),
            ("TimeoutError", "no answer from inventory within {n} ms for request {uuid}"),
            ("PaymentDeclined", "charge ch_{hex} was declined: insufficient_funds"),
            ("AttributeError", "'NoneType' object has no attribute 'address'"),
            ("PermissionDenied", "user {n} may not see order {uuid}"),
            ("TemplateSyntaxError", "could not parse the remainder: '{hex}' from 'invoice.{hex}'"),
        ],
        lines: &[
            "order = self.repository.load(order_id, for_update=True)",
            "return self.session.post(url, json=payload, timeout=self.timeout)",
            "raise PaymentDeclined(charge.failure_message)",
            "total = sum(line.price * line.quantity for line in cart.lines)",
            "with transaction.atomic():",
            "response = get_response(request)",
            "customer = customers[f\"customer_{key}\"]",
            "rates = [rate for rate in carrier.rates(parcel) if rate.available]",
            "return int(value)",
            "connection.execute(statement, parameters)",
        ],
    },
    Platform {
        name: "node",
        sdk: "sentry.javascript.node",
        runtime: ("node", "v20.15.1"),
        root: "/usr/src/app/",
        extension: ".js",
        own: &[
            "src/routes/checkout",
            "src/routes/search",
            "src/routes/session",
            "src/services/billing",
            "src/services/inventory",
            "src/services/mailer",
            "src/services/recommendations",
            "src/models/order",
            "src/models/customer",
            "src/jobs/reindex",
            "src/jobs/cleanup",
            "src/lib/cache",
            "src/lib/http",
            "src/lib/queue",
        ],
        libraries: &[
            "node_modules/express/lib/router/index",
            "node_modules/express/lib/router/layer",
            "node_modules/express/lib/router/route",
            "node_modules/body-parser/lib/read",
            "node_modules/pg/lib/client",
            "node_modules/pg-pool/index",
            "node_modules/ioredis/built/Redis",
            "node_modules/axios/lib/core/dispatchRequest",
            "node:internal/process/task_queues",
            "node:internal/streams/readable",
        ],
        library_functions: &[
            "handle",
            "next",
            "dispatch",
            "Layer.handle_request",
            "processTicksAndRejections",
            "query",
        ],
        functions: &[
            "Order.total",
            "Order.submit",
            "chargeCard",
            "findCustomer",
            "sendMail",
            "Cache.get",
            "Queue.push",
            "fetchJson",
            "parseBody",
            "reindexPage",
            "withRetry",
            "<anonymous>",
            "applyDiscount",
            "Session.refresh",
            "loadCart",
            "priceLines",
        ],
        exceptions: &[
            ("TypeError", "Cannot read properties of undefined (reading 'total')"),
            ("Error", "connect ECONNREFUSED {ip}:6379"),
            ("AxiosError", "Request failed with status code 503 for /v1/customers/{n}"),
            ("RangeError", "Invalid time value: {hex}"),
            ("SyntaxError", "Unexpected token < in JSON at position {n}"),
            ("DatabaseError", "deadlock detected: process {n} waits for ShareLock on transaction {n}"),
            ("ValidationError", "order {uuid} has no shipping address"),
            ("TimeoutError", "job {hex} did not finish within {n} ms"),
        ],
        lines: &[
            "const total = order.lines.reduce((sum, line) => sum + line.price, 0);",
            "return await this.client.query(statement, values);",
            "throw new ValidationError(`order ${order.id} has no shipping address`);",
            "const response = await http.get(`/v1/customers/${id}`);",
            "fn(req, res, next);",
            "await queue.push({ id, attempts: attempts + 1 });",
            "const { data } = await axios.request(options);",
            "if (!customer.address) {",
        ],
    },
];

pub(super) const VARIABLES: [&str; 12] = [
    "order_id", "self", "request", "payload", "url", "timeout", "attempt", "customer", "value", "kwargs",
    "token", "page",
];
pub(super) const VALUES: [&str; 9] = [
    "{n}",
    "'open'",
    "True",
    "None",
    "'{hex}'",
    "<Order: {n}>",
    "{'id': {n}, 'state': 'open'}",
    "'pending'",
    "'https://api.example.net/v2/items/{n}'",
];
pub(super) const CRUMBS: [(&str, &str); 6] = [
    ("query", "SELECT id, state, total FROM orders WHERE customer_id = {n} LIMIT 20"),
    ("http", "GET https://inventory.example.net/v1/stock/{n}"),
    ("redis", "GET session:{hex}"),
    ("auth", "user {n} signed in from {ip}"),
    ("celery", "task send_confirmation[{uuid}] was queued"),
    ("app.checkout", "cart {n} was priced in {n} ms"),
];
pub(super) const MESSAGES: [&str; 5] = [
    "Order %s could not be charged",
    "Giving up on %s after three attempts",
    "Unexpected answer from the payment gateway for %s",
    "Slow response for %s",
    "Could not refresh the prices of %s",
];
pub(super) const PATHS: [&str; 6] = [
    "/checkout/",
    "/api/v1/orders/{n}/",
    "/search",
    "/account/login/",
    "/api/v1/carts/{uuid}/lines",
    "/webhooks/payments",
];
pub(super) const BROWSERS: [(&str, &str, &str); 3] = [
    (
        "Chrome",
        "126.0.0",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    ),
    ("Firefox", "127.0", "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0"),
    (
        "Safari",
        "17.5",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
    ),
];
pub(super) const ENVIRONMENTS: [&str; 4] = ["production", "production", "production", "staging"];
pub(super) const LEVELS: [&str; 6] = ["error", "error", "error", "error", "warning", "fatal"];

/// Fills in what is in braces: `{n}` a number, `{hex}` hex digits, `{uuid}`, `{ip}`. Anything else stays.
pub(super) fn fill(template: &str, rng: &mut Rng) -> String {
    let mut filled = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let Some((name, behind)) = after.split_once('}') else {
            filled.push('{');
            rest = after;
            continue;
        };
        rest = behind;
        match name {
            "n" => filled.push_str(&rng.random_range(1_u32..2_000_000).to_string()),
            "hex" => filled.push_str(&hex(rng)),
            "uuid" => filled.push_str(&Uuid::from_u128(rng.random()).to_string()),
            "ip" => filled.push_str(&ip(rng)),
            _ => {
                filled.push('{');
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    filled
}

fn hex(rng: &mut Rng) -> String {
    format!("{:012x}", rng.random::<u64>() >> 16)
}

pub(super) fn ip(rng: &mut Rng) -> String {
    let bytes: [u8; 3] = rng.random();
    format!("10.{}.{}.{}", bytes[0], bytes[1], bytes[2])
}
