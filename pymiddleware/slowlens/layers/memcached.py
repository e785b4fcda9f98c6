"""pymemcache and python-memcached: the operation's name. (pylibmc is compiled.)"""

from __future__ import annotations

from . import Row

_OPERATIONS = ("get", "set", "add", "replace", "delete", "incr", "decr", "touch", "get_many", "set_many", "delete_many")

ROWS = (
    *(Row("pymemcache.client.base", f"Client.{name}", "cache", f"={name}", "name", whole=True) for name in _OPERATIONS),
    *(Row("pymemcache.client.hash", f"HashClient.{name}", "cache", f"={name}", "name", whole=True)
      for name in _OPERATIONS),
    *(Row("memcache", f"Client.{name}", "cache", f"={name}", "name", whole=True)
      for name in ("get", "set", "add", "replace", "delete", "incr", "decr", "touch", "get_multi", "set_multi")),
)
