"""Only in processes that tests/suites.py starts, and only where no pytest does it."""

import os

if os.environ.get("SUITE_UNITTEST"):
    import suite_hooks

    del os.environ["SUITE_UNITTEST"]  # not in children of the tests
    suite_hooks.patch_unittest()
