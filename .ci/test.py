#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs `go test` and tells, at its end, which tests stepped aside and why.

usage: test.py [ARGUMENT of go test...]

Prints what go test prints: a line for each package, and what failing tests said
(-v: what all said). Then a line for each reason for which tests stepped aside,
and how many passed, failed and were skipped. With CI=true a test that stepped
aside is a failure unless its reason stands in .ci/may-step-aside.

For go itself: the variable GO, else go on PATH.
"""
import collections
import json
import os
import re
import subprocess
import sys

NOISE = re.compile(r"\s*=== (RUN|PAUSE|CONT|NAME|ATTR) ")
# What a test said when it stepped aside: by package testkit, by a script, or else.
REASONS = [re.compile(r"\s+\S+\.go:\d+: ((?:needs|takes long).*)"), re.compile(r".*\bskip '(.*)'\s*$"), re.compile(r"\s+\S+\.go:\d+: (.*)")]
END = re.compile(r"\s*--- (PASS|FAIL|SKIP): ")


def allowed():
    """The reasons that need no excuse: the text before the bar, for any text that begins with it."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "may-step-aside")) as file:
        return tuple(line.split("|")[0].strip() for line in file if "|" in line and not line.startswith("#"))


class Run:
    def __init__(self, verbose):
        self.verbose = verbose
        self.said = collections.defaultdict(list)  # of tests that are not over
        self.count = collections.Counter()
        self.aside = collections.defaultdict(list)  # reason: tests

    def event(self, event):
        action, package, test = event["Action"], event.get("Package", ""), event.get("Test", "")
        if action == "build-output":
            print(event["Output"], end="", flush=True)
        elif action == "output" and not test:
            if event["Output"].rstrip() != "PASS":
                print(event["Output"], end="", flush=True)
        elif action == "output":
            if not NOISE.match(event["Output"]) or self.verbose:
                self.said[package, test].append(event["Output"])
        elif action in ("pass", "fail", "skip") and test:
            self.count[action] += 1
            if action == "skip":
                self.step_aside(package, test)
            # The line of the verdict comes first, as go test has it.
            lines = sorted(self.said.pop((package, test), []), key=lambda line: not END.match(line))
            if action == "fail" or self.verbose:
                print("".join(lines), end="", flush=True)
        elif action in ("pass", "fail", "skip"):
            # What is left was going on when the package ended.
            for key in [key for key in self.said if key[0] == package]:
                lines = self.said.pop(key)
                if action == "fail":
                    self.count["fail"] += 1
                    print("--- FAIL: %s (unfinished)\n%s" % (key[1], "".join(lines)), end="", flush=True)
            if action == "fail":
                self.count["packages"] += 1

    def step_aside(self, package, test):
        lines = self.said[package, test]
        reasons = [m[1].strip() for form in REASONS for m in map(form.match, reversed(lines)) if m]
        self.aside[(reasons + ["no reason given"])[0]].append(package + "." + test)


def main():
    run = Run("-v" in sys.argv[1:])
    go = subprocess.Popen([os.environ.get("GO") or "go", "test", "-json", *sys.argv[1:]], stdout=subprocess.PIPE, text=True,
                          errors="replace")
    try:
        for line in go.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                print(line, end="", flush=True)
                continue
            run.event(event)
        code = go.wait()
    except KeyboardInterrupt:
        code = go.wait() or 1
    may, strict = allowed(), os.environ.get("CI") == "true"
    for reason, tests in sorted(run.aside.items(), key=lambda item: (-len(item[1]), item[0])):
        number = "1 test" if len(tests) == 1 else "%d tests" % len(tests)
        fault = strict and not reason.startswith(may)
        print("%s: %s: %s" % ("FAIL: stepped aside" if fault else "stepped aside", number, reason))
        if fault or reason == "no reason given":
            print("".join("    %s\n" % test for test in tests), end="")
        if fault:
            code = code or 1
            run.count["fail"] += len(tests)
            run.count["skip"] -= len(tests)
    failed = run.count["fail"] or run.count["packages"] or (1 if code else 0)
    print("%d passed, %d failed, %d skipped" % (run.count["pass"], failed, run.count["skip"]))
    return code


sys.exit(main())
