"""Django's ORM over psycopg2, with its defaults: server-side cursors, persistent connections, its own migrations."""
import os

import django
from django.conf import settings

import steps
from steps import ROWS, TABLE, expect, thread

settings.configure(
    DATABASES={"default": {
        "ENGINE": "django.db.backends.postgresql", "NAME": os.environ["PGDATABASE"], "HOST": os.environ["PGHOST"],
        "PORT": os.environ["PGPORT"], "USER": os.environ["PGUSER"], "CONN_MAX_AGE": None,
    }},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"], USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField", SECRET_KEY="not a secret",
)
django.setup()

from django.contrib.auth.models import Group, User  # noqa: E402 needs the settings
from django.core.management import call_command  # noqa: E402
from django.db import DatabaseError, IntegrityError, connection, models, transaction  # noqa: E402
from django.db.migrations.recorder import MigrationRecorder  # noqa: E402


class Account(models.Model):
    name = models.TextField(unique=True)
    balance = models.DecimalField(max_digits=12, decimal_places=2, default=0)
    notes = models.JSONField(default=dict)
    opened = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "compat"
        db_table = TABLE


def refill(n=ROWS):
    Account.objects.all().delete()
    Account.objects.bulk_create([Account(name="row %d" % i, notes={"i": i}) for i in range(n)], batch_size=100)


def migrate():
    """Two applications' migrations to the end, back to nothing, and to the end again."""
    for command in (("migrate",), ("migrate", "auth", "zero"), ("migrate",)):
        call_command(*command, verbosity=0, interactive=False)
    with connection.schema_editor() as editor:
        if TABLE in connection.introspection.table_names():
            editor.delete_model(Account)
        editor.create_model(Account)
    return "%d migrations" % MigrationRecorder(connection).migration_qs.count()


def reflect():
    with connection.cursor() as cursor:
        columns = [c.name for c in connection.introspection.get_table_description(cursor, TABLE)]
        unique = [c for c in connection.introspection.get_constraints(cursor, TABLE).values() if c["unique"]]
    expect(columns, ["id", "name", "balance", "notes", "opened"])
    expect(sorted(c["columns"] for c in unique), [["id"], ["name"]])


def objects():
    refill(100)
    expect(Account.objects.filter(notes__i__gte=90).update(balance=models.F("balance") + 5), 10)
    expect(Account.objects.aggregate(total=models.Sum("balance"))["total"], 50)
    Account.objects.filter(name="row 0").delete()
    expect(Account.objects.get_or_create(name="row 0")[1], True)
    user = User.objects.create(username=TABLE)
    group = Group.objects.create(name=TABLE)
    user.groups.add(group)
    expect([g.name for g in User.objects.prefetch_related("groups").get(username=TABLE).groups.all()], [TABLE])
    user.delete()
    group.delete()


def savepoint():
    refill(1)
    with transaction.atomic():
        try:
            with transaction.atomic():
                Account.objects.create(name="row 0")
        except IntegrityError:
            Account.objects.create(name="after the error")
    try:
        with transaction.atomic():
            Account.objects.create(name="lost")
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    expect(sorted(Account.objects.values_list("name", flat=True)), ["after the error", "row 0"])


def row_locks():
    refill(2)
    seen = []

    def other():
        with transaction.atomic():
            seen.extend(a.name for a in Account.objects.select_for_update(skip_locked=True).order_by("id"))
            try:
                Account.objects.select_for_update(nowait=True).get(name="row 0")
            except DatabaseError as e:
                seen.append(e.__cause__.pgcode)
        connection.close()

    with transaction.atomic():
        Account.objects.select_for_update().get(name="row 0")
        with thread(other):
            pass
    expect(seen, ["row 1", "55P03"])


def cursor():
    """QuerySet.iterator() is a cursor on the server, WITH HOLD outside a transaction."""
    refill()
    names = ["row %d" % i for i in range(ROWS)]
    rows = Account.objects.order_by("id").values_list("name", flat=True)
    expect(list(rows.iterator(chunk_size=50)), names)
    unfinished = rows.iterator(chunk_size=50)
    expect(next(unfinished), "row 0")
    Account.objects.filter(name="row 1").update(balance=1)
    expect(sum(1 for _ in unfinished), ROWS - 1)
    with transaction.atomic():
        expect(list(rows.iterator(chunk_size=50)), names)


def together():
    """Eight threads, each with a connection of its own, add to one row."""
    refill(1)

    def add():
        for _ in range(10):
            with transaction.atomic():
                account = Account.objects.select_for_update().get()
                account.balance += 1
                account.save()
        connection.close()

    steps.threads([add] * 8)
    expect(Account.objects.get().balance, 80)


steps.about("Django", django.get_version(), "psycopg2")
if not steps.refused(connection.ensure_connection):
    steps.run([(f.__name__, f) for f in (migrate, reflect, objects, savepoint, row_locks, cursor, together)])
