"""A program run from the command line: every failure ends a process of its own, or is logged."""

import logging
import os
import sys

import sentry_sdk
from failures import FAILURES
from words import chance, describe, noun, number, phrase, settings, verb


def main():
    function = chance.choice(FAILURES)
    logging.basicConfig(level=logging.INFO, stream=sys.stdout)
    sys.argv += chance.sample([f"--{noun()}={number()}", "--verbose", noun(), "--dry-run"], number(4))
    sentry_sdk.init(**settings())
    describe(sentry_sdk)
    log = logging.getLogger(chance.choice([noun(), f"{noun()}.{verb()}", "__main__"]))
    match number(3):
        case 0:
            with sentry_sdk.start_transaction(op="task", name=f"{verb()}_{noun()}"):
                function()
        case 1:
            try:
                function()
            except Exception:
                log.exception("could not %s", phrase(), extra={noun(): noun()})
        case 2:
            function()


# Each failure is one of a process of its own, as the last one ends it.
for _ in range(int(os.environ.get("COUNT", "1"))):
    child = os.fork()
    if not child:
        chance.seed(os.getpid())
        main()
        sys.exit()
    os.waitpid(child, 0)
