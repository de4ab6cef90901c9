"""An application with raven, the SDK before sentry-sdk: see with_sentry_sdk.py."""

import sys

from raven import Client
from raven.transport.http import HTTPTransport


def charge(amount):
    raise ValueError(f"cannot charge {amount}")


client = Client(sys.argv[1], release="shop@1.2.3", environment="test", transport=HTTPTransport)
client.user_context({"id": "7", "email": "ada@example.com"})
client.tags_context({"payment": "card"})
client.captureBreadcrumb(category="cart", message="put a book into the cart", level="info")
try:
    charge(12)
except ValueError:
    print(client.captureException())
