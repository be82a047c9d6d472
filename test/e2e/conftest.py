# SPDX-License-Identifier: Apache-2.0
"""What all end-to-end tests share: they need root and a built weft, and whatever they start is gone when they end."""
import os
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import sandbox  # noqa: E402


def pytest_collection_modifyitems(items):
    why = None
    if os.getuid() != 0:
        why = "needs root: the sandbox makes network namespaces"
    elif not os.path.exists(sandbox.WEFT):
        why = f"{sandbox.WEFT} is not built"
    for item in items:
        if why:
            item.add_marker(pytest.mark.skip(reason=why))


def pytest_sessionstart():
    """SIGTERM ends the run as Ctrl-C does: what the tests started is taken down before."""
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated"))
