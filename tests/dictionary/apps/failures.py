"""Ways in which Python programs fail with nothing but the standard library: a list of functions, FAILURES."""

import ast
import asyncio
import base64
import collections
import concurrent.futures
import configparser
import csv
import dataclasses
import datetime
import decimal
import email.utils
import enum
import gzip
import http.client
import importlib
import io
import ipaddress
import json
import logging
import os
import pathlib
import pickle
import queue
import re
import shutil
import socket
import sqlite3
import statistics
import string
import struct
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
import uuid
import xml.etree.ElementTree
import zipfile
import zoneinfo

import sentry_sdk
from words import chance, host, noun, number, person, phrase, token, verb
from words import email as address

FAILURES = []
log = logging.getLogger(f"{noun()}.{noun()}")


def failure(function):
    FAILURES.append(function)
    return function


class ProblemError(Exception):
    def __init__(self, message, code=None):
        super().__init__(message)
        self.code = code


class State(enum.Enum):
    OPEN = "open"
    CLOSED = "closed"


@dataclasses.dataclass
class Thing:
    name: str
    size: int
    owner: str | None = None

    def share(self, parts):
        return self.size / parts

    def initials(self):
        return self.owner.strip()[0].upper()


def database():
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, size INTEGER)")
    connection.execute("INSERT INTO things VALUES (1, ?, ?)", (noun(), number()))
    return connection


@failure
def missing_key():
    cache = {noun(): number() for _ in range(5)}
    return cache[f"{noun()}-{number()}"]


@failure
def division():
    return Thing(noun(), number()).share(0)


@failure
def none_attribute():
    return Thing(noun(), number()).initials()


@failure
def index():
    rows = [noun() for _ in range(number(6))]
    return rows[len(rows) + number(3)]


@failure
def not_a_number():
    quantities = [str(number()), f"{number()} {noun()}", ""]
    return sum(map(int, quantities))


@failure
def float_from_text():
    return float(f"{number()},{number(99)}")


@failure
def wrong_types():
    return noun() + number()


@failure
def wrong_arguments():
    return Thing(noun(), number(), person(), verb())


@failure
def unexpected_keyword():
    return Thing(name=noun(), size=1, **{noun() + "_id": number()})


@failure
def not_callable():
    handlers = {"start": None}
    return handlers["start"](phrase())


@failure
def json_syntax():
    return json.loads(chance.choice(["", "<!doctype html>", '{"a": 1,}', '{"%s": tru' % noun()]))


@failure
def json_of_object():
    return json.dumps({noun(): Thing(noun(), 1), "at": datetime.datetime.now()})


@failure
def bad_decimal():
    return decimal.Decimal(f"{number()}.{number(99)} EUR").quantize(decimal.Decimal("0.01"))


@failure
def bad_date():
    return datetime.datetime.fromisoformat(f"{number(31)}.{number(12)}.2026")


@failure
def bad_date_format():
    return datetime.datetime.strptime(f"2026-{number(12) + 1:02}-{number(27) + 1:02}", "%d/%m/%Y")


@failure
def naive_and_aware():
    return datetime.datetime.now(datetime.timezone.utc) - datetime.datetime(2026, 1, 1 + number(28))


@failure
def unknown_zone():
    return zoneinfo.ZoneInfo(f"Europe/{noun().title()}")


@failure
def bad_enum():
    return State(noun())


@failure
def bad_uuid():
    return uuid.UUID(token(20))


@failure
def bad_address():
    return ipaddress.ip_address(f"10.0.{number(255)}.{256 + number(99)}")


@failure
def bad_utf8():
    return (noun().encode() + b"\xff\xfe" + token(8).encode()).decode()


@failure
def bad_ascii():
    return f"{person()} Müller {noun()}".encode("ascii")


@failure
def bad_base64():
    return base64.b64decode(token(7))


@failure
def bad_struct():
    return struct.unpack(">IHB", token(4).encode())


@failure
def bad_pickle():
    return pickle.loads(token(20).encode())


@failure
def bad_gzip():
    return gzip.decompress(phrase().encode())


@failure
def bad_zip():
    return zipfile.ZipFile(io.BytesIO(phrase().encode()))


@failure
def bad_xml():
    return xml.etree.ElementTree.fromstring(f"<{noun()}><{noun()}></{noun()}>")


@failure
def bad_regex():
    return re.compile(f"({noun()}|{verb()}")


@failure
def bad_config():
    parser = configparser.ConfigParser()
    parser.read_string(f"[{noun()}]\n{noun()} = {number()}")
    return parser.get(noun() + "s", "timeout")


@failure
def bad_csv():
    rows = csv.DictReader(io.StringIO(f"{noun()},{noun()}\n{number()},{number()}\n"))
    return [int(row["total"]) for row in rows]


@failure
def bad_template():
    return string.Template("Dear $name, your $thing").substitute(name=person())


@failure
def bad_format():
    return "%s: %d" % (noun(), phrase())


@failure
def bad_literal():
    return ast.literal_eval(f"{noun()}(")


@failure
def bad_mean():
    return statistics.mean([])


@failure
def missing_file():
    return pathlib.Path(f"/var/lib/{noun()}/{token(8)}.csv").read_text()


@failure
def not_permitted_directory():
    return os.listdir(f"/srv/{noun()}/{token(6)}")


@failure
def file_is_directory():
    with tempfile.TemporaryDirectory(prefix=noun()) as directory:
        return open(directory, "w")


@failure
def missing_copy():
    return shutil.copyfile(f"/data/{noun()}/{number()}.pdf", "/dev/null")


@failure
def missing_program():
    return subprocess.run([f"{noun()}-{verb()}", "--all"], check=True)


@failure
def failed_program():
    return subprocess.run(["false", phrase()], check=True)


@failure
def slow_program():
    return subprocess.run(["sleep", "5"], timeout=0.01)


@failure
def missing_module():
    return importlib.import_module(f"{noun()}_{noun()}.{verb()}")


@failure
def missing_attribute_of_module():
    return getattr(email.utils, f"{verb()}_{noun()}")


@failure
def missing_table():
    return database().execute(f"SELECT * FROM {noun()}s WHERE id = ?", (number(),)).fetchone()


@failure
def not_unique():
    connection = database()
    for _ in range(2):
        connection.execute("INSERT INTO things (name) VALUES (?)", (address(),)) if number(2) else None
        connection.execute("INSERT INTO things (id, name) VALUES (1, ?)", (noun(),))


@failure
def not_null():
    database().execute("INSERT INTO things (name, size) VALUES (?, ?)", (None, number()))


@failure
def bad_sql():
    database().execute(f"SELEC name FROM things WHERE {noun()} = {number()}")


@failure
def bad_binding():
    database().execute("SELECT * FROM things WHERE id = ? AND name = ?", (number(),))


@failure
def refused_connection():
    return socket.create_connection(("127.0.0.1", 1), timeout=1)


@failure
def refused_request():
    return urllib.request.urlopen(f"http://127.0.0.1:1/{noun()}s/{number()}", timeout=1)


@failure
def refused_http():
    connection = http.client.HTTPConnection("127.0.0.1", 1, timeout=1)
    connection.request("POST", f"/{noun()}s", json.dumps({noun(): number()}))


@failure
def unknown_host():
    return socket.getaddrinfo(f"{host()}.invalid", 443)


@failure
def bad_url():
    return urllib.request.urlopen(f"{noun()}://{host()}/{noun()}")


@failure
def slow_socket():
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname(), timeout=0.01) as client:
            return client.recv(100)


@failure
def chained():
    try:
        return {noun(): 1}[token(6)]
    except KeyError as error:
        raise ProblemError(f"no such {noun()}: {number()}", code=number(600)) from error


@failure
def failed_while_handling():
    try:
        return json.loads(phrase())
    except ValueError:
        return Thing(noun(), number()).initials()


@failure
def chained_twice():
    try:
        chained()
    except ProblemError as error:
        raise RuntimeError(f"could not {phrase()}") from error


@failure
def in_a_pool():
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda amount: 100 // amount, [number() + 1, 0]))


@failure
def pool_timeout():
    return concurrent.futures.Future().result(timeout=0.01)


@failure
def in_a_thread():
    thread = threading.Thread(target=wrong_types, name=f"{noun()}-{number(9)}")
    thread.start()
    thread.join()


@failure
def async_timeout():
    async def wait():
        async with asyncio.timeout(0.01):
            await asyncio.sleep(1)

    with asyncio.Runner() as runner:
        runner.run(wait())


@failure
def async_group():
    async def wait(seconds):
        await asyncio.sleep(seconds)
        raise ProblemError(phrase())

    async def both():
        async with asyncio.TaskGroup() as group:
            group.create_task(wait(0.001))
            group.create_task(wait(0.001))

    with asyncio.Runner() as runner:
        runner.run(both())


@failure
def empty_queue():
    return queue.Queue().get(timeout=0.01)


@failure
def changed_while_iterating():
    stock = collections.Counter(noun() for _ in range(5))
    for name in stock:
        stock[name + "s"] += 1


@failure
def stop_iteration():
    return next(thing for thing in [Thing(noun(), 1)] if thing.size > 10)


@failure
def unpacking():
    name, amount = f"{noun()}:{number()}:{noun()}".split(":")


@failure
def not_implemented():
    raise NotImplementedError(f"{verb()}_{noun()}")


@failure
def assertion():
    total = number()
    assert total < 0, f"{noun()} is {total}"


@failure
def noted():
    error = ValueError(f"cannot {phrase()}")
    error.add_note(f"{noun()} {number()}")
    raise error


@failure
def unbound():
    if not number():
        total = 1
    return total


@failure
def undefined():
    return missing_helper(phrase())  # noqa: F821


@failure
def logged_error():
    log.error("could not %s of %s", phrase(), person(), extra={noun(): number(), noun(): phrase()})


@failure
def logged_exception():
    try:
        missing_key()
    except KeyError:
        log.exception("%s failed for %s", noun(), address())


@failure
def logged_critical():
    log.critical("%s: out of %s (%d of %d)", noun(), noun(), number(), number())


@failure
def captured():
    try:
        not_unique()
    except sqlite3.Error as error:
        sentry_sdk.capture_exception(error)


@failure
def message():
    sentry_sdk.capture_message(f"{phrase()}: {noun()}", level=chance.choice(["info", "warning", "error"]))


@failure
def message_in_scope():
    with sentry_sdk.new_scope() as scope:
        scope.fingerprint = [noun(), "{{ default }}"]
        scope.set_extra(noun(), {noun(): [number() for _ in range(3)]})
        sentry_sdk.capture_exception(ProblemError(phrase()))
