#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes requirements.txt of requirements.in, beside this file: `make pins`.

usage: pins.py [PYTHON2.7]

Needs uv on PATH or in the environment of the interpreter. Sections for Python
2.7, which uv doesn't know, need such an interpreter with pip; without one they
stay as they are.
"""
import hashlib
import os
import re
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
OLDEST = "3.11"  # of the Pythons that the tests run with
HEAD = """\
# Every package that a Python environment of the tests, the demo or the tutorial
# holds, with the hashes of its files. Made by `make pins` of requirements.in, for
# Python 3.11 and newer where a section's name doesn't say another one. A section
# is installed by .ci/pip.
"""


def sections(path):
    found = {}
    if os.path.exists(path):
        for line in open(path):
            head = re.match(r"# \[(.+?)\](.*)", line)
            if head:
                lines = found[head[1]] = []
                found[head[1] + " words"] = re.split("[ ,\n]+", head[2])
            elif found and line.strip() and not line.startswith("#"):
                lines.append(line.rstrip())
    return found


def name(line):
    return re.sub("[-_.]+", "-", re.match("[A-Za-z0-9._-]+", line)[0]).lower()


def compiled(lines, *options):
    """The pins of all that the lines ask for: {name: text}."""
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "in")
        with open(path, "w") as file:
            file.write("\n".join(lines) + "\n")
        out = subprocess.run(
            ["uv", "pip", "compile", "-q", "--generate-hashes", "--no-annotate", "--no-header", "--allow-unsafe",
             *options, path], check=True, stdout=subprocess.PIPE, text=True).stdout
    return {name(text): text.rstrip() for text in re.split(r"\n(?=\S)", out.strip())}


def downloaded(python, lines, *options):
    """The same for a Python that only its own pip knows."""
    pins = {}
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([python, "-m", "pip", "download", "-q", "--disable-pip-version-check", "-d", directory,
                        *options, *lines], check=True)
        for file in sorted(os.listdir(directory)):
            stem = re.match(r"(.+?)-(\d[^-]*?(?:-\d+)?)(-[a-z].*\.whl|\.tar\.gz|\.tar\.bz2|\.zip)$", file)
            digest = hashlib.sha256(open(os.path.join(directory, file), "rb").read()).hexdigest()
            pins[name(stem[1])] = "%s==%s \\\n    --hash=sha256:%s" % (name(stem[1]), stem[2], digest)
    return pins


def main():
    wanted, old = sections(os.path.join(here, "requirements.in")), sections(os.path.join(here, "requirements.txt"))
    text = HEAD
    for section in [key for key in wanted if not key.endswith(" words")]:
        lines, words = wanted[section], wanted[section + " words"]
        python = words[words.index("python") + 1] if "python" in words else None
        options = ["--no-deps"] if "no-deps" in words else []
        if python == "2.7":
            if len(sys.argv) > 1:
                pins = list(downloaded(sys.argv[1], lines, *options).values())
            else:
                pins = old[section]
        elif section == "releases":  # several of one package
            pins = [pin for line in lines for pin in compiled([line], "--no-deps", "--python-version", OLDEST).values()]
        elif python:
            pins = compiled(lines, "--python-version", python, *options).values()
        else:
            before = [line for other in words if other in wanted for line in wanted[other]]
            known = compiled(before, "--universal", "--python-version", OLDEST) if before else {}
            pins = [text for key, text in compiled(
                before + lines, "--universal", "--python-version", OLDEST, *options).items() if key not in known]
        text += "\n# [%s]\n%s\n" % (section, "\n".join(pins))
    with open(os.path.join(here, "requirements.txt"), "w") as file:
        file.write(text)


main()
