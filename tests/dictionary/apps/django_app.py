"""A Django application that fails in many ways, with its ORM, its templates and Django REST framework."""

import sys

import django
import sentry_sdk
from django.conf import settings as django_settings
from words import chance, describe, email, noun, number, person, phrase, settings, token

sentry_sdk.init(**settings())
django_settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "file:memory?mode=memory&cache=shared"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "rest_framework"],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django_app.describing",
    ],
    REST_FRAMEWORK={"UNAUTHENTICATED_USER": None},
    ROOT_URLCONF="django_app",
    SECRET_KEY=token(50),
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    USE_TZ=True,
)
django.setup()
sys.modules.setdefault("django_app", sys.modules[__name__])

from django.contrib.auth.models import Group, User  # noqa: E402
from django.core import exceptions, mail, paginator, signing, validators  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connection, models, transaction  # noqa: E402
from django.http import HttpResponse, JsonResponse  # noqa: E402
from django.shortcuts import redirect, render  # noqa: E402
from django.template import Context, Template  # noqa: E402
from django.urls import path, reverse  # noqa: E402
from django.utils.decorators import method_decorator  # noqa: E402
from django.views import View  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402
from failures import FAILURES  # noqa: E402
from rest_framework import decorators, response, serializers  # noqa: E402

call_command("migrate", verbosity=0)


class Unmigrated(models.Model):
    name = models.CharField(max_length=20)

    class Meta:
        app_label = noun()
        db_table = f"{noun()}_{noun()}"


class UserSerializer(serializers.ModelSerializer):
    total = serializers.IntegerField()

    class Meta:
        model = User
        fields = ["username", "email", "total"]


def describing(get_response):
    def middleware(request):
        if request.path != "/routes":
            describe(sentry_sdk)
        return get_response(request)

    return middleware


def no_user(request):
    return User.objects.get(pk=number())


def no_user_of_name(request):
    return User.objects.filter(groups__name=noun()).get(username=person(), email=email())


def many_groups(request):
    for _ in range(2):
        Group.objects.create(name=token(8))
    return Group.objects.get()


def same_name(request):
    for _ in range(2):
        User.objects.create_user("twice")


def same_name_in_transaction(request):
    with transaction.atomic():
        Group.objects.bulk_create([Group(name="same"), Group(name="same")])


def unmigrated(request):
    return list(Unmigrated.objects.filter(name=noun()))


def unmigrated_count(request):
    return Unmigrated.objects.exclude(name__startswith=noun()).count()


def wrong_field(request):
    return User.objects.filter(**{noun(): number()})


def wrong_lookup(request):
    return User.objects.filter(email__similar=email())


def wrong_relation(request):
    return User.objects.select_related("customer").first().customer or list(User.objects.select_related(noun()))


def wrong_value(request):
    return User.objects.filter(id=phrase())


def wrong_date(request):
    return list(User.objects.filter(last_login__gte=noun()))


def broken_transaction(request):
    with transaction.atomic():
        try:
            User.objects.create(id=1, username=None)
        except Exception:
            return User.objects.count()


def raw_sql(request):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {noun()} FROM {noun()}s WHERE id = %s", [number()])


def no_value(request):
    return User(username=person()).groups.add(number())


def invalid(request):
    User(username="?" * 200, email=noun()).full_clean()


def invalid_email(request):
    validators.validate_email(noun())


def bad_page(request):
    return paginator.Paginator([1, 2, 3], 2).page(number() + 3)


def bad_signature(request):
    return signing.loads(token(20))


def no_mail(request):
    with mail.get_connection("django.core.mail.backends.smtp.EmailBackend", host="127.0.0.1", port=1) as sender:
        return mail.send_mail(phrase(), phrase(), email(), [email()], connection=sender)


def missing_template(request):
    return render(request, f"{noun()}/{noun()}_detail.html", {"number": number()})


def template_syntax(request):
    return Template("{% for row in rows %}{{ row.name }}{% endfr %}").render(Context({"rows": []}))


def template_filter(request):
    return Template("{{ total|currency }}").render(Context({"total": number()}))


def template_url(request):
    return Template("{% load i18n %}<a href=\"{% url 'detail' number %}\">").render(Context({"number": number()}))


def template_call(request):
    return Template("{% if user.check %}{{ user.check }}{% endif %}").render(
        Context({"user": {"check": lambda: 1 // 0}})
    )


def no_reverse(request):
    return redirect(reverse(f"{noun()}:{noun()}", args=[number()]))


def no_permission(request):
    return request.user.profile.name


def suspicious(request):
    raise exceptions.SuspiciousOperation(phrase())


def improper(request):
    raise exceptions.ImproperlyConfigured(f"{noun().upper()} is not set")


def wrong_post(request):
    return request.POST["quantity"] + request.GET["page"]


def wrong_header(request):
    return HttpResponse(headers={noun(): f"{noun()}\n{noun()}"})


def wrong_json(request):
    return JsonResponse({"at": {noun()}, "user": object()})


def wrong_json_of_list(request):
    return JsonResponse([number()])


def no_response(request):
    return None


def group_without_permission(request):
    return Group.objects.first().permissions.get(codename=noun())


def serializer_field(request):
    return UserSerializer(User(username=person(), email=email())).data


def serializer_invalid(request):
    serializer = UserSerializer(data={"email": noun()})
    serializer.is_valid(raise_exception=False)
    return serializer.save()


OWN = [
    no_user, no_user_of_name, many_groups, same_name, same_name_in_transaction, unmigrated, unmigrated_count, wrong_field,
    wrong_lookup, wrong_relation, wrong_value, wrong_date, broken_transaction, raw_sql, no_value, invalid, invalid_email,
    bad_page, bad_signature, no_mail, missing_template, template_syntax, template_filter, template_url, template_call,
    no_reverse, no_permission, suspicious, improper, wrong_post, wrong_header, wrong_json, wrong_json_of_list, no_response,
    group_without_permission, serializer_field, serializer_invalid,
]  # fmt: skip


def view_of(function):
    """One of the kinds of views: a function, a class, or one of Django REST framework."""

    def answer(request):
        if function not in OWN:
            return {"done": str(function())}
        return function(request)

    match number(3) if function is not no_response else 0:
        case 0:
            view = csrf_exempt(lambda request, number: answer(request) and HttpResponse("done"))
        case 1:

            @method_decorator(csrf_exempt, name="dispatch")
            class FailingView(View):
                def get(self, request, number):
                    return HttpResponse(answer(request))

                post = put = get

            view = FailingView.as_view()
        case 2:

            @decorators.api_view(["GET", "POST", "PUT"])
            def view(request, number):
                return response.Response(answer(request))

    return view


known = []
urlpatterns = [path("routes", lambda request: JsonResponse(known, safe=False))]
for function in OWN * 2 + FAILURES:
    route = f"{noun()}s/<int:number>/{noun()}/"
    urlpatterns.append(path(route, view_of(function), name=f"{noun()}-{noun()}"))
    known.append((chance.choice(["GET", "GET", "POST", "PUT"]), "/" + route.replace("<int:number>", "0")))

application = get_wsgi_application()
