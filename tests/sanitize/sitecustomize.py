"""Only in processes that tests/sanitize.sh starts: says which of them are children of a fork.

ThreadSanitizer watches no locks in the child of a process that had threads when it forked (its authors: "we cannot
reasonably function after that"), and takes what is guarded there for unguarded. Such children's reports are told apart.
"""

import os
import pathlib

_reports = os.environ.get("SANITIZE_REPORTS")
if _reports:
    os.register_at_fork(after_in_child=lambda: pathlib.Path(_reports, f"forked.{os.getpid()}").touch())
