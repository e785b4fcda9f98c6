"""Django: the ORM (every backend's statements pass one function), templates and their blocks, the cache."""

from __future__ import annotations

from . import Row

_CACHES = (
    ("base", "BaseCache"), ("locmem", "LocMemCache"), ("redis", "RedisCache"), ("memcached", "BaseMemcachedCache"),
    ("db", "DatabaseCache"), ("filebased", "FileBasedCache"),
)
_OPERATIONS = (
    "get", "set", "add", "touch", "delete", "incr", "has_key", "get_many", "set_many", "delete_many", "clear",
)

ROWS = (
    Row("django.db.backends.utils", "CursorWrapper._execute", "db", "sql", "sql", "self.db.vendor"),
    Row("django.db.backends.utils", "CursorWrapper._executemany", "db", "sql", "sql", "self.db.vendor"),
    Row("django.db.backends.utils", "CursorWrapper.callproc", "db", "procname", "name", whole=True),
    # The end of a transaction, which waits for the disk.
    Row("django.db.backends.base.base", "BaseDatabaseWrapper._commit", "db", "=COMMIT", "sql", "self.vendor"),
    # While debugging, what a query of SQLite looked like is found out by another one.
    Row("django.db.backends.sqlite3.operations", "DatabaseOperations._quote_params_for_last_executed_query", "", "",
        "quiet"),
    Row("django.template.base", "Template.render", "template", "self.name", "name"),
    # What {{ block.super }} renders is a copy that has no origin: its nodes have.
    Row("django.template.loader_tags", "BlockNode.render", "template",
        "self.origin.template_name|self.nodelist[0].origin.template_name", "block", "self.name"),
    # A node of a template: which line of which template a query comes from.
    Row("django.template.base", "Node.render_annotated", "line", "self.origin.template_name", "line",
        "self.token.lineno"),
    # BaseCache.get and its like only say that they are not there: the operations are the backends'.
    *(Row(f"django.core.cache.backends.{module}", f"{cache}.{name}", "cache", f"={name}", "name", whole=True)
      for module, cache in _CACHES for name in _OPERATIONS
      if module != "base" or name in ("get_many", "set_many", "delete_many", "has_key")),
)
