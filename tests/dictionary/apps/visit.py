#!/usr/bin/env python3
"""Starts an application that serves HTTP, and visits it as browsers and other clients do: visit.py COUNT COMMAND...

The application listens on $PORT; GET /routes answers with a list of methods and paths, in which `0` stands for a number.
"""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
import urllib.parse

from words import SEED, chance, email, host, noun, number, person, phrase, token, version

BROWSERS = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{0}.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{0}.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{0}.0.0.0 Safari/537.36 Edg/{0}.0.0.0",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{0}.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:{0}.0) Gecko/20100101 Firefox/{0}.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{0}.0) Gecko/20100101 Firefox/{0}.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
]
PROGRAMS = [
    "curl/8.14.1", "python-requests/2.32.5", "okhttp/4.12.0", "axios/1.12.2", "Go-http-client/1.1", "node", "undici",
    "PostmanRuntime/7.48.0", "kube-probe/1.33", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
]  # fmt: skip
LANGUAGES = [
    "en-US,en;q=0.9",
    "en-GB,en;q=0.5",
    "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7",
    "fr-FR,fr;q=0.9",
    "es-ES,es;q=0.9",
]


def headers_of_browser(site):
    agent = chance.choice(BROWSERS).format(120 + number(30))
    headers = {"Host": site, "Connection": chance.choice(["keep-alive", "close"])}
    if "Chrome" in agent and chance.random() < 0.7:
        major = agent.split("Chrome/")[1].split(".")[0]
        headers["Sec-Ch-Ua"] = f'"Chromium";v="{major}", "Google Chrome";v="{major}", "Not_A Brand";v="99"'
        headers["Sec-Ch-Ua-Mobile"] = "?1" if "Mobile" in agent else "?0"
        headers["Sec-Ch-Ua-Platform"] = chance.choice(['"Windows"', '"macOS"', '"Linux"', '"Android"'])
    if chance.random() < 0.4:
        headers |= {"Cache-Control": "max-age=0", "Upgrade-Insecure-Requests": "1"}
    headers["User-Agent"] = agent
    headers["Accept"] = chance.choice(
        [
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "application/json, text/plain, */*",
            "application/json",
            "*/*",
        ]
    )
    if chance.random() < 0.7:
        headers["Sec-Fetch-Site"] = chance.choice(["same-origin", "none", "same-site"])
        headers["Sec-Fetch-Mode"] = chance.choice(["navigate", "cors"])
        headers["Sec-Fetch-Dest"] = chance.choice(["document", "empty"])
    if chance.random() < 0.6:
        headers["Referer"] = f"https://{site}/{noun()}s?{noun()}={number()}"
    headers["Accept-Encoding"] = chance.choice(["gzip, deflate, br, zstd", "gzip, deflate, br", "gzip, deflate"])
    headers["Accept-Language"] = chance.choice(LANGUAGES)
    if chance.random() < 0.5:
        cookies = {
            "csrftoken": token(32),
            "sessionid": token(32),
            "_ga": f"GA1.1.{number()}.{number()}",
            noun(): token(12),
        }
        headers["Cookie"] = (
            "; ".join(f"{name}={value}" for name, value in cookies.items() if chance.random() < 0.6) or "a=1"
        )
    return headers


def headers_of_program(site):
    headers = {"Host": site, "User-Agent": chance.choice(PROGRAMS), "Accept": "*/*"}
    if chance.random() < 0.5:
        headers["Accept-Encoding"] = "gzip, deflate"
        headers["Connection"] = "keep-alive"
    if chance.random() < 0.5:
        headers["Authorization"] = f"Bearer {token(40)}"
    return headers


def headers_of_proxies(site):
    client = f"{chance.choice(['203.0.113', '198.51.100', '192.0.2'])}.{number(255)}"
    headers = {
        "X-Forwarded-For": client,
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": site,
        "X-Forwarded-Port": "443",
        "X-Real-Ip": client,
        "X-Request-Id": chance.choice([token(32), f"{token(8)}-{token(4)}-{token(4)}-{token(4)}-{token(12)}"]),
        "Traceparent": f"00-{token(32)}-{token(16)}-01",
        "Via": "1.1 google",
        "Cf-Ray": f"{token(16)}-FRA",
        "Cf-Connecting-Ip": client,
    }
    return {name: value for name, value in headers.items() if chance.random() < 0.4}


def visit(port, method, path):
    site = host()
    browser = chance.random() < 0.7
    headers = (headers_of_browser if browser else headers_of_program)(site)
    if chance.random() < 0.7:
        headers |= headers_of_proxies(site)
    path = path.replace("/0", f"/{number() + 1}")
    if chance.random() < 0.4:
        query = {noun(): str(number()), "page": str(number(50)), "q": phrase(), "sort": noun()}
        path += "?" + urllib.parse.urlencode({key: query[key] for key in query if chance.random() < 0.6})
    body = None
    if method != "GET":
        fields = {noun(): number(), "email": email(), "name": person(), noun(): phrase(), "version": version()}
        form = chance.random() < 0.3
        headers["Content-Type"] = "application/x-www-form-urlencoded" if form else "application/json"
        body = urllib.parse.urlencode(fields) if form else json.dumps(fields)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, headers)
        connection.getresponse().read()
    except (OSError, http.client.HTTPException) as error:
        print(f"visit: {method} {path}: {error!r}", file=sys.stderr)
    finally:
        connection.close()


class Server:
    """The application; it is started again when it has ended, as some failures have it."""

    def __init__(self, command):
        self.command = command
        self.starts = 0
        self.start()

    def start(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        environment = os.environ | {"PORT": str(self.port), "SEED": str(SEED + 1000 * self.starts)}
        self.process = subprocess.Popen(
            [word.replace("$PORT", str(self.port)) for word in self.command], env=environment
        )
        self.starts += 1
        self.routes = self.wait_for_routes()

    def wait_for_routes(self):
        for _ in range(300):
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
                connection.request("GET", "/routes")
                return json.load(connection.getresponse())
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.1)
        sys.exit("visit: the application does not serve")

    def stop(self):
        self.process.terminate()
        self.process.wait()


def main():
    count = int(sys.argv[1])
    server = Server(sys.argv[2:])
    try:
        order = list(range(len(server.routes)))
        chance.shuffle(order)
        for turn in range(count):
            visit(server.port, *server.routes[order[turn % len(order)]])
            time.sleep(0.05)
            if server.process.poll() is not None:
                server.start()
        time.sleep(2)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
