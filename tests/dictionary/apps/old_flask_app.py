"""A Flask application of an older time: sentry-sdk 1, which posts to /store/, and Flask 2."""

import flask
import requests
import sentry_sdk
from failures import FAILURES
from words import chance, describe, noun, number, phrase, settings

sentry_sdk.init(**settings())
app = flask.Flask(__name__)


def refused():
    return requests.get(f"http://127.0.0.1:1/{noun()}s/{number()}", timeout=1).json()


def missing_template():
    return flask.render_template(f"{noun()}/{noun()}.html", item=noun())


def undefined_in_template():
    return flask.render_template_string("{{ basket.lines[0].price }} {{ phrase.upper() }}")


def template_syntax():
    return flask.render_template_string("{% if total > 1 %}{{ total }}{% endfor %}", total=number())


def bad_form():
    return flask.request.form["quantity"]


def bad_json():
    return flask.request.get_json(force=True)["items"]


def aborted():
    flask.abort(503, phrase())


def unknown_endpoint():
    return flask.url_for(noun(), number=number())


OWN = [refused, missing_template, undefined_in_template, template_syntax, bad_form, bad_json, aborted, unknown_endpoint]


def view(function):
    def handle(number):
        return {"done": str(function())}

    return handle


@app.before_request
def begin():
    if flask.request.path != "/routes":
        describe(sentry_sdk)


known = []
for function in OWN * 2 + FAILURES:
    path, method = f"/{noun()}s/<int:number>/{noun()}", chance.choice(["GET", "GET", "POST", "PUT"])
    app.add_url_rule(path, f"{function.__name__}_{len(known)}", view(function), methods=[method])
    known.append((method, path.replace("<int:number>", "0")))


@app.get("/routes")
def routes():
    return flask.jsonify(known)
