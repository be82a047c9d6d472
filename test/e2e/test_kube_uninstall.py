# SPDX-License-Identifier: Apache-2.0
"""`weft uninstall` leaves nothing behind: every object of every kind that the API server lists, before `weft install` and after. Runs as the
last of all (conftest.py), since afterwards there is no mesh."""
from mesh import until


def test_nothing_is_left_after_uninstall(machine):
    machine.kubectl("delete", "namespace", "-l", "weft-e2e", "--wait=true", "--ignore-not-found", timeout=120)
    out = machine.weft("uninstall", "-y", timeout=180)
    print(out.stdout, out.stderr)
    left = lambda: machine.objects() - machine.before
    try:
        until("the same objects as before `weft install`", lambda: not left(), timeout=30, pause=1)
    finally:
        print("\n".join(sorted(left())))
    lost = {o for o in machine.before - machine.objects() if "/pod" not in o}
    assert not lost, f"these were there before, and are gone: {lost}"


def test_nothing_of_it_runs(machine):
    for program in ("weft-control", "weft-proxy", "weft-node"):
        until(f"no {program}", lambda p=program: not machine.pids(p), timeout=60)
