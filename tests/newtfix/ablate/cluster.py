"""A SLURM of one node, in a folder: Debian's munge, slurmctld and slurmd, without cgroups and without a database."""

from __future__ import annotations

import os
import pwd
import secrets
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmctldPort={controller}
SlurmdPort={node}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=2
SlurmdParameters=config_overrides
NodeName={host} CPUs=4 RealMemory=4000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES State=UP
"""


class Slurm:
    """Its daemons; `environment` makes sbatch and squeue find it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._daemons = folder, []
        for name in ("state", "spool"):
            (folder / name).mkdir()
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}
        text = CONFIGURATION.format(
            folder=folder,
            host=socket.gethostname().split(".")[0],
            user=pwd.getpwuid(os.geteuid()).pw_name,
            controller=_port(),
            node=_port(),
        )
        (folder / "slurm.conf").write_text(text)

    def __enter__(self) -> Slurm:
        folder, key = self._folder, self._folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        munge = [f"--{name}={folder / file}" for name, file in _MUNGE.items()]
        self._run("munged", "--foreground", "--force", *munge)
        self._until(lambda: (folder / "munge.socket").exists(), "munged")
        self._run("slurmctld", "-D", "-f", str(folder / "slurm.conf"))
        self._run("slurmd", "-D", "-f", str(folder / "slurm.conf"))
        self._until(lambda: "idle" in self._asked("sinfo", "-h"), "slurmd")
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(RuntimeError):  # jobs end a moment after their runs; nothing of them shall stay
            self._until(lambda: not self._asked("squeue", "-h"), "squeue")
        for one in reversed(self._daemons):
            one.terminate()
            with suppress(subprocess.TimeoutExpired):
                one.wait(10)
            one.kill()

    def _run(self, *command: str) -> None:
        with (self._folder / f"{command[0]}.out").open("wb") as out:
            environment = {**os.environ, **self.environment, "PATH": f"{os.environ['PATH']}:/usr/sbin"}
            self._daemons.append(subprocess.Popen(command, stdout=out, stderr=out, env=environment))

    def _asked(self, *command: str) -> str:
        return subprocess.run(command, env={**os.environ, **self.environment}, capture_output=True, text=True).stdout

    def _until(self, ready: object, name: str) -> None:
        until = time.monotonic() + 30
        while not ready():  # type: ignore[operator]
            if time.monotonic() > until:
                raise RuntimeError(f"{name} does not come up: see {self._folder}")
            time.sleep(0.1)


_MUNGE = {
    "key-file": "munge.key",
    "socket": "munge.socket",
    "pid-file": "munge.pid",
    "log-file": "munge.log",
    "seed-file": "munge.seed",
}


def _port() -> int:
    with socket.socket() as one:
        one.bind(("", 0))
        return int(one.getsockname()[1])
