"""A FastAPI application that fails in many ways, with Pydantic, SQLAlchemy, HTTPX and asyncio."""

import asyncio
import os

import fastapi
import httpx
import pydantic
import sentry_sdk
import sqlalchemy
from failures import FAILURES, Thing
from fastapi import responses
from sqlalchemy import orm
from words import chance, describe, email, noun, number, person, phrase, settings, token

sentry_sdk.init(**settings())


async def begin(request: fastapi.Request):
    describe(sentry_sdk)


app = fastapi.FastAPI(title=noun())
engine = sqlalchemy.create_engine(
    "sqlite://", poolclass=sqlalchemy.pool.StaticPool, connect_args={"check_same_thread": False}
)
SINK = f"http://127.0.0.1:{os.environ['SINK_PORT']}"


class Base(orm.DeclarativeBase):
    pass


class Row(Base):
    __tablename__ = noun() + "s"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(unique=True)


Base.metadata.create_all(engine)


class Address(pydantic.BaseModel):
    street: str
    zip: int


class Customer(pydantic.BaseModel):
    name: str
    age: int = pydantic.Field(ge=0)
    addresses: list[Address]

    @pydantic.field_validator("name")
    @classmethod
    def long_enough(cls, name):
        if len(name) < 20:
            raise ValueError(f"{name} is too short")
        return name


async def invalid():
    return Customer(name=person(), age=-1, addresses=[{"street": noun()}])


async def invalid_json():
    return Customer.model_validate_json(f'{{"name": "{noun()}", ')


async def invalid_list():
    return pydantic.TypeAdapter(list[int]).validate_python([number(), noun()])


async def wrong_answer() -> Customer:
    return {"name": noun(), "age": str(number())}


async def unserializable():
    return {noun(): Thing, "items": iter([object()])}


async def no_row():
    with orm.Session(engine) as session:
        return session.scalars(sqlalchemy.select(Row).where(Row.name == noun())).one()


async def same_name():
    with orm.Session(engine) as session, session.begin():
        session.add_all([Row(name="same"), Row(name="same")])


def no_name():
    with orm.Session(engine) as session:
        session.add(Row(id=number()))
        session.commit()


def bad_statement():
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(f"INSERT INTO {noun()}_log VALUES (:name)"), {"name": phrase()})


async def refused():
    async with httpx.AsyncClient(base_url="http://127.0.0.1:1") as client:
        return (await client.get(f"/{noun()}s/{number()}", params={noun(): number()})).json()


async def error_status():
    async with httpx.AsyncClient() as client:
        (await client.post(f"{SINK}/{noun()}s", json={noun(): phrase()})).raise_for_status()


def error_status_sync():
    httpx.post(f"{SINK}/{noun()}/{number()}", data={noun(): phrase()}).raise_for_status()


async def slow_request():
    async with await asyncio.start_server(lambda reader, writer: asyncio.sleep(0.2), "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        async with httpx.AsyncClient(timeout=0.02) as client:
            await client.get(f"http://127.0.0.1:{port}/{noun()}")


async def unknown_protocol():
    return httpx.get(f"{noun()}://{noun()}.example.com")


async def wrong_url():
    return httpx.get(f"/{noun()}/{number()}")


async def timeout():
    await asyncio.wait_for(asyncio.sleep(5), timeout=0.01)


async def group():
    async def part():
        await asyncio.sleep(0)
        raise ValueError(phrase())

    async with asyncio.TaskGroup() as tasks:
        for _ in range(2):
            tasks.create_task(part())


async def gathered():
    async def look_up(names, name):
        await asyncio.sleep(0)
        return names[name]

    return await asyncio.gather(look_up({}, noun()), look_up([], number()))


async def in_an_executor():
    return await asyncio.get_running_loop().run_in_executor(None, Thing(noun(), 1).initials)


async def forgotten_task():
    async def part():
        raise LookupError(phrase())

    task = asyncio.create_task(part())
    await asyncio.wait([task])
    return {"done": True}


async def wrong_await():
    return await Thing(noun(), number()).share(3)


async def http_error():
    raise fastapi.HTTPException(chance.choice([500, 502, 503]), detail=phrase())


async def missing_body(request: fastapi.Request):
    return (await request.json())["items"][0]["price"]


async def missing_header(request: fastapi.Request):
    return request.headers["x-" + noun()] + request.path_params[noun()]


async def missing_state(request: fastapi.Request):
    return request.app.state.pool.acquire()


async def missing_file():
    return responses.FileResponse(f"/var/lib/{noun()}/{token(8)}.pdf")


async def broken_stream():
    async def rows():
        yield f"{noun()}\n"
        raise ConnectionResetError(phrase())

    return responses.StreamingResponse(rows())


def current(request: fastapi.Request):
    return {"email": email()}[request.headers.get("x-user", noun())]


async def dependency(user: str = fastapi.Depends(current)):
    return user


def generator():
    session = orm.Session(engine)
    try:
        yield session
    finally:
        session.close()


def in_dependency(session: orm.Session = fastapi.Depends(generator)):
    return session.get_one(Row, number())


async def in_background(tasks: fastapi.BackgroundTasks):
    tasks.add_task(Thing(noun(), number()).share, 0)
    return {"done": True}


OWN = [
    invalid, invalid_json, invalid_list, wrong_answer, unserializable, no_row, same_name, no_name, bad_statement, refused,
    error_status, error_status_sync, slow_request, unknown_protocol, wrong_url, timeout, group, gathered, in_an_executor,
    forgotten_task, wrong_await, http_error, missing_body, missing_header, missing_state, missing_file, broken_stream,
    dependency, in_dependency, in_background,
]  # fmt: skip

known = []
for function in OWN * 2 + [failure for failure in FAILURES if not failure.__name__.startswith("async_")]:
    router = chance.choice([app, app, None]) or fastapi.APIRouter(prefix=f"/api/v{number(3) + 1}")
    path, method = f"/{noun()}s/{{number}}/{noun()}", chance.choice(["GET", "GET", "POST", "PUT"])
    router.add_api_route(
        path,
        function,
        methods=[method],
        dependencies=[fastapi.Depends(begin)],
        response_model=None if function is not wrong_answer else Customer,
    )
    if router is not app:
        app.include_router(router)
        path = router.prefix + path
    known.append((method, path.replace("{number}", "0")))


@app.get("/routes")
async def routes():
    return known
