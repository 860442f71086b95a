"""What holds for every test: no network, no shared cache of machine code, a local zone that is not UTC."""

import importlib.util
import os
import time
from pathlib import Path

from hypothesis import HealthCheck, settings

_HERE = Path(__file__).resolve().parent
_GUARD = _HERE / "guard" / "sitecustomize.py"

# A program that a test starts is guarded as well.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_GUARD.parent), os.environ.get("PYTHONPATH")]))
_spec = importlib.util.spec_from_file_location("network_guard", _GUARD)
assert _spec is not None
assert _spec.loader is not None
_spec.loader.exec_module(importlib.util.module_from_spec(_spec))

# Two processes that compile the same function at once may mix up each other's files: a folder each. Set before numba
# is imported; kept between runs, for a cold start compiles for minutes.
_CACHE = _HERE.parent / ".pytest_cache" / "numba" / os.environ.get("PYTEST_XDIST_WORKER", "main")
os.environ["NUMBA_CACHE_DIR"] = str(_CACHE)
os.environ["LADDER_CACHE"] = str(_CACHE / "ladder")

# Sessions note there which account they trade on: a test's stay out of the user's own.
os.environ["XDG_STATE_HOME"] = str(_CACHE / "state")

# A local time that slips into a result is four and a half hours off here, and shows. (No zone files needed.)
os.environ["TZ"] = "TST+4:30TDT,M3.2.0,M11.1.0"
if hasattr(time, "tzset"):
    time.tzset()

# `dev` looks for new examples on each run and keeps what failed; `ci` judges each change by the same ones.
# No deadline: the first example compiles. A shared machine's pauses are no fault of the code.
settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("dev"), derandomize=True, database=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")
