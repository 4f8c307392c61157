#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures how fast a node with `slapos node agent` reacts.

usage: reaction.py SLAPOS [ROUNDS] [PARTITIONS]

Makes a node in a temporary directory: a master on SQLite, an agent, partitions, and a
release that is supplied, whose buildout is a shell script. Then prints the median and
the worst of ROUNDS (20) times from the start of `slapos request`

    request     to the running service
    parameter   to the service that runs with another parameter
    stop        to the end of the service
    destroy     to the empty partition

and what the agent takes while nothing happens: memory, processor time, wake-ups.
Nothing outside the directory is touched; everything ends with the program.
"""
import hashlib
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

RELEASE = "http://example.com/software.cfg"
BUILDOUT = """#!/bin/sh
mkdir -p etc/service
n=$(cat generation 2>/dev/null || echo 0); n=$((n + 1)); echo $n >generation
printf '#!/bin/sh\\necho $$ >running.new; mv running.new running-%s; exec sleep 100000\\n' $n >etc/service/web-$n
chmod 755 etc/service/web-$n
[ $n = 1 ] || rm -f etc/service/web-$((n - 1))
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until(done, what, patience=60):
    end = time.monotonic() + patience
    while not done():
        if time.monotonic() > end:
            sys.exit(f"waited {patience} s in vain until {what}")
        time.sleep(0.001)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Node:
    def __init__(self, slapos, root, partitions):
        self.slapos, self.root, self.processes = slapos, root, []
        self.count = partitions
        port = free_port()
        self.master = f"http://127.0.0.1:{port}"
        os.chmod(root, 0o755)
        user = 65534 if os.geteuid() == 0 else os.geteuid()
        for name in ("software", "instance"):
            os.mkdir(self.path(name), 0o755)
        for i in range(partitions):
            os.mkdir(self.path(f"instance/slappart{i}"), 0o750)
            os.chown(self.path(f"instance/slappart{i}"), user, user if user == 65534 else -1)
        release = self.path("software", hashlib.md5(RELEASE.encode()).hexdigest())
        os.makedirs(release + "/bin")
        for name, text in (("instance.cfg", "[buildout]\n"), (".completed", ""), ("bin/buildout", BUILDOUT)):
            with open(os.path.join(release, name), "w") as file:
                file.write(text)
        os.chmod(release + "/bin/buildout", 0o755)
        self.configuration = self.path("slapos.cfg")
        with open(self.configuration, "w") as file:
            file.write(f"""[slapos]
software_root = {root}/software
instance_root = {root}/instance
master_url = {self.master}
computer_id = local
root_check = false
instance_min_free_space = 0
software_min_free_space = 0
agent_collect_periodicity = 0
pidfile_software = {root}/software.pid
pidfile_instance = {root}/instance.pid
pidfile_report = {root}/report.pid
[slapformat]
partition_amount = {partitions}
computer_xml = {root}/slapos.xml
input_definition_file = {root}/definition.cfg
alter_user = false
alter_network = false
create_tap = false
[slapproxy]
port = {port}
database_uri = {root}/proxy.db
""")
        with open(self.path("definition.cfg"), "w") as file:
            file.write("[computer]\naddress = 127.0.0.1/255.255.255.255\n")
            for i in range(partitions):
                file.write(f"[partition_{i}]\naddress = 127.0.1.{i % 250 + 1}/255.255.255.255\npathname = slappart{i}\nuser = nobody\nnetwork_interface =\n")
        self.environment = dict(os.environ, SLAPOS_CONFIGURATION=self.configuration, SLAPOS_CLIENT_CONFIGURATION=self.configuration, HOME=root)
        self.start("proxy", "start")
        until(lambda: self.call("supply", RELEASE, "local", check=False) == 0, "the master answers")
        self.call("node", "format", "--now")
        for i in range(partitions):
            os.chown(self.path(f"instance/slappart{i}"), user, user if user == 65534 else -1)
        self.agent = self.start("node", "agent")
        until(lambda: os.path.exists(self.path("instance/agent.sock")), "the agent listens")

    def path(self, *names):
        return os.path.join(self.root, *names)

    def start(self, *words):
        log = open(self.path("-".join(words) + ".log"), "w")
        process = subprocess.Popen([self.slapos, *words, "--cfg", self.configuration], env=self.environment, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def call(self, *words, check=True):
        return subprocess.run([self.slapos, *words], env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=check).returncode

    def request(self, name, *words):
        return self.call("request", name, RELEASE, *words, check=False)

    def find(self, name):
        for i in range(self.count):
            if os.path.exists(self.path(f"instance/slappart{i}/{name}")):
                return self.path(f"instance/slappart{i}")

    def stop(self):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
            process.wait()
        if os.path.exists(self.path("instance/var/run/supervisord.pid")):
            self.call("node", "supervisorctl", "shutdown", check=False)
        until(lambda: not os.path.exists(self.path("instance/var/run/supervisord.pid")), "the supervisor ended")


def measure(node, rounds):
    times = {"request": [], "parameter": [], "stop": [], "destroy": []}

    def timed(kind, done, *words):
        begin = time.monotonic()
        node.request("test", *words)
        until(done, kind)
        times[kind].append(time.monotonic() - begin)

    for n in range(rounds + 1):
        timed("request", lambda: node.find("running-1"))
        place = node.find("running-1")
        time.sleep(0.2)
        timed("parameter", lambda: os.path.exists(place + "/running-2"), "--parameters", f"n={n}")
        with open(place + "/running-2") as file:
            pid = int(file.read())
        time.sleep(0.2)
        timed("stop", lambda: not alive(pid), "--parameters", f"n={n}", "--state", "stopped")
        time.sleep(0.2)
        timed("destroy", lambda: not any(os.path.exists(place + "/" + entry) for entry in ("etc", "generation")), "--state", "destroyed")
        until(lambda: node.request("probe", "--state", "destroyed") is not None, "the master answers")
        time.sleep(0.5)
    for kind, values in times.items():
        values = values[1:]  # the first time is with cold caches
        print(f"{kind:10} median {statistics.median(values):.3f} s, worst {max(values):.3f} s, of {len(values)}")


def switches(pid):
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status") as status:
            for line in status:
                if line.startswith("voluntary_ctxt_switches"):
                    total += int(line.split()[1])
    return total


def idle(node, seconds=60):
    pid = node.agent.pid
    time.sleep(5)

    def processor():
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before, used = switches(pid), processor()
    time.sleep(seconds)
    after, now = switches(pid), processor()
    with open(f"/proc/{pid}/status") as status:
        rss = [line.split()[1] for line in status if line.startswith("VmRSS")][0]
    print(f"idle       {int(rss) / 1024:.1f} MB, {now - used:.2f} s of processor time and {after - before} wake-ups in {seconds} s")


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    slapos = os.path.abspath(sys.argv[1])
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    partitions = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    root = tempfile.mkdtemp(prefix="reaction-")
    node = None
    try:
        node = Node(slapos, root, partitions)
        measure(node, rounds)
        idle(node)
    finally:
        if node:
            node.stop()
        if os.environ.get("KEEP"):
            print("kept:", root)
        else:
            shutil.rmtree(root)


if __name__ == "__main__":
    main()
