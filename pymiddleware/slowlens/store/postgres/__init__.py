"""The PostgreSQL store: profiles of many hosts in one database. ``store="postgresql://..."``, ``slowlens[postgres]``.

    SCHEMA.about            version of the tables, see schema.py
    SCHEMA.profiles         what lists show, a row a profile, partitioned by day
    SCHEMA.blobs            the profiles themselves, partitioned alike: lists never read past them
    SCHEMA.routes           which routes were stored on which day
    SCHEMA.parts, .hours    numbers of all requests: minutes of processes, and what they add up to (numbers.py)
    SCHEMA.windows          trees of all requests (option continuous), see windows.py

The URL is libpq's (a host, a socket's folder, a service, ``PGPASSWORD``...)
with two parameters of ours: ``schema`` (default ``slowlens``; apps of one
schema are one store) and ``waiting`` (a folder).

Profiles leave a process in batches (sending.py). While the database is away
they wait in a folder of segments on this host (waiting.py). An id is stored
once, however often it is sent.
"""

from .store import PostgresStore, open_postgres

__all__ = ["PostgresStore", "open_postgres"]
