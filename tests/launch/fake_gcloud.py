"""A gcloud that knows queued resources and ssh, of one machine: the folder $FAKE/home. It never leaves this computer.

$FAKE/state is the state of the queued resource, if there is one. What waits becomes active when it is asked for. ssh
runs its command in the machine's home; a machine taken away meanwhile (SUSPENDED) is empty, and the connection lost.
$FAKE/calls gets one line for each call: the verb, or what ssh was to do.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NEXT = {"WAITING_FOR_RESOURCES": "PROVISIONING", "PROVISIONING": "ACTIVE"}


def main(argv: list[str]) -> int:
    fake = Path(os.environ["FAKE"])
    state, home = fake / "state", fake / "home"
    assert argv[:3] == ["compute", "tpus", "queued-resources"], argv
    assert {"--project=p", "--zone=z", "--quiet"} <= set(argv), argv
    verb, flags = argv[3], dict(arg.partition("=")[::2] for arg in argv[4:] if arg.startswith("--"))
    said = flags["--command"].split("worker.sh ")[-1].split()[0] if verb == "ssh" else verb
    with (fake / "calls").open("a") as calls:
        calls.write(said + "\n")
    if verb == "list":
        if state.exists():
            now = state.read_text()
            print(now)
            state.write_text(NEXT.get(now, now))
        return 0
    if verb == "create":
        if state.exists():
            return 1
        state.write_text((fake / "begins").read_text() if (fake / "begins").exists() else "WAITING_FOR_RESOURCES")
        home.mkdir(exist_ok=True)
        return 0
    if verb == "delete":
        state.unlink()
        shutil.rmtree(home)
        return 0
    if verb == "describe":
        print("state: FAILED, said Google")
        return 0
    if state.read_text() != "ACTIVE":
        return 255
    if verb == "scp":
        shutil.copy(argv[4], home / argv[5].partition(":")[2])
        return 0
    code = subprocess.run(["bash", "-c", flags["--command"]], cwd=home, env=os.environ | {"HOME": str(home)}).returncode
    return 255 if state.read_text() != "ACTIVE" else code


sys.exit(main(sys.argv[1:]))
