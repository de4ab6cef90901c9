"""A Celery worker whose tasks fail in many ways; the tasks are applied here, as a worker's trace of them does."""

import celery
import psycopg2
import pydantic
import redis
import requests
import sentry_sdk
from celery import exceptions
from failures import FAILURES
from sentry_sdk.integrations.celery import CeleryIntegration
from words import chance, describe, email, noun, number, phrase, settings, verb

sentry_sdk.init(**settings(), integrations=[CeleryIntegration(monitor_beat_tasks=False)])
app = celery.Celery(noun(), broker="memory://", backend="cache+memory://")


class Order(pydantic.BaseModel):
    number: int
    lines: list[dict[str, int]]


def no_redis():
    return redis.Redis(port=1).get(f"{noun()}:{number()}")


def no_redis_pipeline():
    with redis.Redis(port=1).pipeline() as pipeline:
        pipeline.incr(noun()).expire(noun(), number()).execute()


def no_postgres():
    return psycopg2.connect(host="127.0.0.1", port=1, dbname=noun(), user=noun())


def refused():
    return requests.post(f"http://127.0.0.1:1/{noun()}s", json={noun(): number()}, timeout=1)


def slow():
    return requests.get("http://192.0.2.1/", timeout=0.01)


def invalid():
    return Order(number=noun(), lines=[{noun(): phrase()}])


def retried():
    raise exceptions.Retry(exc=ValueError(phrase()))


def no_retry_left():
    app.current_task.max_retries = 0
    app.current_task.retry(exc=TimeoutError(phrase()))


def rejected():
    raise exceptions.SoftTimeLimitExceeded(phrase())


def not_registered():
    return app.tasks[f"{noun()}.{verb()}"].delay(number())


def no_broker():
    return celery.Celery(broker="redis://127.0.0.1:1").send_task(noun(), args=[number()], retry=False)


def subtasks():
    return celery.chain(app.tasks["first"].s(number()), app.tasks["second"].s()).apply(throw=True).get()


@app.task(name="first")
def first(amount):
    return {"amount": amount}


@app.task(name="second")
def second(result):
    return result["total"] * 2


OWN = [
    no_redis, no_redis_pipeline, no_postgres, refused, slow, invalid, retried, no_retry_left, rejected, not_registered,
    no_broker, subtasks,
]  # fmt: skip


def task(function):
    def run(self, *args, **kwargs):
        describe(sentry_sdk)
        return function()

    run.__name__ = function.__name__
    return app.task(run, bind=True, name=f"{noun()}.tasks.{verb()}_{noun()}_{number()}")


failures = OWN * 2 + FAILURES
chance.shuffle(failures)
for function in failures:
    task(function).apply(args=[number()], kwargs={noun(): noun(), "email": email()})
    sentry_sdk.flush()
