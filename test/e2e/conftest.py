# SPDX-License-Identifier: Apache-2.0
"""What all end-to-end tests share: the world that they run in (`--on sandbox`, the default, or `--on cluster`), what they need, and
that whatever they start is gone when they end. Files test_kube_*.py are about the
cluster, test_demo.py is about the sandbox, test_images.py about neither."""
import functools
import os
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cluster  # noqa: E402
import sandbox  # noqa: E402

OF_ONE_WORLD = {"sandbox": ("test_kube_",), "cluster": ("test_demo", "test_images")}      # what a run in this world leaves out


def pytest_addoption(parser):
    parser.addoption("--on", choices=("sandbox", "cluster"), default=os.environ.get("WEFT_E2E_ON", "sandbox"),
                     help="run on weft's sandbox (default) or on a real Kubernetes (test/kube)")


def pytest_configure(config):
    config.addinivalue_line("markers", "only(world, reason): makes sense in that world only")


def pytest_ignore_collect(collection_path, config):
    return collection_path.name.startswith(OF_ONE_WORLD[config.getoption("--on")]) or None


def pytest_collection_modifyitems(items, config):
    world, why = config.getoption("--on"), None
    items.sort(key=lambda item: item.path.name == "test_kube_uninstall.py")
    if os.getuid() != 0:
        why = "needs root: the sandbox makes network namespaces"
    elif not os.path.exists(sandbox.WEFT):
        why = f"{sandbox.WEFT} is not built"
    elif world == "cluster":
        why = cluster.lacks()
    for item in items:
        if why:
            item.add_marker(pytest.mark.skip(reason=why))
        for mark in item.iter_markers("only"):
            if mark.args[0] != world:
                item.add_marker(pytest.mark.skip(reason=f"{mark.args[0]} only: {mark.args[1]}"))


def pytest_sessionstart():
    """SIGTERM ends the run as Ctrl-C does: what the tests started is taken down before."""
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated"))


@pytest.fixture(scope="session")
def machine():
    """The cluster with weft on it; one for the whole run."""
    it = cluster.Machine()
    try:
        yield it.up().install()
    finally:
        it.down()


@pytest.fixture(scope="session")
def world(request):
    """The class of meshes in this run: world("name", manifests)."""
    if request.config.getoption("--on") == "sandbox":
        return sandbox.Sandbox
    return functools.partial(cluster.Cluster, request.getfixturevalue("machine"))
