"""A Flask application that fails in many ways. It uses SQLAlchemy, requests and Jinja as such applications do."""

import concurrent.futures
import os
import sqlite3

import flask
import jinja2
import marshmallow
import requests
import sentry_sdk
import sqlalchemy
import werkzeug.exceptions
from failures import FAILURES
from sqlalchemy import orm
from words import chance, describe, email, noun, number, phrase, settings, token

sentry_sdk.init(**settings())
app = flask.Flask(__name__)
engine = sqlalchemy.create_engine(
    "sqlite://", poolclass=sqlalchemy.pool.StaticPool, connect_args={"check_same_thread": False}
)


class Base(orm.DeclarativeBase):
    pass


class Owner(Base):
    __tablename__ = noun() + "s"
    id = orm.mapped_column(sqlalchemy.Integer, primary_key=True)
    email = orm.mapped_column(sqlalchemy.String(80), unique=True, nullable=False)
    rank = orm.mapped_column(sqlalchemy.Integer, sqlalchemy.CheckConstraint("rank > 0"))


class Missing(Base):
    __tablename__ = noun() + "_entries"
    id = orm.mapped_column(sqlalchemy.Integer, primary_key=True)


class OwnerSchema(marshmallow.Schema):
    email = marshmallow.fields.Email(required=True)
    rank = marshmallow.fields.Integer(required=True)


Owner.__table__.create(engine)


def same_email():
    with orm.Session(engine) as session:
        session.add_all([Owner(email="a@example.org"), Owner(email="a@example.org")])
        session.commit()


def no_email():
    with orm.Session(engine) as session:
        session.add(Owner(rank=number()))
        session.flush()


def failed_check():
    with orm.Session(engine) as session:
        session.add(Owner(email=email(), rank=-1))
        session.commit()


def missing_table():
    with orm.Session(engine) as session:
        return session.scalars(sqlalchemy.select(Missing).where(Missing.id == number())).all()


def no_row():
    with orm.Session(engine) as session:
        return session.execute(sqlalchemy.select(Owner).where(Owner.email == email())).scalar_one()


def detached():
    with orm.Session(engine) as session:
        owner = Owner(email=email())
        session.add(owner)
        session.commit()
    return owner.email


def bad_statement():
    with engine.connect() as connection:
        return connection.execute(sqlalchemy.text(f"SELECT {noun()} FROM {noun()}s WHERE id = :id"), {"id": number()})


def refused():
    return requests.get(f"http://127.0.0.1:1/{noun()}s/{number()}", timeout=1).json()


def error_status():
    server = f"http://127.0.0.1:{os.environ['SINK_PORT']}"
    requests.post(f"{server}/{noun()}/{number()}", json={noun(): number()}, timeout=5).raise_for_status()


def not_json():
    response = requests.models.Response()
    response.status_code, response._content = 200, f"<html>{phrase()}</html>".encode()
    return response.json()


def unknown_scheme():
    return requests.get(f"{noun()}.example.com/{noun()}", timeout=1)


def retries():
    session = requests.Session()
    session.mount("http://", requests.adapters.HTTPAdapter(max_retries=2))
    return session.put(f"http://127.0.0.1:1/{noun()}", data={noun(): phrase()}, timeout=1)


def undefined_in_template():
    return flask.render_template_string(
        "Dear {{ user.name.title() }}, {{ order.total | round(2) }}", user={"name": "a"}
    )


def missing_template():
    return flask.render_template(f"{noun()}/{noun()}.html", item=noun())


def template_syntax():
    return flask.render_template_string("{% for row in rows %}<td>{{ row.name }</td>{% endfor %}", rows=[])


def strict_template():
    template = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string("{{ name }} {{ missing }}")
    return template.render(name=noun())


def unknown_endpoint():
    return flask.url_for(f"{noun()}.detail", number=number())


def aborted():
    flask.abort(chance.choice([500, 502, 503]), description=phrase())


def bad_form():
    return flask.request.form["quantity"] + flask.request.args["page"]


def invalid():
    return OwnerSchema().load({"email": noun(), noun(): number()})


def wrong_answer():
    return {noun()}, number(200), 3


def no_answer():
    return None


def no_session():
    flask.session[noun()] = token(8)
    return "ok"


def raw_database_error():
    try:
        sqlite3.connect("/nonexistent/path.db")
    except sqlite3.OperationalError as error:
        raise werkzeug.exceptions.InternalServerError(phrase(), original_exception=error) from error


def in_a_context():
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return pool.submit(lambda: flask.current_app.name).result()


OWN = [
    same_email, no_email, failed_check, missing_table, no_row, detached, bad_statement, refused, error_status, not_json,
    unknown_scheme, retries, undefined_in_template, missing_template, template_syntax, strict_template, unknown_endpoint,
    aborted, bad_form, invalid, wrong_answer, no_answer, no_session, raw_database_error, in_a_context,
]  # fmt: skip


@app.before_request
def begin():
    if flask.request.path != "/routes":
        describe(sentry_sdk)


def view(function):
    def handle(number):
        answer = function()
        return answer if function in OWN else {"done": str(answer)}

    return handle


known = []
for function in OWN * 2 + FAILURES:
    path = f"/{noun()}s/<int:number>/{noun()}"
    methods = chance.choice([["GET"], ["GET"], ["POST"], ["PUT"]])
    name = f"{function.__name__}_{len(known)}"
    blueprint = chance.choice([app, None])
    if blueprint is None:
        blueprint = flask.Blueprint(f"{noun()}_{len(known)}", __name__, url_prefix=f"/api/v{number(3) + 1}")
        blueprint.add_url_rule(path, name, view(function), methods=methods)
        app.register_blueprint(blueprint)
        path = blueprint.url_prefix + path
    else:
        app.add_url_rule(path, name, view(function), methods=methods)
    known.append((methods[0], path.replace("<int:number>", "0")))


@app.get("/routes")
def routes():
    return known
