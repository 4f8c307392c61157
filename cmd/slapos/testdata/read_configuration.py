"""Answers, one JSON line for each, how Python's ConfigParser reads a file."""
import base64
import configparser
import io
import json
import sys

for request in sys.stdin:
    data = base64.b64decode(request)
    parser = configparser.ConfigParser()
    try:
        parser.read_file(io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
    except (configparser.Error, UnicodeDecodeError) as error:
        answer = {"error": type(error).__name__}
    else:
        raw, resolved = {}, {}
        for name in parser.sections():
            raw[name] = dict(parser.items(name, raw=True))
            try:
                resolved[name] = dict(parser.items(name))
            except configparser.Error:
                resolved[name] = None
        answer = {"sections": parser.sections(), "raw": raw, "resolved": resolved}
    print(json.dumps(answer), flush=True)
