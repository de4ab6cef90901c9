"""An aiohttp application that fails in many ways, as server and as client, with an older version of the SDK."""

import asyncio
import os

import aiohttp
import sentry_sdk
from aiohttp import web
from failures import FAILURES, Thing
from sentry_sdk.integrations.aiohttp import AioHttpIntegration
from words import chance, describe, noun, number, phrase, settings

SINK = f"http://127.0.0.1:{os.environ['SINK_PORT']}"


async def refused(request):
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:1/{noun()}s/{number()}") as response:
        return await response.json()


async def error_status(request):
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        await session.post(f"{SINK}/{noun()}s", json={noun(): phrase()})


async def not_json(request):
    async with aiohttp.ClientSession() as session, session.get(f"{SINK}/{noun()}") as response:
        return await response.json()


async def slow(request):
    async with await asyncio.start_server(lambda reader, writer: asyncio.sleep(0.2), "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.02)) as session:
            await session.get(f"http://127.0.0.1:{port}/{noun()}")


async def disconnected(request):
    async def close(reader, writer):
        writer.close()

    async with await asyncio.start_server(close, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        async with aiohttp.ClientSession() as session:
            await session.get(f"http://127.0.0.1:{port}/{noun()}")


async def invalid_url(request):
    async with aiohttp.ClientSession() as session:
        await session.get(f"/{noun()}/{number()}")


async def missing_body(request):
    return (await request.json())["items"][0]


async def missing_form(request):
    return (await request.post())["quantity"]


async def missing_query(request):
    return int(request.query["page"]) / int(request.match_info["size"])


async def missing_key(request):
    return request.app["pool"].acquire()


async def wrong_answer(request):
    return {noun(): number()}


async def unserializable(request):
    return web.json_response({noun(): Thing(noun(), 1), "at": object()})


async def timeout(request):
    async with asyncio.timeout(0.01):
        await asyncio.Event().wait()


async def server_error(request):
    raise web.HTTPServiceUnavailable(reason=noun())


async def many(request):
    async def part(amount):
        await asyncio.sleep(0)
        return number() / amount

    return await asyncio.gather(*(part(amount) for amount in range(3)))


async def in_a_thread(request):
    return await asyncio.to_thread(Thing(noun(), 1).initials)


OWN = [
    refused, error_status, not_json, slow, disconnected, invalid_url, missing_body, missing_form, missing_query, missing_key,
    wrong_answer, unserializable, timeout, server_error, many, in_a_thread,
]  # fmt: skip


@web.middleware
async def begin(request, handler):
    if request.path != "/routes":
        describe(sentry_sdk)
    return await handler(request)


def view(function):
    async def handle(request):
        return web.json_response({"done": str(function())})

    return handle


async def make():
    sentry_sdk.init(**settings(), integrations=[AioHttpIntegration()])
    app = web.Application(middlewares=[begin])
    known = []
    for function in OWN * 2 + [failure for failure in FAILURES if not failure.__name__.startswith("async_")]:
        path, method = f"/{noun()}s/{{number}}/{noun()}", chance.choice(["GET", "GET", "POST", "PUT"])
        app.router.add_route(method, path, function if function in OWN else view(function))
        known.append((method, path.replace("{number}", "0")))

    async def routes(request):
        return web.json_response(known)

    app.router.add_get("/routes", routes)
    return app


if __name__ == "__main__":
    web.run_app(make(), host="127.0.0.1", port=int(os.environ["PORT"]), print=None)
