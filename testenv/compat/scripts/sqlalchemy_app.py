"""SQLAlchemy's ORM over psycopg2 and asyncpg, and Alembic's migrations."""
import asyncio
import datetime
import decimal

import alembic.migration
import alembic.operations
import sqlalchemy
from alembic.autogenerate import compare_metadata
from sqlalchemy import Column, DateTime, ForeignKey, Integer, Numeric, String, create_engine, func, inspect, select, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, declarative_base, relationship, selectinload
from sqlalchemy.pool import NullPool

import steps
from steps import ROWS, TABLE, expect, thread

engine = create_engine("postgresql+psycopg2://", pool_size=8, pool_pre_ping=True)
Base = declarative_base()


class Account(Base):
    __tablename__ = TABLE
    id = Column(Integer, primary_key=True)
    name = Column(String, unique=True)
    balance = Column(Numeric(12, 2), server_default="0", nullable=False)
    notes = Column(JSONB)
    tags = Column(ARRAY(String))
    opened = Column(DateTime(timezone=True), server_default=func.now())
    entries = relationship("Entry", order_by="Entry.id", cascade="all, delete-orphan")


class Entry(Base):
    __tablename__ = TABLE + "_entry"
    id = Column(Integer, primary_key=True)
    account_id = Column(ForeignKey(Account.id), nullable=False)
    amount = Column(Numeric(12, 2), nullable=False)


def refill(n=ROWS):
    with Session(engine) as session, session.begin():
        session.query(Entry).delete()
        session.query(Account).delete()
        session.execute(insert(Account), [{"name": "row %d" % i, "notes": {"i": i}, "tags": ["a", "b"]} for i in range(n)])


def names():
    with Session(engine) as session:
        return session.scalars(select(Account.name).order_by(Account.id)).all()


def migrate():
    """Alembic's table of versions, its operations, and a comparison that finds nothing left to do."""
    Base.metadata.drop_all(engine)
    with engine.connect() as conn:
        context = alembic.migration.MigrationContext.configure(conn, opts={"version_table": TABLE + "_version", "compare_type": True})
        op = alembic.operations.Operations(context)
        with context.begin_transaction(_per_migration=True):
            context._ensure_version_table()
            Base.metadata.create_all(conn)
            op.add_column(TABLE, Column("later", Integer))
            op.create_index(TABLE + "_later", TABLE, ["later"])
        expect([change[0] for change in compare_metadata(context, Base.metadata)], ["remove_index", "remove_column"])
        with context.begin_transaction(_per_migration=True):
            op.drop_index(TABLE + "_later")
            op.drop_column(TABLE, "later")
        expect(compare_metadata(context, Base.metadata), [])
    return "Alembic " + alembic.__version__


def reflect():
    look = inspect(engine)
    expect([c["name"] for c in look.get_columns(TABLE)], ["id", "name", "balance", "notes", "tags", "opened"])
    expect(look.get_foreign_keys(TABLE + "_entry")[0]["referred_table"], TABLE)
    expect([u["column_names"] for u in look.get_unique_constraints(TABLE)], [["name"]])


def objects():
    refill(100)
    with Session(engine) as session, session.begin():
        rich = update(Account).where(Account.notes["i"].as_integer() >= 90).values(balance=5)
        expect(session.execute(rich, execution_options={"synchronize_session": False}).rowcount, 10)
        upsert = insert(Account).values(name="row 0", balance=7).on_conflict_do_update(index_elements=["name"], set_={"balance": 7})
        expect(len(session.execute(upsert.returning(Account.id)).all()), 1)
        session.add(Account(name="owner", entries=[Entry(amount=1), Entry(amount=decimal.Decimal("2.50"))]))
    with Session(engine) as session:
        owner = session.scalars(select(Account).options(selectinload(Account.entries)).filter_by(name="owner")).one()
        expect([e.amount for e in owner.entries], [1, decimal.Decimal("2.50")])
        expect(owner.opened.tzinfo is not None and owner.opened < datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1), True)
        expect(session.scalar(select(func.sum(Account.balance))), 57)


def savepoint():
    refill(1)
    with Session(engine) as session, session.begin():
        try:
            with session.begin_nested():
                session.add(Account(name="row 0"))
        except IntegrityError:
            session.add(Account(name="after the error"))
    with Session(engine) as session:
        session.add(Account(name="lost"))
        session.flush()
        session.rollback()
    expect(names(), ["row 0", "after the error"])


def row_locks():
    refill(2)
    seen = []

    def other():
        with Session(engine) as session:
            seen.extend(session.scalars(select(Account.name).with_for_update(skip_locked=True)))
            try:
                session.scalars(select(Account).filter_by(name="row 0").with_for_update(nowait=True)).one()
            except OperationalError as e:
                seen.append(e.orig.pgcode)

    with Session(engine) as session, session.begin():
        session.scalars(select(Account).filter_by(name="row 0").with_for_update()).one()
        with thread(other):
            pass
    expect(seen, ["row 1", "55P03"])


def cursor():
    """A server-side cursor inside a transaction, and asyncpg's portals."""
    refill()
    want = ["row %d" % i for i in range(ROWS)]
    with engine.connect().execution_options(stream_results=True, max_row_buffer=50) as conn:
        expect([r.name for r in conn.execute(select(Account.name).order_by(Account.id))], want)
    expect(asyncio.run(streamed()), want)


async def streamed():
    other = create_async_engine("postgresql+asyncpg://", poolclass=NullPool)
    async with AsyncSession(other) as session:
        rows = await session.stream_scalars(select(Account.name).order_by(Account.id))
        return [name async for name in rows]


def together():
    """Eight threads share the engine's pool and add to one row, in serializable transactions that are repeated."""
    refill(1)
    serializable = engine.execution_options(isolation_level="REPEATABLE READ")

    def add():
        for _ in range(10):
            while not once():
                pass

    def once():
        try:
            with Session(serializable) as session, session.begin():
                account = session.scalars(select(Account)).one()
                account.balance += 1
            return True
        except OperationalError as e:
            expect(e.orig.pgcode, "40001")
            return False

    steps.threads([add] * 8)
    with Session(engine) as session:
        expect(session.scalars(select(Account.balance)).one(), 80)


steps.about("SQLAlchemy", sqlalchemy.__version__, "psycopg2, asyncpg")
if not steps.refused(engine.connect):
    steps.run([(f.__name__, f) for f in (migrate, reflect, objects, savepoint, row_locks, cursor, together)])
