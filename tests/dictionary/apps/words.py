"""Random words and settings for the applications, from the seed in the environment."""

import logging
import os
import random

SEED = int(os.environ.get("SEED", "1"))
chance = random.Random(SEED)

NOUNS = """account address amount archive article author badge basket batch bill block board book booking branch budget
bundle button card cargo cart catalog category channel chapter charge chart client code color column comment company
contract country coupon course credit currency customer dashboard deal delivery deposit device discount document draft
driver email entry estimate exchange export feature feed field file filter folder form freight gallery gift goal grade
group guest history hotel image import index inquiry invoice issue item journal key label language layout lead lesson
letter level license limit line link list loan location lot manager market meeting member menu merchant message method
metric model module month movie note notice number offer office order outlet owner package page parcel partner payment
permit person phone photo plan player point policy price printer product profile project promotion purchase quantity
quarter queue quota quote rate reader receipt record refund region report request reservation return review reward road
role room route rule salary sale schedule season seat section seller service session shelf shift shipment shop size slot
source stage stamp station status stock store storage student subject summary supplier survey tag target task tax team
template tenant term test ticket tier token tool topic track trade transfer trip unit update upload vendor version video
visit voucher wallet warehouse week widget zone""".split()
VERBS = """accept add allocate apply approve archive assign attach book bill calculate cancel charge check close collect
confirm convert copy create deliver enroll export fetch fill find finish import issue join list load lock merge move
open order pack pay pick plan post price print publish quote rate receive refund register release remove renew repair
reserve resolve return review schedule send settle ship sort split start stop store submit sync transfer update
validate verify""".split()
NAMES = """ada alan amara anna ben carla chen dana david elena emma farid grace hana igor ines ivan jana jose kim lars
lena leo lucia maria marek mila nadia nils noor olga omar paul petra priya rosa sam sara sofia tariq tom uma vera wei
yuki zoe""".split()


def noun():
    return chance.choice(NOUNS)


def verb():
    return chance.choice(VERBS)


def person():
    return chance.choice(NAMES)


def number(most=1_000_000):
    return chance.randrange(most)


def token(length=32):
    return f"{chance.getrandbits(length * 4):0{length}x}"


def phrase():
    return f"{verb()} {noun()} {number(100_000)}"


def email():
    return f"{person()}.{noun()}@example.{chance.choice(['com', 'org', 'net'])}"


def host():
    return f"{noun()}.example.{chance.choice(['com', 'org', 'net'])}"


def version():
    return f"{number(12)}.{number(30)}.{number(20)}"


def settings():
    """What the application would give to sentry_sdk.init."""
    options = {
        "dsn": os.environ["SENTRY_DSN"],
        "release": chance.choice([f"{noun()}@{version()}", token(40), f"{noun()}-{token(8)}"]),
        "environment": chance.choice(["production", "production", "staging", "development", "prod"]),
        "server_name": chance.choice([f"{noun()}-{token(10)}-{token(5)}", f"{noun()}-{number(20)}", host()]),
        "send_default_pii": SEED % 2 == 0,
        "traces_sample_rate": [None, 1.0, 0.0][SEED % 3],
    }
    return options


def describe(sentry_sdk):
    """Says something about the current request or task, as applications do."""
    if chance.random() < 0.5:
        user = {"id": str(number()), "email": email(), "username": person(), "ip_address": f"203.0.113.{number(255)}"}
        sentry_sdk.set_user({key: user[key] for key in user if key == "id" or chance.random() < 0.5})
    for _ in range(number(3)):
        sentry_sdk.set_tag(noun(), chance.choice([noun(), str(number()), token(8)]))
    if chance.random() < 0.3:
        sentry_sdk.set_context(noun(), {noun(): number(), noun(): phrase(), noun(): chance.random() < 0.5})
    log = logging.getLogger(f"{noun()}.{noun()}")
    for _ in range(number(5)):
        log.log(chance.choice([logging.INFO, logging.INFO, logging.WARNING]), "%s: %s", noun(), phrase())
    if chance.random() < 0.3:
        sentry_sdk.add_breadcrumb(category=noun(), message=phrase(), level="info", data={noun(): number()})
