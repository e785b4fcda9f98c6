"""pymemcache and python-memcached: the operation's name. (pylibmc is compiled.)"""

from __future__ import annotations

from . import Row

_OPERATIONS = ("get", "gets", "set", "add", "replace", "append", "prepend", "cas", "delete", "incr", "decr", "touch")
_MANY = ("get_many", "gets_many", "set_many", "delete_many")
_MULTI = ("get_multi", "set_multi", "delete_multi")

ROWS = (
    *(Row("pymemcache.client.base", f"Client.{name}", "cache", f"={name}", "name", whole=True)
      for name in (*_OPERATIONS, *_MANY)),
    *(Row("pymemcache.client.hash", f"HashClient.{name}", "cache", f"={name}", "name", whole=True)
      for name in (*_OPERATIONS, *_MANY)),
    *(Row("memcache", f"Client.{name}", "cache", f"={name}", "name", whole=True) for name in (*_OPERATIONS, *_MULTI)),
)
