# SPDX-License-Identifier: GPL-3.0-or-later
"""Python's own answers, to compare with: a line of JSON for each line."""
import base64
import configparser
import io
import json
import pprint
import sys

import yaml


def configuration(data):
    parser = configparser.ConfigParser()
    parser.read_file(io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
    raw, resolved = {}, {}
    for name in parser.sections():
        raw[name] = dict(parser.items(name, raw=True))
        try:
            resolved[name] = dict(parser.items(name))
        except configparser.Error:
            resolved[name] = None
    return {"sections": parser.sections(), "raw": raw, "resolved": resolved}


def pretty(data):
    return pprint.pformat(json.loads(data))


def dumped(data):
    return json.dumps(json.loads(data), indent=2)


def from_yaml(data):
    return json.dumps(yaml.safe_load(data), indent=2)


for line in sys.stdin:
    question = json.loads(line)
    try:
        answer = {"value": globals()[question["of"]](base64.b64decode(question["data"]))}
    except Exception as error:
        answer = {"error": type(error).__name__}
    print(json.dumps(answer), flush=True)
