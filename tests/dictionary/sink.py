#!/usr/bin/env python3
"""A server that takes what Sentry SDKs send, and keeps the JSON of every event in a file of its own.

The DSN http://key@127.0.0.1:PORT/NAME/1 leads to files NAME/00001.json, NAME/00002.json, ... in the directory. Only
envelope items of type `event` and bodies of /store/ are kept, byte for byte but for --replace. The port is written to
the file `port` in the directory once the server listens.
"""

import argparse
import base64
import gzip
import itertools
import json
import pathlib
import random
import re
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

try:
    import brotli
except ImportError:
    brotli = None

ENDPOINT = re.compile(r"/([\w-]+)/api/\d+/(envelope|store)/")


def decoded(body, encoding):
    match encoding:
        case "gzip":
            return gzip.decompress(body)
        case "deflate":
            return zlib.decompress(body)
        case "br":
            return brotli.decompress(body)
        case "" | "identity":
            # The oldest clients call their deflated text plain.
            return body if body[:1] in b"{" else zlib.decompress(base64.b64decode(body))
    raise ValueError(f"unknown encoding: {encoding}")


def items(envelope):
    """The items of an envelope: the type and the payload of each."""
    _, _, rest = envelope.partition(b"\n")
    while rest.strip():
        line, _, rest = rest.lstrip(b"\n").partition(b"\n")
        header = json.loads(line)
        length = header.get("length", rest.find(b"\n"))
        payload, rest = (rest, b"") if length < 0 else (rest[:length], rest[length:])
        yield header["type"], payload


class Corpus:
    def __init__(self, directory, replacements):
        self.directory = directory
        self.replacements = [
            (re.compile(pattern.encode()), [text.encode() for text in texts]) for pattern, *texts in replacements
        ]
        self.lock = threading.Lock()
        self.numbers = {}

    def keep(self, name, event):
        json.loads(event)
        for pattern, texts in self.replacements:
            text = random.choice(texts)
            event = pattern.sub(text, event)
        with self.lock:
            number = next(self.numbers.setdefault(name, itertools.count(1)))
        path = self.directory / name / f"{number:05}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(event)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def answer(self, status, body=b"{}"):
        self.send_response(status)
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Access-Control-Allow-Headers", "*")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_OPTIONS(self):
        self.answer(200, b"")

    # Some applications ask for what is not there.
    def do_GET(self):
        self.answer(404)

    def do_POST(self):
        body = self.body()
        endpoint = ENDPOINT.match(self.path)
        if not endpoint:
            return self.answer(404)
        name, kind = endpoint.groups()
        try:
            body = decoded(body, self.headers.get("Content-Encoding", ""))
            for item_type, payload in [("event", body)] if kind == "store" else items(body):
                if item_type == "event":
                    self.server.corpus.keep(name, payload)
        except Exception as error:
            self.log_error("%s: not understood: %r", self.path, error)
            return self.answer(400)
        self.answer(200)

    def log_request(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument(
        "--replace",
        nargs="+",
        action="append",
        default=[],
        metavar=("PATTERN", "TEXT"),
        help="put one of the texts, chosen anew for every event, in the place of what matches",
    )
    arguments = parser.parse_args()
    random.seed(1)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.corpus = Corpus(arguments.directory, arguments.replace)
    (arguments.directory / "port").write_text(str(server.server_port))
    server.serve_forever()


if __name__ == "__main__":
    main()
