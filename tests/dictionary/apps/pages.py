#!/usr/bin/env python3
"""Serves a page with a bundled script, and has a browser open it as often as is said: pages.py COUNT BROWSER BUNDLE"""

import json
import pathlib
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from words import NAMES, NOUNS, SEED, VERBS, chance, host, noun, number, phrase, settings, token

FAILURES = 8
FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync --disable-dev-shm-usage --no-proxy-server --dump-dom""".split()
AGENT = "Mozilla/5.0 ({}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 {}Safari/537.36"
SYSTEMS = [
    ("Windows NT 10.0; Win64; x64", ""),
    ("Macintosh; Intel Mac OS X 10_15_7", ""),
    ("X11; Linux x86_64", ""),
    ("Linux; Android 10; K", "Mobile "),
]
# The image keeps the page from being loaded until its script is done.
PAGE = """<!doctype html><meta charset="utf-8"><title>{title}</title><main id="root"></main>
<script>window.given = {given}</script><script src="/assets/{script}"></script><img src="/wait.png" alt="">"""


class Handler(BaseHTTPRequestHandler):
    def answer(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        site = self.server
        path = self.path.partition("?")[0]
        if path == "/assets/" + site.script:
            self.answer(200, "text/javascript", site.bundle)
        elif path == "/wait.png":
            site.done.wait(20)
            self.answer(404, "image/png", b"")
        elif path == "/slow":
            site.done.wait(1)
            self.answer(200, "text/html", b"")
        elif path.startswith(("/missing", "/assets")):
            self.answer(404, "text/html", b"<!doctype html>Not Found")
        else:
            if path == "/done":
                site.done.set()
            self.answer(200, "text/html", site.page)

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(404 if self.path.startswith("/missing") else 200, "text/html", b"<!doctype html>")

    do_PUT = do_POST

    def log_request(self, *_):
        pass


def visit(site, browser, turn):
    options = settings()
    given = {
        "settings": {
            "dsn": options["dsn"],
            "release": options["release"],
            "environment": options["environment"],
            "sendDefaultPii": chance.random() < 0.5,
            **({"tracesSampleRate": 1.0} if turn % 2 else {}),
        },
        "tracing": bool(turn % 2),
        "failures": FAILURES,
        "nouns": chance.sample(NOUNS, 60),
        "verbs": chance.sample(VERBS, 20),
        "names": NAMES,
    }
    site.script = f"{chance.choice(['index', 'main', 'app'])}{chance.choice('.-')}{token(8)}.js"
    site.page = PAGE.format(title=phrase(), given=json.dumps(given), script=site.script).encode()
    site.done.clear()
    url = f"http://{host()}/{noun()}s/{number()}" + chance.choice(["", f"?{noun()}={number()}", f"#{noun()}"])
    system, mobile = chance.choice(SYSTEMS)
    with tempfile.TemporaryDirectory() as directory:
        command = [
            browser,
            *FLAGS,
            f"--user-data-dir={directory}",
            f"--user-agent={AGENT.format(system, 120 + number(30), mobile)}",
        ]
        command += [f"--host-resolver-rules=MAP *.example.* 127.0.0.1:{site.server_port}", url]
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)


def main():
    count, browser, bundle = sys.argv[1:]
    site = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.bundle = pathlib.Path(bundle).read_bytes()
    site.done = threading.Event()
    threading.Thread(target=site.serve_forever, daemon=True).start()
    for turn in range(int(count)):
        visit(site, browser, SEED + turn)


if __name__ == "__main__":
    main()
