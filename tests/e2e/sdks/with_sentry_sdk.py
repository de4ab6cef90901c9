"""An application with sentry-sdk: it knows the DSN, and nothing else of Mesher. Prints the id of the event it sends."""

import sys

import sentry_sdk


def charge(amount):
    raise ValueError(f"cannot charge {amount}")


sentry_sdk.init(dsn=sys.argv[1], release="shop@1.2.3", environment="test")
sentry_sdk.set_user({"id": "7", "email": "ada@example.com"})
sentry_sdk.set_tag("payment", "card")
sentry_sdk.add_breadcrumb(category="cart", message="put a book into the cart", level="info")
try:
    charge(12)
except ValueError as error:
    print(sentry_sdk.capture_exception(error))
sentry_sdk.flush(timeout=20)
